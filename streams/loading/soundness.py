"""Whether records make sense together: every id leads somewhere, zones are a tree, doors lead from zone to zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.rules import HolidayCalendar, Schedule
from schemas.vocabulary import Direction, Enforcement, FactorKind
from streams.loading.draft import Draft
from streams.loading.notifying import check_notifying
from streams.loading.policies import check_policies
from streams.loading.referring import refer
from streams.loading.subscribing import check_subscribing

DEEPEST_ZONE = 16
"""As deep as decisions follow a zone upwards."""


def check(draft: Draft) -> None:
    """Find what is wrong between records."""
    for one in (_sites, _zones, _devices, _doors, _access_points, _interlocks, _schedules):
        one(draft)
    for other in (check_policies, _credentials, _cardholders, _permissions, check_notifying, check_subscribing):
        other(draft)


def _sites(draft: Draft) -> None:
    sites: dict[str, Site] = draft.records["site"]
    for id_, site in sites.items():
        refer(draft, "site", id_, "policy", "policy", site.policy_id)
        for index, calendar in enumerate(site.holiday_calendar_ids):
            refer(draft, "site", id_, f"holiday_calendars.{index}", "holiday-calendar", calendar)
        roots = [z for z in _zones_of(draft, id_) if z.kind == "site" and z.parent_id is None]
        if len(roots) != 1 and not any(name == "zone" for name, _ in draft.broken):
            text = "has no zone of kind site without a parent" if not roots else f"has {len(roots)} roots of zones"
            draft.wrong("site", id_, (), f"{text}: zones are one tree below one zone of kind site")


def _zones_of(draft: Draft, site_id: str) -> list[Zone]:
    zones: dict[str, Zone] = draft.records["zone"]
    return [zone for zone in zones.values() if zone.site_id == site_id]


def _zones(draft: Draft) -> None:
    zones: dict[str, Zone] = draft.records["zone"]
    for id_, zone in zones.items():
        refer(draft, "zone", id_, "site", "site", zone.site_id)
        if zone.parent_id is None:
            if zone.kind not in {"site", "outside"}:
                draft.wrong("zone", id_, ("kind",), f"a zone of kind {zone.kind} lies in another one: give its parent")
        elif zone.kind == "site":
            draft.wrong("zone", id_, ("kind",), "a zone of kind site lies in no other zone")
        else:
            refer(draft, "zone", id_, "parent", "zone", zone.parent_id, zone.site_id)
        if zone.policy_id is not None:
            refer(draft, "zone", id_, "policy", "policy", zone.policy_id)
        _way_up(draft, zone)
        if zone.occupancy.enforcement is not Enforcement.OFF and zone.occupancy.limit == 0:
            draft.wrong("zone", id_, ("occupancy",), "occupancy: a limit of 0 lets nobody in: give the limit")


def _way_up(draft: Draft, zone: Zone) -> None:
    zones: dict[str, Zone] = draft.records["zone"]
    path = [zone.zone_id]
    above = zones.get(zone.parent_id) if zone.parent_id is not None else None
    while above is not None:
        if above.zone_id == zone.zone_id:
            draft.wrong("zone", zone.zone_id, ("parent",), f"lies in itself: {' > '.join([*path, zone.zone_id])}")
            return
        if above.zone_id in path:
            return
        path.append(above.zone_id)
        if len(path) > DEEPEST_ZONE:
            draft.wrong("zone", zone.zone_id, ("parent",), f"lies more than {DEEPEST_ZONE} zones deep")
            return
        above = zones.get(above.parent_id) if above.parent_id is not None else None


def _devices(draft: Draft) -> None:
    devices: dict[str, Device] = draft.records["device"]
    for id_, device in devices.items():
        refer(draft, "device", id_, "site", "site", device.site_id)


def _doors(draft: Draft) -> None:
    doors: dict[str, Door] = draft.records["door"]
    points: dict[str, AccessPoint] = draft.records["access-point"]
    entered = {point.door_id for point in points.values() if point.direction is Direction.ENTRY}
    entered |= {id_.rpartition("-")[0] for name, id_ in draft.broken if name == "access-point"}
    credentials: dict[str, Credential] = draft.records["credential"]
    codes = {credential.facility_code for credential in credentials.values()}
    for id_, door in doors.items():
        refer(draft, "door", id_, "site", "site", door.site_id)
        refer(draft, "door", id_, "device", "device", door.device_id, door.site_id)
        if id_ not in entered:
            draft.wrong(
                "door", id_, (), "nobody can enter: give `from` and `to`, or an access point of direction entry"
            )
        if door.egress == "controlled" and door.delayed_egress is None:
            text = "a door with controlled egress needs delayed_egress: after how many seconds it opens all the same"
            draft.wrong("door", id_, ("egress",), text)
        if door.egress == "free" and door.delayed_egress is not None:
            draft.wrong("door", id_, ("delayed_egress",), "delayed_egress is for doors with `egress: controlled`")
        if door.degraded_mode == "facility_code" and not door.facility_codes:
            draft.wrong("door", id_, ("degraded_mode",), "degraded_mode facility_code needs facility_codes")
        for index, code in enumerate(door.facility_codes):
            if code not in codes:
                draft.wrong("door", id_, ("facility_codes", index), f"no credential has the facility code {code}")
        if door.unlock_schedule_id is not None:
            _unlock_schedule(draft, door)


def _unlock_schedule(draft: Draft, door: Door) -> None:
    """A door may stand unlocked only where nothing else asks who passes it."""
    at = ("unlock_schedule",)
    refer(draft, "door", door.door_id, at[0], "schedule", door.unlock_schedule_id or "")
    if door.interlock is not None and door.interlock.enforcement is Enforcement.HARD:
        draft.wrong("door", door.door_id, at, "unlock_schedule: an interlocked door must not stand unlocked")
    points: dict[str, AccessPoint] = draft.records["access-point"]
    for point in points.values():
        zone: Zone | None = draft.records["zone"].get(point.zone_to)
        entry = point.door_id == door.door_id and point.direction is Direction.ENTRY
        if entry and zone is not None and zone.special:
            text = f"unlock_schedule: leads into {zone.zone_id}, which is special: everybody could walk in"
            draft.wrong("door", door.door_id, at, text)


def _access_points(draft: Draft) -> None:
    points: dict[str, AccessPoint] = draft.records["access-point"]
    for id_, point in points.items():
        refer(draft, "access-point", id_, "site", "site", point.site_id)
        refer(draft, "access-point", id_, "door", "door", point.door_id, point.site_id)
        refer(draft, "access-point", id_, "zone_from", "zone", point.zone_from, point.site_id)
        refer(draft, "access-point", id_, "zone_to", "zone", point.zone_to, point.site_id)
        if point.policy_id is not None:
            refer(draft, "access-point", id_, "policy", "policy", point.policy_id)
        if point.zone_from == point.zone_to:
            draft.wrong("access-point", id_, ("zone_to",), f"leads from {point.zone_from} to the same zone")


def _interlocks(draft: Draft) -> None:
    doors: dict[str, Door] = draft.records["door"]
    groups: dict[str, list[Door]] = {}
    for door in doors.values():
        if door.interlock is not None:
            groups.setdefault(door.interlock.group, []).append(door)
    for group, members in groups.items():
        first = members[0]
        at = ("interlock",)
        if len(members) == 1 and not any(name == "door" for name, _ in draft.broken):
            draft.wrong("door", first.door_id, at, f"interlock group {group} has this one door: it takes two")
        for door in members:
            if door.site_id != first.site_id:
                text = f"interlock group {group} is of site {first.site_id} already: doors of one site make a group"
                draft.wrong("door", door.door_id, at, text)


def _schedules(draft: Draft) -> None:
    schedules: dict[str, Schedule] = draft.records["schedule"]
    calendars: dict[str, HolidayCalendar] = draft.records["holiday-calendar"]
    kinds = {day.kind for calendar in calendars.values() for day in calendar.days}
    kinds_known = not any(name == "holiday-calendar" for name, _ in draft.broken)
    for id_, schedule in schedules.items():
        if not schedule.windows and not schedule.holidays:
            draft.wrong("schedule", id_, ("windows",), "windows: without one the schedule never allows access")
        starts = (("windows", [w.start for w in schedule.windows]), ("holidays", [w.start for w in schedule.holidays]))
        for where, found in starts:
            for index, start in enumerate(found):
                if start == "24:00":
                    text = f"{where}: a window starts at 00:00 of the next day, not at 24:00"
                    draft.wrong("schedule", id_, (where, index, "start"), text)
        for index, special in enumerate(schedule.holidays):
            if special.kind not in kinds and kinds_known:
                text = f"holidays: no calendar has days of kind {special.kind}"
                draft.wrong("schedule", id_, ("holidays", index, "kind"), text)
    for id_, calendar in calendars.items():
        twice = [day for day, count in Counter(day.date for day in calendar.days).items() if count > 1]
        for day in twice:
            draft.wrong("holiday-calendar", id_, ("days",), f"{day} is given twice")


def _credentials(draft: Draft) -> None:
    credentials: dict[str, Credential] = draft.records["credential"]
    numbers: dict[str, str] = {}
    for id_, credential in credentials.items():
        if credential.cardholder_id is not None:
            refer(draft, "credential", id_, "cardholder", "cardholder", credential.cardholder_id)
        if credential.kind is FactorKind.CARD:
            if credential.card_number is None:
                draft.wrong("credential", id_, ("kind",), "a card needs a card_number")
            elif numbers.setdefault(credential.card_number, id_) != id_:
                text = f"card_number {credential.card_number} is that of {numbers[credential.card_number]} already"
                draft.wrong("credential", id_, ("card_number",), text)
        elif credential.card_number is not None:
            draft.wrong("credential", id_, ("card_number",), f"a {credential.kind} has no card_number")
        _span(draft, "credential", id_, credential)


def _cardholders(draft: Draft) -> None:
    cardholders: dict[str, Cardholder] = draft.records["cardholder"]
    for id_, cardholder in cardholders.items():
        _span(draft, "cardholder", id_, cardholder)


def _span(draft: Draft, name: str, id_: str, record: Cardholder | Credential | Permission) -> None:
    if record.valid_from is not None and record.valid_until is not None and record.valid_from >= record.valid_until:
        draft.wrong(name, id_, ("valid_until",), "valid_until is not after valid_from")


def _permissions(draft: Draft) -> None:
    permissions: dict[str, Permission] = draft.records["permission"]
    told: set[tuple[int, int]] = set()
    for id_, permission in permissions.items():
        origin = draft.origins["permission"][id_]
        cardholder = "cardholder" if "cardholder" in origin.fields else "cardholders"
        if not draft.known("cardholder", permission.cardholder_id):
            refer(draft, "permission", id_, cardholder, "cardholder", permission.cardholder_id)
        same = (hash(origin.file), origin.line)
        if same in told:
            continue  # one entry for many people is checked once
        told.add(same)
        refer(draft, "permission", id_, "site", "site", permission.site_id)
        for field, target, index, to in _targets(permission):
            refer(draft, "permission", id_, f"{field}.{index}", target, to, permission.site_id)
        if permission.schedule_id is not None:
            refer(draft, "permission", id_, "schedule", "schedule", permission.schedule_id)
        if not any(True for _ in _targets(permission)):
            draft.wrong("permission", id_, (), "names nothing: give zones, doors or access_points")
        if permission.kind == "temporary" and permission.valid_until is None:
            draft.wrong("permission", id_, ("kind",), "a temporary permission needs valid_until")
        if permission.max_uses != 1 and permission.kind != "single_use":
            draft.wrong("permission", id_, ("max_uses",), "max_uses is for permissions of kind single_use")
        _span(draft, "permission", id_, permission)


def _targets(permission: Permission) -> Iterator[tuple[str, str, int, str]]:
    for field, target, ids in (
        ("zones", "zone", permission.zone_ids),
        ("doors", "door", permission.door_ids),
        ("access_points", "access-point", permission.access_point_ids),
    ):
        for index, to in enumerate(ids):
            yield field, target, index, to
