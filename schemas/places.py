"""Reference data about places: sites, zones, doors, access points and the devices that drive them."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from schemas.base import Frozen, Id, Message, Text
from schemas.vocabulary import Direction, Enforcement


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone, such as Europe/Berlin or Asia/Shanghai") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_time_zone)]
Seconds = Annotated[int, Field(ge=0, le=31_536_000)]
Clearance = Annotated[int, Field(ge=0, le=7)]


class Site(Message):
    """A site: the root of a zone tree, the unit of order and state.

    `message_authentication` says whether an unsigned message is refused; `plain_secrets` whether a PIN or template may
    travel unsealed.
    """

    type: Literal["site"] = "site"
    site_id: Id
    name: Text
    time_zone: TimeZone
    policy_id: Id
    holiday_calendar_ids: tuple[Id, ...] = ()
    message_authentication: Literal["required", "off"] = "required"
    plain_secrets: bool = False


class Passback(Frozen):
    """Anti-passback of a zone; a presence older than `presence_timeout_s` counts as unknown (0: never times out)."""

    enforcement: Enforcement = Enforcement.OFF
    presence_timeout_s: Seconds = 43_200


class Occupancy(Frozen):
    """How many may be in a zone (its sub-zones included)."""

    enforcement: Enforcement = Enforcement.OFF
    limit: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class Accompaniment(Frozen):
    """Two-person rule or escort: the other person must have been granted here within `window_s`, or be inside."""

    enforcement: Enforcement = Enforcement.OFF
    window_s: Seconds = 30


class FirstPersonIn(Frozen):
    """The zone opens for others after somebody with `first_person` entered on that local day."""

    enforcement: Enforcement = Enforcement.OFF


class Zone(Message):
    """A zone. The tree's root has no parent and is of kind `site`; the street is a zone of kind `outside`.

    `special` zones need a permission of type special; `clearance` is the least that a cardholder must have. The
    `threats` of the policy `policy_id`, if it has one, apply to it and to what lies in it, instead of the site's.
    """

    type: Literal["zone"] = "zone"
    zone_id: Id
    site_id: Id
    parent_id: Id | None = None
    kind: Literal["site", "building", "floor", "area", "outside"]
    name: Text
    special: bool = False
    clearance: Clearance = 0
    policy_id: Id | None = None
    passback: Passback = Passback()
    occupancy: Occupancy = Occupancy()
    two_person: Accompaniment = Accompaniment()
    escort: Accompaniment = Accompaniment()
    first_person_in: FirstPersonIn = FirstPersonIn()


class Interlock(Frozen):
    """Doors of one group exclude each other (a mantrap): one opens only while the others are shut."""

    group: Id
    enforcement: Enforcement = Enforcement.HARD


class DelayedEgress(Frozen):
    """What a door with controlled egress keeps to: the controller releases it after `delay_s` all the same."""

    delay_s: Annotated[int, Field(ge=1, le=30)] = 15


class Door(Message):
    """A door and the controller that drives it.

    `has_dps`: a door position switch tells whether somebody passed. `access_time_s`: how long the lock is released,
    `extended_access_time_s` for those who need longer. `egress: controlled` needs `delayed_egress`.

    While the schedule `unlock_schedule_id` allows access the door stands unlocked (E); where the zone that it leads to
    has a hard first-person-in rule, only after that person's entry.
    """

    type: Literal["door"] = "door"
    door_id: Id
    site_id: Id
    device_id: Id
    name: Text
    has_dps: bool = True
    access_time_s: Annotated[int, Field(ge=1, le=120)] = 5
    extended_access_time_s: Annotated[int, Field(ge=1, le=300)] = 15
    grant_window_s: Annotated[int, Field(ge=1, le=300)] = 10
    degraded_mode: Literal["deny", "facility_code", "snapshot"] = "deny"
    facility_codes: tuple[Id, ...] = ()
    egress: Literal["free", "controlled"] = "free"
    delayed_egress: DelayedEgress | None = None
    interlock: Interlock | None = None
    unlock_schedule_id: Id | None = None


class AccessPoint(Message):
    """One side of a door: the reader that leads from one zone to another."""

    type: Literal["access_point"] = "access_point"
    access_point_id: Id
    site_id: Id
    door_id: Id
    direction: Direction
    zone_from: Id
    zone_to: Id
    policy_id: Id | None = None
    enabled: bool = True


class Thresholds(Frozen):
    """Least scores (0 to 1) at which a biometric match counts."""

    face: Annotated[float, Field(ge=0, le=1)] | None = None
    fingerprint: Annotated[float, Field(ge=0, le=1)] | None = None


class Device(Message):
    """A controller. `thresholds` override the policy's for its readers; a higher `key_version` = a swapped device.

    `upstream` names the part of the network that it hangs on, such as a switch: those that fall silent with it have
    one trouble.
    """

    type: Literal["device"] = "device"
    device_id: Id
    site_id: Id
    name: Text = ""
    model: Text = ""
    status: Literal["active", "inactive"] = "active"
    key_version: Annotated[int, Field(ge=1, le=999_999_999)] = 1
    thresholds: Thresholds = Thresholds()
    upstream: Id | None = None
