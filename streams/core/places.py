"""Places as decisions see them: what belongs to an access point, and the way from zone to zone.

Both are worked out once, until a reference record changes.
"""

from __future__ import annotations

import msgspec

from schemas.places import AccessPoint, Door, Zone
from schemas.rules import Policy
from streams.core import reference
from streams.core.entities import posture_key
from streams.core.processor import References
from streams.core.threat_state import threats_key

Way = tuple[tuple[str, ...], tuple[str, ...]]
"""The zones that are left, and those that are entered."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """An access point with its door, its own policy if it has one, and the zones on the way in.

    `policy_known` is false where the policy that it names is not on file. `zone` is the one that it leads to, None
    where that is not on file, and `zone_path` is that zone and what it lies in, innermost first; `posture_keys` are
    the keys of these zones' postures, `threats_key` that of what threatens the site.
    """

    point: AccessPoint
    door: Door
    policy: Policy | None
    policy_known: bool
    zone: Zone | None
    zone_path: tuple[str, ...]
    posture_keys: tuple[str, ...]
    threats_key: str


def place(references: References, access_point_id: str) -> Place | None:
    """An access point with all that belongs to it; None where it or its door is not on file."""
    key = ("place", access_point_id)
    known: Place | None = references.derived.get(key)
    if known is not None:
        return known
    point = reference.access_point(references, access_point_id)
    door = reference.door(references, point.door_id) if point is not None else None
    if point is None or door is None:
        return None
    policy = reference.policy(references, point.policy_id) if point.policy_id is not None else None
    path = reference.zone_path(references, point.zone_to)
    found = Place(
        point=point,
        door=door,
        policy=policy,
        policy_known=point.policy_id is None or policy is not None,
        zone=reference.zone(references, point.zone_to),
        zone_path=path,
        posture_keys=tuple(posture_key(zone_id) for zone_id in path or (point.zone_to,)),
        threats_key=threats_key(point.site_id),
    )
    return reference.remember(references, key, found)


def way(references: References, zone_from: str | None, zone_to: str) -> Way:
    """The zones that are left and entered by whom one zone, or none that is known, saw last and another sees now."""
    key = ("way", zone_from, zone_to)
    known: Way | None = references.derived.get(key)
    if known is not None:
        return known
    old = reference.zone_path(references, zone_from) if zone_from else ()
    new = reference.zone_path(references, zone_to)
    left = tuple(zone for zone in old if zone not in new)
    return reference.remember(references, key, (left, tuple(zone for zone in new if zone not in old)))
