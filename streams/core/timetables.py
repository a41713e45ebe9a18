"""Doors that stand unlocked by a timetable (E): the weakest cause of a mode, from a schedule of the reference data.

Windows begin and end on whole minutes of local time, and the clocks of every time zone differ from UTC by whole
minutes. So a look at each whole minute meets every edge, also where clocks change, and what changed in the reference
data (a schedule, a holiday, a door) takes effect within that minute. Between two looks nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import msgspec

from schemas.places import Door, Site
from schemas.vocabulary import Direction, DoorMode, Enforcement
from streams.core import reference
from streams.core.admission import misplaced
from streams.core.mode_control import Doors
from streams.core.mode_state import TIMETABLE, DoorModes, Timetable, mode_key
from streams.core.modes import ModeCause
from streams.core.presence import zone_state
from streams.core.processor import Context, Outcome, State
from streams.core.schedules import began, local

MINUTE_MS = 60_000
PART = 64
"""Doors that change at once; the next ones follow in the next cycle."""


class _Change(msgspec.Struct, frozen=True, gc=False):
    """A door's schedules that ask for a mode no longer, and the one that does from now on."""

    door: Door
    over: tuple[str, ...]
    now: str | None


def look(deadline_ms: int, state: State, context: Context) -> list[Outcome]:
    """Unlock the doors whose time has come, and take back what a schedule asks for no longer."""
    doors = Doors(state, context)
    due_ms = (context.now_ms // MINUTE_MS + 1) * MINUTE_MS
    for number, change in enumerate(_changes(state, context)):
        if number == PART:
            due_ms = deadline_ms + 1
            break
        for schedule_id in change.over:
            doors.remove(change.door, "schedule", schedule_id)
        if change.now is not None:
            doors.add(change.door, ModeCause("schedule", change.now, DoorMode.UNLOCKED, 0, context.now_ms))
    doors.draft.put(TIMETABLE, Timetable(due_ms))
    return doors.finish()


def _changes(state: State, context: Context) -> Iterator[_Change]:
    for site in reference.sites(context.references):
        if misplaced(site.site_id, context):
            continue
        windows = _Windows(site, context)
        for door in reference.doors_of(context.references, site.site_id):
            modes: DoorModes | None = state.get(mode_key(door.door_id))
            stood = [one.cause_id for one in modes.causes if one.kind == "schedule"] if modes is not None else []
            wanted = door.unlock_schedule_id if _is_time(door, windows, state, context) else None
            over = tuple(one for one in stood if one != wanted)
            if over or (wanted is not None and wanted not in stood):
                yield _Change(door, over, wanted)


class _Windows:
    """The schedules of a site at a moment, each looked at once."""

    def __init__(self, site: Site, context: Context) -> None:
        self._references = context.references
        self._calendars = reference.calendars(context.references, site.holiday_calendar_ids)
        self._moment = local(context.now_ms, site.time_zone)
        self._began: dict[str, date | None] = {}

    def began(self, schedule_id: str) -> date | None:
        """The day on which the window began that is open now; None: there is none.

        A schedule that is not on file, or whose holidays are not, opens nothing.
        """
        if schedule_id not in self._began:
            schedule = reference.schedule(self._references, schedule_id)
            self._began[schedule_id] = None
            if schedule is not None and self._calendars is not None:
                self._began[schedule_id] = began(schedule, self._calendars, self._moment)
        return self._began[schedule_id]


def _is_time(door: Door, windows: _Windows, state: State, context: Context) -> bool:
    """Whether a door's schedule says so now, and who must come first has come."""
    day = windows.began(door.unlock_schedule_id) if door.unlock_schedule_id is not None else None
    return day is not None and all(opened >= day.isoformat() for opened in _opened_on(door, state, context))


def _opened_on(door: Door, state: State, context: Context) -> Iterator[str]:
    """For each zone behind a door that wants a first person in: the last local day on which one came."""
    for point in context.references.find("access-point", "door_id", door.door_id):
        zone = reference.zone(context.references, point.zone_to) if point.direction is Direction.ENTRY else None
        if zone is not None and zone.first_person_in.enforcement is Enforcement.HARD:
            yield zone_state(state, zone.zone_id).opened_on
