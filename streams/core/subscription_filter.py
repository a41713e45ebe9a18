"""Whether a subscription wants an event: what an event looks like to a filter, and where it happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

from schemas.event_classes import SUBSCRIBED_TYPES, SubscribedType, event_class
from schemas.subscriptions import EventFilter, Subscription
from streams.core import reference
from streams.core.processor import References
from streams.core.reference_tables import EVERY

_SUBSCRIBED: frozenset[str] = frozenset(SUBSCRIBED_TYPES)


class Seen(msgspec.Struct, frozen=True, gc=False):
    """As much of an event as filters ask about."""

    type: str
    site_id: str
    door_id: str | None = None
    access_point_id: str | None = None
    zone_from: str | None = None
    zone_to: str | None = None
    zone_id: str | None = None
    device_id: str | None = None
    cardholder_id: str | None = None
    severity: str | None = None
    classification: str | None = None
    kind: str | None = None
    event: str | None = None
    active: tuple[str, ...] | bool | None = None
    """Of a door alarm, the alarms; of an alert, whether its cause is there."""
    ended: tuple[str, ...] | None = None
    code: str | None = None


_decode = msgspec.json.Decoder(Seen).decode


def seen_in(value: bytes) -> Seen | None:
    """An event as filters see it; None for what nobody can subscribe to.

    Raises:
        ValueError: it is no message.
    """
    seen = _decode(value)
    return seen if seen.type in _SUBSCRIBED else None


def wanted_by(seen: Seen, references: References) -> list[Subscription]:
    """The subscriptions that want an event, in the order of their ids."""
    return [one for one in _asking(seen, references) if _fits(one.wants, seen, references)]


def _asking(seen: Seen, references: References) -> Sequence[Subscription]:
    """The subscriptions that ask about events of that type at that site; worked out once for each."""
    key = ("subscriptions", seen.type, seen.site_id)
    known: Sequence[Subscription] | None = references.derived.get(key)
    if known is not None:
        return known
    found = tuple(
        one
        for one in references.find("subscription", EVERY, EVERY)
        if (not one.wants.types or seen.type in one.wants.types)
        and (not one.wants.site_ids or seen.site_id in one.wants.site_ids)
    )
    return reference.remember(references, key, found)


def _fits(wants: EventFilter, seen: Seen, references: References) -> bool:
    """Types and sites are asked for before."""
    if wants.cardholder_ids and seen.cardholder_id not in wants.cardholder_ids:
        return False
    if wants.severities and seen.severity not in wants.severities:
        return False
    if wants.door_ids and door_of(seen, references) not in wants.door_ids:
        return False
    if wants.classes and class_of(seen) not in wants.classes:
        return False
    return not wants.zone_ids or not zones_of(seen, references).isdisjoint(wants.zone_ids)


def class_of(seen: Seen) -> str:
    """The event's class."""
    # `seen_in` gives no other.
    type_ = cast("SubscribedType", seen.type)
    active = seen.active if isinstance(seen.active, tuple) else ()
    facts = {
        "classification": seen.classification,
        "kind": seen.kind,
        "event": seen.event,
        "active": active,
        "ended": seen.ended,
        "code": seen.code,
    }
    return event_class(type_, facts).value


def door_of(seen: Seen, references: References) -> str | None:
    """The door where it happened, if it is known."""
    if seen.door_id is not None or seen.access_point_id is None:
        return seen.door_id
    point = reference.access_point(references, seen.access_point_id)
    return None if point is None else point.door_id


def zones_of(seen: Seen, references: References) -> frozenset[str]:
    """Every zone that it concerns, and what these lie in."""
    told = (seen.zone_from, seen.zone_to, seen.zone_id)
    if told != (None, None, None):
        return frozenset(_upwards(told, references))
    place = door_of(seen, references)
    key = ("zones of", place, None if place is not None else seen.device_id)
    known: frozenset[str] | None = references.derived.get(key)
    if known is not None:
        return known
    doors = [place] if place is not None else _doors_of(seen.device_id, references)
    points = [point for door in doors for point in references.find("access-point", "door_id", door)]
    sides = [zone for point in points for zone in (point.zone_from, point.zone_to)]
    return reference.remember(references, key, frozenset(_upwards(sides, references)))


def _doors_of(device_id: str | None, references: References) -> list[str]:
    return [] if device_id is None else [door.door_id for door in references.find("door", "device_id", device_id)]


def _upwards(zone_ids: Sequence[str | None], references: References) -> Iterator[str]:
    for zone_id in zone_ids:
        if zone_id is not None:
            yield zone_id
            yield from reference.zone_path(references, zone_id)
