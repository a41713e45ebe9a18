"""Which doors stand unlocked by their timetable, as the oracle sees it, and whether they are told to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.vocabulary import Direction, Enforcement
from streams.simulator.people import People
from streams.simulator.places import Places

LATE = timedelta(minutes=2)
"""Timetables are looked at in each whole minute, and a busy worker may be late with that."""


class Unlocked:
    """Learns `door.modes`, in the order of each door."""

    def __init__(self, people: People, places: Places) -> None:
        self._people, self._places = people, places
        self._told: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)

    def mode(self, fields: Mapping[str, Any]) -> None:
        """A message of `door.modes`: whether a schedule is among what asks for the mode."""
        asked = any(cause["kind"] == "schedule" for cause in fields["causes"])
        self._told[fields["door_id"]].append((datetime.fromisoformat(fields["decided_at"]), asked))

    def differences(self, since: datetime, now: datetime) -> list[str]:
        """A sentence for each time from `since` to `now` at which a door's timetable said otherwise than was told."""
        found = []
        for door_id in self._places.doors:
            told = self._told.get(door_id, [])
            heard = [(at, asked) for at, asked in told if at >= since]
            for at, asked in [*heard, (now, bool(told) and told[-1][1])]:
                if asked not in self._right(door_id, at):
                    found.append(f"{door_id} is {'' if asked else 'not '}unlocked by its timetable at {at.isoformat()}")
        return found

    def _right(self, door_id: str, at: datetime) -> set[bool]:
        """Whether a timetable unlocks a door; both where that has just changed, or somebody must have come first."""
        door = self._places.doors[door_id]
        if door.unlock_schedule_id is None:
            return {False}
        site = self._places.sites[door.site_id]
        zones = [
            self._places.zones[point.zone_to]
            for point in self._places.points.values()
            if point.door_id == door_id and point.direction is Direction.ENTRY
        ]
        waits = any(zone.first_person_in.enforcement is Enforcement.HARD for zone in zones)
        open_then = {self._people.open_at(door.unlock_schedule_id, site, moment) for moment in (at, at - LATE)}
        return {*open_then, False} if waits else open_then
