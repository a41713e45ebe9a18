"""Authentication factors as a controller presents them (A1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Frozen, Id

Sealed = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Template = Annotated[tuple[float, ...], Field(min_length=2, max_length=4096)]


class Card(Frozen):
    """A card read: its number as printed or encoded."""

    kind: Literal["card"]
    card_number: Id
    facility_code: Id | None = None


class Pin(Frozen):
    """A PIN as typed, plain or sealed (`sealed` is the sealed box of `{"pin": ...}`).

    `cardholder_id` or `credential_id` name whose it is to be where no card comes with it.
    """

    kind: Literal["pin"]
    pin: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(default=None, repr=False)
    sealed: Sealed | None = Field(default=None, repr=False)
    cardholder_id: Id | None = None
    credential_id: Id | None = None


class Face(Frozen):
    """A face: the controller's own match score, or the extracted template, plain or sealed, to be matched here."""

    kind: Literal["face"]
    score: Score | None = None
    template: Template | None = Field(default=None, repr=False)
    sealed: Sealed | None = Field(default=None, repr=False)
    model: Id | None = None
    cardholder_id: Id | None = None
    credential_id: Id | None = None


class Fingerprint(Frozen):
    """A fingerprint: as a face."""

    kind: Literal["fingerprint"]
    score: Score | None = None
    template: Template | None = Field(default=None, repr=False)
    sealed: Sealed | None = Field(default=None, repr=False)
    model: Id | None = None
    cardholder_id: Id | None = None
    credential_id: Id | None = None


Factor = Annotated[Card | Pin | Face | Fingerprint, Field(discriminator="kind")]
