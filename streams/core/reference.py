"""Reference data as decisions read it: how each topic is indexed, and what one asks of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from schemas.keys import administration_key
from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.record import Record
from schemas.reference import BY_NAME
from schemas.rules import HolidayCalendar, Policy, Schedule
from schemas.signing import MAC_HEADER, NONCE_HEADER, NOT_AFTER_HEADER, verify
from schemas.vocabulary import FactorKind
from streams.core.processor import References, ReferenceTable
from streams.core.times import to_ms

LONGEST_VALIDITY_MS = 3_600_000
"""How long after its append a reference record's signature may end: whose clock runs ahead is not believed."""

_CARD = FactorKind.CARD
DERIVED_KEPT = 100_000
"""Answers that are kept at most; then all are worked out anew."""
Derived = TypeVar("Derived")

DEEPEST_ZONE = 16
"""A zone tree deeper than this is cut off, so that a cycle in bad data ends."""


class _Indexed(msgspec.Struct):
    """The few fields that indexes are made of; the rest of the JSON is skipped unread."""

    card_number: str | None = None
    cardholder_id: str | None = None
    site_id: str | None = None
    device_id: str | None = None
    door_id: str | None = None
    zone_ids: tuple[str, ...] = ()
    door_ids: tuple[str, ...] = ()
    access_point_ids: tuple[str, ...] = ()
    interlock: dict[str, str] | None = None
    groups: tuple[str, ...] = ()
    monitoring: bool = False


_read = lru_cache(maxsize=1)(msgspec.json.Decoder(_Indexed).decode)
"""Kept for one value: a record's indexes are made one after the other."""
_Index = Callable[[bytes], Sequence[str]]


def _field(name: str) -> _Index:
    def index(data: bytes) -> Sequence[str]:
        value = getattr(_read(data), name)
        return () if value is None else (value,)

    return index


def _targets(data: bytes) -> Sequence[str]:
    fields = _read(data)
    return (
        *(f"zone/{id_}" for id_ in fields.zone_ids),
        *(f"door/{id_}" for id_ in fields.door_ids),
        *(f"access-point/{id_}" for id_ in fields.access_point_ids),
    )


def _interlock_group(data: bytes) -> Sequence[str]:
    interlock = _read(data).interlock
    return () if interlock is None else (interlock["group"],)


EVERY = "every"
"""The index, and its only value, by which all records of an entity are found."""

_INDEXES: dict[str, dict[str, _Index]] = {
    "site": {EVERY: lambda _: (EVERY,)},
    "device": {"site_id": _field("site_id")},
    "credential": {"card_number": _field("card_number"), "cardholder_id": _field("cardholder_id")},
    "permission": {"cardholder_id": _field("cardholder_id"), "target": _targets},
    "door": {"device_id": _field("device_id"), "interlock": _interlock_group},
    "access-point": {"door_id": _field("door_id")},
    "recipient": {
        "group": lambda data: _read(data).groups,
        "monitoring": lambda data: ("yes",) if _read(data).monitoring else (),
    },
}


FOR_DECISIONS = tuple(name for name in BY_NAME if name not in {"recipient", "on-call"})
"""What the site's decisions depend on: all but who is told of alerts."""


def tables(master: bytes | None = None, entities: Collection[str] = tuple(BY_NAME)) -> tuple[ReferenceTable, ...]:
    """The reference topics that decisions read; with a master secret, only what the administration signed counts."""
    authenticate = authentication(master) if master is not None else None
    return tuple(
        ReferenceTable(name, entity.topic, entity.model.model_validate_json, _INDEXES.get(name, {}), authenticate)
        for name, entity in BY_NAME.items()
        if name in entities
    )


def authentication(master: bytes) -> Callable[[Record], int | None]:
    """What tells until when (Unix, milliseconds) a reference record's signature counts; None = it does not."""
    key = administration_key(master)

    def authenticate(record: Record) -> int | None:
        headers = dict(record.headers)
        header, end = headers.get(MAC_HEADER), headers.get(NOT_AFTER_HEADER)
        if header is None or end is None or NONCE_HEADER not in headers:
            return None
        if not verify(key, header, record.topic, record.key, record.value, record.headers):
            return None
        try:
            until_ms = to_ms(datetime.fromisoformat(end.decode("ascii")))
        except (ValueError, OverflowError):
            return None
        return until_ms if until_ms <= record.timestamp_ms + LONGEST_VALIDITY_MS else None

    return authenticate


def site(references: References, id_: str) -> Site | None:
    """The site with that id."""
    found: Site | None = references.get("site", id_)
    return found


def zone(references: References, id_: str) -> Zone | None:
    """The zone with that id."""
    found: Zone | None = references.get("zone", id_)
    return found


def door(references: References, id_: str) -> Door | None:
    """The door with that id."""
    found: Door | None = references.get("door", id_)
    return found


def access_point(references: References, id_: str) -> AccessPoint | None:
    """The access point with that id."""
    found: AccessPoint | None = references.get("access-point", id_)
    return found


def device(references: References, id_: str) -> Device | None:
    """The device with that id."""
    found: Device | None = references.get("device", id_)
    return found


def sites(references: References) -> Sequence[Site]:
    """Every site on file, in the order of their ids."""
    return references.find("site", EVERY, EVERY)


def devices_of(references: References, site_id: str) -> Sequence[Device]:
    """The devices of a site, in the order of their ids."""
    return references.find("device", "site_id", site_id)


