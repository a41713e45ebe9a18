"""Reference data about people: cardholders, credentials, secrets and permissions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Id, Message, Text, Timestamp
from schemas.factors import Sealed
from schemas.places import Clearance
from schemas.vocabulary import FactorKind


class Cardholder(Message):
    """A person.

    `extended_access`: doors stay released longer. `escort`: may accompany those with `needs_escort`. `first_person`:
    opens a first-person-in zone. `exempt`: first responders, whom lockout and security rules do not hold up.
    """

    type: Literal["cardholder"] = "cardholder"
    cardholder_id: Id
    name: Text
    status: Literal["active", "inactive"] = "active"
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None
    clearance: Clearance = 0
    extended_access: bool = False
    escort: bool = False
    needs_escort: bool = False
    first_person: bool = False
    exempt: bool = False
    department: Text = ""


class Credential(Message):
    """Something that a cardholder presents. Cards have a number; secrets and templates lie in `reference.secret`."""

    type: Literal["credential"] = "credential"
    credential_id: Id
    kind: FactorKind
    cardholder_id: Id | None = None
    card_number: Id | None = None
    facility_code: Id | None = None
    status: Literal["active", "disabled", "lost", "stolen", "destroyed"] = "active"
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None
    emergency: bool = False


class Secret(Message):
    """The secret part of a credential, sealed for the decide role.

    The box holds one JSON object: for a PIN `{"pin_hash": ..., "duress_hash": ... or null}` (argon2id, peppered); for
    a biometric `{"templates": [[...], ...], "model": ...}`.
    """

    type: Literal["secret"] = "secret"
    credential_id: Id
    kind: FactorKind
    sealed: Sealed = Field(repr=False)


PermissionState = Literal["normal", "missing", "revoked", "not_yet_valid", "expired", "exhausted"]
"""How a permission stands when it is looked at: `exhausted` is a single-use one that was used."""


class Permission(Message):
    """A right of a cardholder at a site, for doors, access points or whole zones (with all below them).

    A door is included by any of the three lists; `schedule_id` null means at all times. `valid_until` is exclusive.
    """

    type: Literal["permission"] = "permission"
    permission_id: Id
    site_id: Id
    cardholder_id: Id
    kind: Literal["permanent", "temporary", "single_use", "special"] = "permanent"
    status: Literal["active", "revoked"] = "active"
    zone_ids: tuple[Id, ...] = ()
    door_ids: tuple[Id, ...] = ()
    access_point_ids: tuple[Id, ...] = ()
    schedule_id: Id | None = None
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None
    max_uses: Annotated[int, Field(ge=1, le=1_000_000)] = 1
