"""Who is where, as the oracle sees it: moved by what was granted and by what happened at the doors, in order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from schemas.people import Cardholder
from schemas.places import AccessPoint
from schemas.vocabulary import Direction
from streams.simulator.places import Places

UNSURE = timedelta(seconds=3)
"""A door that moved so shortly before a decision may or may not have been known to it."""

_LONG_AGO = datetime.min.replace(tzinfo=ZoneInfo("UTC"))


def is_escort(holder: Cardholder) -> bool:
    """Whether somebody may accompany others; a guest may not, whatever else is on file."""
    return holder.escort and not holder.needs_escort


@dataclass
class _Grant:
    door_id: str
    until: datetime
    permission_id: str | None
    holder_id: str | None
    places: tuple[str, ...]


@dataclass
class Happenings:
    """The state of all sites. Zones and doors are known by their ids, which no two sites share."""

    places: Places
    _where: dict[tuple[str, str], tuple[str | None, datetime]] = field(default_factory=dict)
    _forgiven: dict[str, datetime] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _escorts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _escort_at: dict[str, datetime] = field(default_factory=dict)
    _candidates: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _opened_on: dict[str, str] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _grants: dict[str, _Grant] = field(default_factory=dict)
    _moves: dict[str, list[tuple[datetime, bool]]] = field(default_factory=lambda: defaultdict(list))

    def where(self, site_id: str, holder_id: str) -> str | None:
        """The zone that somebody was last known to be in; None where nobody knows."""
        zone_id, _since = self._where.get((site_id, holder_id), (None, _LONG_AGO))
        return zone_id

    def comes_from(self, site_id: str, holder_id: str, at: datetime, timeout_s: int) -> str | None:
        """The same for passback, which forgets after so many seconds (0: never) and may be forgiven to everybody."""
        zone_id, since = self._where.get((site_id, holder_id), (None, _LONG_AGO))
        timed_out = timeout_s and at - since >= timedelta(seconds=timeout_s)
        unknown = timed_out or at < since or since <= self._forgiven.get(site_id, _LONG_AGO)
        return None if unknown else zone_id

    def count(self, zone_id: str) -> int:
        """How many are in a zone and all below it."""
        return self._counts[zone_id]

    def expected(self, zone_id: str, door_id: str, holder_id: str) -> int:
        """How many have been let in and have not passed yet, beside somebody who asks again at the same door."""
        own = (door_id, holder_id)
        return sum(zone_id in one.places and (one.door_id, one.holder_id) != own for one in self._grants.values())

    def entered(self, site_id: str, holder_id: str, zone_to: str) -> list[str]:
        """The zones that somebody would be counted in who passes, and is not yet."""
        there = self.places.inside(self.where(site_id, holder_id))
        return [zone_id for zone_id in self.places.inside(zone_to) if zone_id not in there]

    def uses(self, permission_id: str) -> int:
        """How often a single-use permission was used, or may yet be."""
        waiting = sum(grant.permission_id == permission_id for grant in self._grants.values())
        return self._used[permission_id] + waiting

    def candidate(self, zone_id: str, at: datetime, window: timedelta) -> str | None:
        """Who was let in, or turned away only for lack of company, within the window."""
        found = self._candidates.get(zone_id)
        return found[0] if found is not None and at - found[1] <= window else None

    def escorted(self, zone_id: str, at: datetime, window: timedelta) -> bool:
        """Whether somebody who may accompany is in the zone, or was let in within the window."""
        let_in = self._escort_at.get(zone_id)
        return self._escorts[zone_id] > 0 or (let_in is not None and at - let_in <= window)

    def opened_today(self, site_id: str, zone_id: str, at: datetime) -> bool:
        """Whether a first person has opened the zone on that local day."""
        return self._opened_on.get(zone_id) == self._day(site_id, at)

    def busy(self, door_id: str, at: datetime) -> bool | None:
        """Whether a door is open or about to open; None where that can't be known for sure."""
        if any(grant.door_id == door_id and grant.until > at for grant in self._grants.values()):
            return True
        moves = [move for move in self._moves[door_id] if move[0] <= at + UNSURE]
        before = [is_open for when, is_open in moves if when < at - UNSURE]
        states = {before[-1] if before else False, *(is_open for when, is_open in moves if when >= at - UNSURE)}
        return states.pop() if len(states) == 1 else None

    def door_moved(self, door_id: str, at: datetime, *, is_open: bool) -> None:
        """A door position switch moved."""
        self._moves[door_id].append((at, is_open))
        del self._moves[door_id][:-20]

    def granted(
        self, decision_id: str, point: AccessPoint, holder_id: str | None, at: datetime, permission_id: str | None
    ) -> None:
        """A grant whose passage is awaited; `permission_id` of a single-use one. Who enters has a place kept."""
        window = timedelta(seconds=self.places.doors[point.door_id].grant_window_s)
        kept: list[str] = []
        if holder_id is not None and point.direction is Direction.ENTRY:
            kept = self.entered(point.site_id, holder_id, point.zone_to)
        self._grants[decision_id] = _Grant(point.door_id, at + window, permission_id, holder_id, tuple(kept))

    def accompanies(self, zone_id: str, holder: Cardholder, at: datetime, *, let_in: bool) -> None:
        """Somebody was let in, or turned away only for lack of company."""
        self._candidates[zone_id] = (holder.cardholder_id, at)
        if let_in and is_escort(holder):
            self._escort_at[zone_id] = at

    def not_taken(self, decision_id: str) -> None:
        """Nobody passed."""
        self._grants.pop(decision_id, None)

    def taken(self, decision_id: str, permission_id: str | None) -> None:
        """Somebody passed; `permission_id` of a single-use permission, which that used up."""
        self._grants.pop(decision_id, None)
        if permission_id is not None:
            self._used[permission_id] += 1

    def moved(self, site_id: str, holder: Cardholder, zone_to: str, at: datetime, *, entry: bool) -> None:
        """Somebody is in another zone since then; what is known of a later time stays."""
        old, since = self._where.get((site_id, holder.cardholder_id), (None, _LONG_AGO))
        if since <= at:
            self._count(old, zone_to, holder)
            self._where[site_id, holder.cardholder_id] = (zone_to, at)
        if holder.first_person and entry:
            self._opened_on[zone_to] = max(self._opened_on.get(zone_to, ""), self._day(site_id, at))

    def lost(self, site_id: str, holder: Cardholder, at: datetime) -> None:
        """Nobody knows where somebody is any more."""
        old, _since = self._where.get((site_id, holder.cardholder_id), (None, at))
        self._count(old, None, holder)
        self._where[site_id, holder.cardholder_id] = (None, at)

    def forgiven(self, site_id: str, at: datetime) -> None:
        """Everybody's passback at a site is forgiven; they are still counted where they are."""
        self._forgiven[site_id] = at

    def _count(self, old: str | None, new: str | None, holder: Cardholder) -> None:
        left, entered = self.places.inside(old), self.places.inside(new)
        for zone_id, step in [(z, -1) for z in left if z not in entered] + [(z, 1) for z in entered if z not in left]:
            self._counts[zone_id] = max(0, self._counts[zone_id] + step)
            if is_escort(holder):
                self._escorts[zone_id] = max(0, self._escorts[zone_id] + step)

    def _day(self, site_id: str, at: datetime) -> str:
        return at.astimezone(ZoneInfo(self.places.sites[site_id].time_zone)).date().isoformat()