def cardholder(references: References, id_: str) -> Cardholder | None:
    """The cardholder with that id."""
    found: Cardholder | None = references.get("cardholder", id_)
    return found


def policy(references: References, id_: str) -> Policy | None:
    """The policy with that id."""
    found: Policy | None = references.get("policy", id_)
    return found


def schedule(references: References, id_: str) -> Schedule | None:
    """The schedule with that id."""
    found: Schedule | None = references.get("schedule", id_)
    return found


def calendars(references: References, ids: Sequence[str]) -> list[HolidayCalendar] | None:
    """The holiday calendars with those ids; None where one is missing."""
    found: list[HolidayCalendar] = []
    for id_ in ids:
        calendar = references.get("holiday-calendar", id_)
        if calendar is None:
            return None
        found.append(calendar)
    return found


def secret(references: References, credential_id: str) -> Secret | None:
    """The secret part of a credential."""
    found: Secret | None = references.get("secret", credential_id)
    return found


def the_card(found: Sequence[Credential], facility_code: str | None) -> Credential | None:
    """The one card among credentials of a number; None where there is none, or several (ambiguous means unknown).

    Where both the card and a credential have a facility code, they must be the same.
    """
    cards = [
        one
        for one in found
        if one.kind is _CARD and (None in (one.facility_code, facility_code) or one.facility_code == facility_code)
    ]
    return cards[0] if len(cards) == 1 else None


def credential_by_card(references: References, card_number: str, facility_code: str | None = None) -> Credential | None:
    """The credential of a card."""
    return the_card(references.find("credential", "card_number", card_number), facility_code)


def credentials_of(references: References, cardholder_id: str, kind: FactorKind) -> list[Credential]:
    """A cardholder's credentials of one kind, in the order of their ids."""
    return [c for c in references.find("credential", "cardholder_id", cardholder_id) if c.kind is kind]


def all_credentials_of(references: References, cardholder_id: str) -> Sequence[Credential]:
    """A cardholder's credentials of every kind, in the order of their ids."""
    return references.find("credential", "cardholder_id", cardholder_id)


def own_credential(
    references: References, cardholder_id: str, kind: FactorKind, claimed_id: str | None
) -> Credential | None:
    """The credential that a PIN or a biometric of a cardholder is judged by: the claimed one, else the first active.

    None where there is none, or where the claimed one is somebody else's.
    """
    if claimed_id is not None:
        claimed: Credential | None = references.get("credential", claimed_id)
        if claimed is not None and claimed.kind is kind:
            return claimed if claimed.cardholder_id == cardholder_id else None
    found = credentials_of(references, cardholder_id, kind)
    return next((one for one in found if one.status == "active"), found[0] if found else None)


def permissions_at(references: References, cardholder_id: str, site_id: str) -> Sequence[Permission]:
    """A cardholder's permissions at a site, in the order of their ids."""
    key = ("permissions", cardholder_id, site_id)
    known: Sequence[Permission] | None = references.derived.get(key)
    if known is not None:
        return known
    at_site = tuple(one for one in permissions_of(references, cardholder_id) if one.site_id == site_id)
    # What is asked for in vain is not kept: there is no end of it.
    return remember(references, key, at_site) if at_site else ()


def permissions_of(references: References, cardholder_id: str) -> Sequence[Permission]:
    """A cardholder's permissions, in the order of their ids."""
    return references.find("permission", "cardholder_id", cardholder_id)


def interlocked_doors(references: References, group: str) -> Sequence[Door]:
    """The doors of an interlock group."""
    return references.find("door", "interlock", group)


def remember(references: References, key: Any, value: Derived) -> Derived:
    """Keep what was worked out of the records until one of them changes."""
    derived = references.derived
    if len(derived) >= DERIVED_KEPT:
        derived.clear()
    derived[key] = value
    return value


def zone_path(references: References, zone_id: str) -> tuple[str, ...]:
    """A zone and what it lies in, innermost first; nothing for the street (`outside`) and for unknown zones."""
    key = ("zone path", zone_id)
    known: tuple[str, ...] | None = references.derived.get(key)
    return remember(references, key, _zone_path(references, zone_id)) if known is None else known


def _zone_path(references: References, zone_id: str) -> tuple[str, ...]:
    path: list[str] = []
    current: str | None = zone_id
    while current is not None and len(path) < DEEPEST_ZONE:
        found = zone(references, current)
        if found is None or found.kind == "outside":
            break
        path.append(current)
        current = found.parent_id
    return tuple(path)


def zones_above(references: References, zone_id: str) -> Iterator[Zone]:
    """A zone and what it lies in, innermost first, the street included."""
    current: str | None = zone_id
    for _ in range(DEEPEST_ZONE):
        found = zone(references, current) if current is not None else None
        if found is None:
            return
        yield found
        current = found.parent_id


def permitted_cardholders(references: References, point: AccessPoint) -> list[str]:
    """Who has any permission that includes an access point: the candidates of a 1:N match, sorted."""
    targets = [f"access-point/{point.access_point_id}", f"door/{point.door_id}"]
    targets += [f"zone/{found.zone_id}" for found in zones_above(references, point.zone_to)]
    people = {
        permission.cardholder_id
        for target in targets
        for permission in references.find("permission", "target", target)
        if permission.status == "active" and permission.site_id == point.site_id
    }
    return sorted(people)
