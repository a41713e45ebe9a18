"""What people present at a reader, plain as they hold it, and as a controller lets it travel: secrets sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.factors import Card, Face, Factor, Fingerprint, Pin
from schemas.sealing import Sealer
from schemas.vocabulary import FactorKind


@dataclass(frozen=True)
class CardShown:
    """A card held before the reader."""

    card_number: str
    facility_code: str | None = None
    kind = FactorKind.CARD


@dataclass(frozen=True)
class PinTyped:
    """A PIN typed; `cardholder_id` where the person keyed in who they are instead of showing a card."""

    pin: str = field(repr=False)
    cardholder_id: str | None = None
    kind = FactorKind.PIN


@dataclass(frozen=True)
class BiometricRead:
    """A face or a finger as the reader's extractor turned it into a template."""

    kind: FactorKind
    template: tuple[float, ...] = field(repr=False)
    model: str
    cardholder_id: str | None = None


Shown = CardShown | PinTyped | BiometricRead


def travelling(shown: Sequence[Shown], sealer: Sealer) -> tuple[Factor, ...]:
    """The factors of a message: PINs and templates sealed for the decide role."""
    return tuple(_travelling(one, sealer) for one in shown)


def _travelling(shown: Shown, sealer: Sealer) -> Factor:
    if isinstance(shown, CardShown):
        return Card(kind="card", card_number=shown.card_number, facility_code=shown.facility_code)
    if isinstance(shown, PinTyped):
        sealed = sealer.seal(json.dumps({"pin": shown.pin}).encode())
        return Pin(kind="pin", sealed=sealed, cardholder_id=shown.cardholder_id)
    content = {"template": list(shown.template), "model": shown.model}
    sealed = sealer.seal(json.dumps(content).encode())
    if shown.kind is FactorKind.FACE:
        return Face(kind="face", sealed=sealed, model=shown.model, cardholder_id=shown.cardholder_id)
    return Fingerprint(kind="fingerprint", sealed=sealed, model=shown.model, cardholder_id=shown.cardholder_id)
