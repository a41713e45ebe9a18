"""A controller's permission snapshot: taken in when it is whole, signed and newer, and asked when nobody answers.

Written from `docs/controllers.md`, sharing no code with what makes snapshots.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from schemas.permission_snapshots import PermissionSnapshot, SnapshotCard, SnapshotGrant, SnapshotSchedule
from schemas.vocabulary import Reason
from streams.simulator.factors import CardShown, Shown

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass
class Vault:
    """What a controller keeps through restarts: the snapshot that counts, and the parts of a newer one so far."""

    held: tuple[PermissionSnapshot, ...] = ()
    coming: dict[int, PermissionSnapshot] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The version that counts; 0 before the first."""
        return self.held[0].version if self.held else 0

    def take(self, part: PermissionSnapshot) -> bool:
        """One more part, its signature checked; says whether another snapshot counts from now on."""
        if part.version <= self.version:
            return False  # never back to an older one
        newest = max((one.version for one in self.coming.values()), default=0)
        if part.version < newest:
            return False
        if part.version > newest:
            self.coming.clear()
        self.coming[part.part] = part
        if set(self.coming) != set(range(1, part.parts + 1)):
            return False
        self.held = tuple(self.coming[number] for number in sorted(self.coming))
        self.coming.clear()
        return True

    def holds_until(self, now: datetime) -> bool:
        """Whether there is a snapshot whose validity is not over."""
        return bool(self.held) and now < self.held[0].valid_until

    def decide(self, device_key: bytes, point_id: str, shown: Sequence[Shown], now: datetime) -> Reason | None:
        """Why a person may not pass now, or None where they may."""
        points = [point for part in self.held for point in part.points]
        at = next((index for index, point in enumerate(points) if point.access_point_id == point_id), None)
        card = next((one for one in shown if isinstance(one, CardShown)), None)
        if at is None or card is None or not points[at].card_alone:
            return Reason.AUTHENTICATION_UNAVAILABLE
        found = [one for part in self.held for one in part.cards if self._is(one, device_key, card)]
        if len(found) != 1:
            return Reason.NO_ACCESS_RIGHTS
        _, _, start, end, own = found[0]
        if start is not None and now < start:
            return Reason.CREDENTIAL_NOT_YET_ACTIVE
        if end is not None and now >= end:
            return Reason.CREDENTIAL_EXPIRED
        grants = [grant for part in self.held for grant in part.grants]
        here = [grants[index] for index in own if at in grants[index].points]
        valid = [grant for grant in here if _is_valid(grant, now)]
        if any(self._open(grant, now) for grant in valid):
            return None
        return Reason.OUT_OF_TIME_RANGE if valid else Reason.NO_ACCESS_RIGHTS

    @staticmethod
    def _is(entry: SnapshotCard, device_key: bytes, card: CardShown) -> bool:
        key = hmac.new(device_key, b"doorstream-snapshot/v1", sha256).digest()
        digest = hmac.new(key, card.card_number.encode(), sha256).digest()[:16].hex()
        return entry[0] == digest and (None in (entry[1], card.facility_code) or entry[1] == card.facility_code)

    def _open(self, grant: SnapshotGrant, now: datetime) -> bool:
        if grant.schedule is None:
            return True
        schedule = [one for part in self.held for one in part.schedules][grant.schedule]
        wall = now.astimezone(ZoneInfo(self.held[0].time_zone))
        minute = wall.hour * 60 + wall.minute
        today, yesterday = self._windows(schedule, wall), self._windows(schedule, wall - timedelta(days=1))
        return any(start <= minute and (minute < end or end <= start) for start, end in today) or any(
            end <= start and minute < end for start, end in yesterday
        )

    def _windows(self, schedule: SnapshotSchedule, day: datetime) -> list[tuple[int, int]]:
        holidays = (one for part in self.held for one in part.holidays)
        kind = next((one.kind for one in holidays if one.date == day.date()), None)
        if schedule.observes_holidays and kind is not None:
            return list(_minutes((one.start, one.end) for one in schedule.holidays if one.kind == kind))
        return list(_minutes((one.start, one.end) for one in schedule.windows if _DAYS[day.weekday()] in one.days))


def _is_valid(grant: SnapshotGrant, now: datetime) -> bool:
    if grant.valid_from is not None and now < grant.valid_from:
        return False
    return grant.valid_until is None or now < grant.valid_until


def _minutes(windows: Iterable[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    for start, end in windows:
        yield _minute(start), _minute(end)


def _minute(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)
