"""Where a threat is: the zone of a door, of a reader, or of all that a controller drives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from schemas.places import AccessPoint, Zone
from schemas.threat_rules import ThreatRules
from schemas.vocabulary import Direction
from streams.core import reference
from streams.core.processor import References

_KINDS = ("area", "floor", "building", "site")
_USUAL = ThreatRules()


class Locus(NamedTuple):
    """A zone with what it lies in, innermost first, and the rules that apply there; no zone where none is known."""

    zone: Zone | None
    path: tuple[str, ...]
    rules: ThreatRules

    @property
    def zone_id(self) -> str | None:
        """The zone's id."""
        return self.zone.zone_id if self.zone is not None else None


def locus(
    references: References,
    site_id: str,
    *,
    access_point_id: str | None = None,
    door_id: str | None = None,
    device_id: str | None = None,
) -> Locus:
    """Where something happened, by the most exact of what is known; where nobody knows, at the site as a whole."""
    key = ("locus", site_id, access_point_id, door_id, device_id)
    known: Locus | None = references.derived.get(key)
    if known is not None:
        return known
    paths: list[tuple[str, ...]] = []
    point = reference.access_point(references, access_point_id) if access_point_id is not None else None
    if point is not None and point.site_id == site_id:
        paths = [_inside(references, point)]
    elif door_id is not None:
        paths = _of_doors(references, (door_id,))
    elif device_id is not None:
        paths = _of_device(references, site_id, device_id)
    path = _common(path for path in paths if path) or _root(references, site_id)
    found = at_zone(references, site_id, path)
    # What a stranger makes up is not kept: there is no end of it.
    return reference.remember(references, key, found) if any(paths) else found


def at_zone(references: References, site_id: str, path: tuple[str, ...]) -> Locus:
    """A zone, by its path, with its rules."""
    return Locus(reference.zone(references, path[0]) if path else None, path, rules_of(references, site_id, path))


def rules_of(references: References, site_id: str, path: Sequence[str]) -> ThreatRules:
    """The rules of the innermost zone that has a policy, else those of the site."""
    for zone_id in path:
        zone = reference.zone(references, zone_id)
        if zone is not None and zone.policy_id is not None:
            policy = reference.policy(references, zone.policy_id)
            if policy is not None:
                return policy.threats
    site = reference.site(references, site_id)
    policy = reference.policy(references, site.policy_id) if site is not None else None
    return policy.threats if policy is not None else _USUAL


def scope_of(references: References, path: Sequence[str], scope: str) -> str | None:
    """What a plan is to cover: the zone of that kind that the first one lies in, else the next larger one."""
    for kind in _KINDS[_KINDS.index(scope) :]:
        for zone_id in path:
            zone = reference.zone(references, zone_id)
            if zone is not None and zone.kind == kind:
                return zone_id
    return None


def _inside(references: References, point: AccessPoint) -> tuple[str, ...]:
    """The zone that a reader is to protect, whichever side it is on."""
    inner, outer = (
        (point.zone_to, point.zone_from) if point.direction is Direction.ENTRY else (point.zone_from, point.zone_to)
    )
    return reference.zone_path(references, inner) or reference.zone_path(references, outer)


def _of_doors(references: References, door_ids: Iterable[str]) -> list[tuple[str, ...]]:
    return [
        _inside(references, point)
        for door_id in door_ids
        for point in references.find("access-point", "door_id", door_id)
    ]


def _of_device(references: References, site_id: str, device_id: str) -> list[tuple[str, ...]]:
    doors = references.find("door", "device_id", device_id)
    return _of_doors(references, [door.door_id for door in doors if door.site_id == site_id])


def _common(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The innermost zone that all of them lie in, and what it lies in."""
    common: tuple[str, ...] | None = None
    for path in paths:
        common = path if common is None else tuple(zone for zone in common if zone in path)
    return common or ()


def _root(references: References, site_id: str) -> tuple[str, ...]:
    key = ("root zone", site_id)
    known: tuple[str, ...] | None = references.derived.get(key)
    if known is not None:
        return known
    for device in reference.devices_of(references, site_id):
        for path in _of_device(references, site_id, device.device_id):
            if path:
                return reference.remember(references, key, path[-1:])
    return reference.remember(references, key, ())
