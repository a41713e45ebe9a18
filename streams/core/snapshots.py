"""What a controller gets to decide alone with (A5): who may pass its doors with a card, and when.

All but the time is worked out here, by the same records as the site's decisions. Left out is what nobody alone can
know: single-use permissions, doors where a card is not enough, zones that want a second person, and whoever needs an
escort where escorts are demanded. What is left out is denied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from schemas.base import part_to_json
from schemas.people import Cardholder, Credential, Permission
from schemas.permission_snapshots import SnapshotCard, SnapshotGrant, SnapshotPoint, SnapshotSchedule
from schemas.places import AccessPoint, Device, Site
from schemas.rules import Holiday, Policy, SingleMethod
from schemas.vocabulary import Direction, Enforcement, FactorKind
from streams.core import reference, times
from streams.core.checks import is_free_egress
from streams.core.places import Place
from streams.core.places import place as find_place
from streams.core.processor import References

LARGEST_PART = 180_000
"""Bytes of one part's lists; a record of twice that is refused unread by most who read."""

DAY_MS = 86_400_000

Seal = Callable[[str], str]
"""A card number's digest."""

_HARD = Enforcement.HARD
_Span = tuple[int | None, datetime | None, datetime | None]
"""A schedule's index, and from when until when."""


class Contents(NamedTuple):
    """The lists of a snapshot."""

    points: tuple[SnapshotPoint, ...] = ()
    schedules: tuple[SnapshotSchedule, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    grants: tuple[SnapshotGrant, ...] = ()
    cards: tuple[SnapshotCard, ...] = ()

    def digest(self) -> bytes:
        """The same for the same lists."""
        return sha256(part_to_json(tuple(self))).digest()[:16]

    def parts(self) -> list[Contents]:
        """The same lists cut up, so that no part is larger than `LARGEST_PART`."""
        parts: list[dict[str, list[Any]]] = [{}]
        size = 0
        for name, rows in self._asdict().items():
            for row in rows:
                size += len(part_to_json(row)) + 1
                if size > LARGEST_PART and parts[-1]:
                    parts.append({})
                    size = len(part_to_json(row)) + 1
                parts[-1].setdefault(name, []).append(row)
        return [Contents(**{name: tuple(rows) for name, rows in part.items()}) for part in parts]


def snapshot_doors(references: References, device: Device) -> list[str]:
    """The doors of a controller that it decides for by snapshot when it is alone."""
    doors = references.find("door", "device_id", device.device_id)
    return [door.door_id for door in doors if door.site_id == device.site_id and door.degraded_mode == "snapshot"]


def contents_for(references: References, site: Site, device: Device, seal: Seal, now_ms: int) -> Contents:
    """The lists of a controller's snapshot; what ended before this day (UTC) is left out."""
    return _Collector(references, site, seal, now_ms - now_ms % DAY_MS).collect(device)


class _Collector:
    def __init__(self, references: References, site: Site, seal: Seal, day_ms: int) -> None:
        self._references, self._site, self._seal, self._day_ms = references, site, seal, day_ms
        self._policy = reference.policy(references, site.policy_id)
        self._schedules: dict[str, int | None] = {}
        self._made: list[SnapshotSchedule] = []
        self._rights: dict[str, dict[_Span, list[int]]] = {}

    def collect(self, device: Device) -> Contents:
        references = self._references
        points: list[SnapshotPoint] = []
        for door_id in snapshot_doors(references, device):
            for point in references.find("access-point", "door_id", door_id):
                place = find_place(references, point.access_point_id)
                if place is None or point.site_id != device.site_id or is_free_egress(point, place.door):
                    continue
                alone = point.enabled and device.status == "active" and self._card_is_enough(place)
                if alone:
                    self._permit(place, len(points))
                points.append(SnapshotPoint(access_point_id=point.access_point_id, door_id=door_id, card_alone=alone))
        grants: dict[tuple[_Span, tuple[int, ...]], int] = {}
        cards: list[SnapshotCard] = []
        for holder_id, spans in sorted(self._rights.items()):
            own = tuple(sorted(grants.setdefault((span, tuple(at)), len(grants)) for span, at in spans.items()))
            cards += self._cards(holder_id, own)
        return Contents(
            points=tuple(points),
            schedules=tuple(self._made),
            holidays=self._holidays() if self._made else (),
            grants=tuple(
                SnapshotGrant(points=at, schedule=schedule, valid_from=start, valid_until=end)
                for (schedule, start, end), at in grants
            ),
            cards=tuple(sorted(cards, key=lambda card: (card[0], card[1] or ""))),
        )

    def _card_is_enough(self, place: Place) -> bool:
        policy: Policy | None = place.policy or self._policy
        if policy is None or not place.policy_known or place.zone is None:
            return False
        return any(isinstance(one, SingleMethod) and one.factor is FactorKind.CARD for one in policy.methods)

    def _permit(self, place: Place, at: int) -> None:
        """Note who may pass a point, by their permissions."""
        for permission in self._permissions(place.point, place.zone_path):
            schedule = self._schedule(permission.schedule_id)
            if permission.schedule_id is not None and schedule is None:
                continue
            holder = reference.cardholder(self._references, permission.cardholder_id)
            if holder is None or not self._may(holder, permission, place):
                continue
            span = (schedule, permission.valid_from, permission.valid_until)
            spans = self._rights.setdefault(holder.cardholder_id, {})
            points = spans.setdefault(span, [])
            if at not in points:
                points.append(at)

    def _permissions(self, point: AccessPoint, path: Sequence[str]) -> Iterator[Permission]:
        references = self._references
        zones = list(path or (point.zone_to,))
        if point.direction is Direction.EGRESS:
            zones += reference.zone_path(references, point.zone_from) or (point.zone_from,)
        targets = [f"access-point/{point.access_point_id}", f"door/{point.door_id}", *(f"zone/{id_}" for id_ in zones)]
        for target in targets:
            found: Sequence[Permission] = references.find("permission", "target", target)
            for permission in found:
                ended = times.over(permission.valid_until, self._day_ms)
                if permission.site_id == point.site_id and permission.status == "active" and not ended:
                    yield permission

    def _may(self, holder: Cardholder, permission: Permission, place: Place) -> bool:
        zone = place.zone
        if zone is None or holder.status != "active" or permission.kind == "single_use":
            return False
        if (zone.special and permission.kind != "special") or holder.clearance < zone.clearance:
            return False
        if holder.exempt:
            return True
        if zone.escort.enforcement is _HARD and holder.needs_escort:
            return False
        return zone.two_person.enforcement is not _HARD

    def _schedule(self, schedule_id: str | None) -> int | None:
        """A schedule's index; None where it or a calendar that it needs is not on file."""
        if schedule_id is None:
            return None
        if schedule_id not in self._schedules:
            self._schedules[schedule_id] = self._make(schedule_id)
        return self._schedules[schedule_id]

    def _make(self, schedule_id: str) -> int | None:
        schedule = reference.schedule(self._references, schedule_id)
        if schedule is None:
            return None
        observed = schedule.observes_holidays
        if observed and reference.calendars(self._references, self._site.holiday_calendar_ids) is None:
            return None
        self._made.append(
            SnapshotSchedule(windows=schedule.windows, holidays=schedule.holidays, observes_holidays=observed)
        )
        return len(self._made) - 1

    def _holidays(self) -> tuple[Holiday, ...]:
        calendars = reference.calendars(self._references, self._site.holiday_calendar_ids) or ()
        return tuple(day for calendar in calendars for day in calendar.days)

    def _cards(self, holder_id: str, grants: tuple[int, ...]) -> Iterator[SnapshotCard]:
        holder = reference.cardholder(self._references, holder_id)
        for card in reference.credentials_of(self._references, holder_id, FactorKind.CARD):
            if holder is None or card.card_number is None or card.status != "active" or not self._is_the_one(card):
                continue
            start = max((one for one in (card.valid_from, holder.valid_from) if one is not None), default=None)
            end = min((one for one in (card.valid_until, holder.valid_until) if one is not None), default=None)
            if not times.over(end, self._day_ms):
                yield self._seal(card.card_number), card.facility_code, start, end, grants

    def _is_the_one(self, card: Credential) -> bool:
        """Whether a reader that reads this card can mean no other."""
        references, number = self._references, card.card_number
        return (
            number is not None
            and _id(reference.credential_by_card(references, number, card.facility_code)) == card.credential_id
        )


def _id(card: Credential | None) -> str | None:
    return None if card is None else card.credential_id
