"""Reference data as decisions read it: what one asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.rules import HolidayCalendar, Policy, Schedule
from schemas.vocabulary import FactorKind
from streams.core.processor import References
from streams.core.reference_tables import EVERY

_CARD = FactorKind.CARD
DERIVED_KEPT = 100_000
"""Answers that are kept at most; then all are worked out anew."""
Derived = TypeVar("Derived")

DEEPEST_ZONE = 16
"""A zone tree deeper than this is cut off, so that a cycle in bad data ends."""


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


def doors_of(references: References, site_id: str) -> Sequence[Door]:
    """The doors of a site, in the order of their ids."""
    key = ("doors", site_id)
    known: Sequence[Door] | None = references.derived.get(key)
    return remember(references, key, references.find("door", "site_id", site_id)) if known is None else known


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
