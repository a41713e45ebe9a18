"""Doors that stand unlocked by a timetable: the weakest cause of a mode, decided at each whole minute."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from itertools import pairwise, permutations
from typing import Any

import pytest

from schemas.door_modes import DoorModeDesired
from schemas.envelope import type_of
from schemas.places import Door
from schemas.rules import Holiday, HolidayCalendar, Schedule, Window
from schemas.vocabulary import DoorMode
from streams.core.keeping import Kept
from streams.core.mode_state import TIMETABLE, Timetable
from streams.core.site import SiteProcessor
from streams.core.timetables import PART
from tests.core.emergency import Site, commands, incident_id
from tests.core.given import House
from tests.core.world import MASTER, event, of_type
from tests.engine.test_auditing import audit

DAILY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE = 60


def hours(start: str, end: str, days: tuple[Any, ...] = DAILY, id_: str = "hours") -> Schedule:
    return Schedule(schedule_id=id_, name=id_, windows=(Window(days=days, start=start, end=end),))


class Timed(Site):
    """The site at 10:00 local time of a Monday, its front door with a timetable, and the looks under way."""

    def __init__(self, *schedules: Schedule, at: str = "2026-03-02T10:00+01:00") -> None:
        super().__init__()
        for one in schedules:
            self.references.put(one)
        self.change("door", "front", unlock_schedule_id="hours")
        self.now_ms = round(datetime.fromisoformat(at).timestamp() * 1000)
        self.outcome(Kept(TIMETABLE, Timetable(0)))

    def until(self, at: str) -> list[Any]:
        """Let time pass until a moment."""
        return self.wait(datetime.fromisoformat(at).timestamp() - self.now_ms / 1000)

    def opened(self) -> list[str]:
        """The front door opens: what threatens by that."""
        before = len(self.threats())
        self.send(event("door_opened", occurred_at=datetime.fromtimestamp(self.now_ms / 1000, UTC).isoformat()))
        return [one.kind for one in self.threats()[before:]]

    def mode(self, door: str = "front") -> DoorMode:
        found = self.state.get(f"door/{door}")
        return found.mode if found is not None else DoorMode.LOCKED


def changes(found: list[Any]) -> list[tuple[str, str]]:
    """When a mode was newly asked for, in the time of the site's first day, and which."""
    told: list[DoorModeDesired] = of_type(found, "door_mode_desired")
    return [(f"{one.since.astimezone(UTC):%d %H:%M:%S}", one.mode) for one in told if one.confirmed_at is None
            and one.unconfirmed is None]  # fmt: skip


def test_a_door_stands_unlocked_from_the_first_minute_of_a_window_until_its_end() -> None:
    site = Timed(hours("10:30", "12:00"))
    found = site.until("2026-03-02T12:30+01:00")
    assert changes(found) == [("02 09:30:00", "unlocked"), ("02 11:00:00", "locked")]
    assert {type_of(one) for one in commands(found)} == {"unlock_door", "lock_door"}


def test_what_is_told_names_the_schedule_and_it_is_the_weakest_cause() -> None:
    site = Timed(hours("10:00", "12:00"))
    (told,) = of_type(site.wait(0), "door_mode_desired")
    assert [(one.kind, one.cause_id, one.mode) for one in told.causes] == [("schedule", "hours", "unlocked")]
    assert told.rank == 1


def test_a_site_that_begins_within_a_window_unlocks_at_once_and_a_door_without_a_timetable_stays_locked() -> None:
    site = Timed(hours("08:00", "18:00"))
    assert [one.door_id for one in commands(site.wait(0))] == ["front"]
    assert (site.mode("front"), site.mode("lab")) == (DoorMode.UNLOCKED, DoorMode.LOCKED)


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    site = Timed(hours("22:00", "06:00", ("mon",)))
    found = site.until("2026-03-04T12:00+01:00")
    assert changes(found) == [("02 21:00:00", "unlocked"), ("03 05:00:00", "locked")]


@pytest.mark.parametrize(
    ("at", "until", "expected"),
    [
        # The night of 29 March has no 02:30: the window begins when the clocks jump over it.
        ("2026-03-29T00:00+01:00", "2026-03-29T12:00+02:00", [("29 01:00:00", "unlocked"), ("29 02:00:00", "locked")]),
        # On 25 October 02:30 comes twice, and so does the window.
        (
            "2026-10-25T00:00+02:00",
            "2026-10-25T12:00+01:00",
            [
                ("25 00:30:00", "unlocked"),
                ("25 01:00:00", "locked"),
                ("25 01:30:00", "unlocked"),
                ("25 03:00:00", "locked"),
            ],
        ),
    ],
)
def test_wall_time_decides_also_in_the_nights_in_which_clocks_change(
    at: str, until: str, expected: list[tuple[str, str]]
) -> None:
    assert changes(Timed(hours("02:30", "04:00"), at=at).until(until)) == expected


def test_on_a_holiday_the_door_stays_locked_and_one_that_is_added_takes_effect_within_a_minute() -> None:
    site = Timed(hours("08:00", "18:00"))
    site.obey(site.wait(0))
    site.references.put(HolidayCalendar(holiday_calendar_id="de", name="", days=(Holiday(date=date(2026, 3, 2)),)))
    site.change("site", "hq", holiday_calendar_ids=("de",))
    assert changes(site.wait(MINUTE)) == [("02 09:01:00", "locked")]
    assert [moment for moment, _ in changes(site.until("2026-03-03T09:00+01:00"))] == ["03 07:00:00"]


@pytest.mark.parametrize("how", ["schedule changed", "schedule removed", "door freed", "calendar missing"])
def test_what_changes_in_the_reference_data_takes_effect_within_a_minute(how: str) -> None:
    site = Timed(hours("08:00", "18:00"))
    site.wait(30)
    if how == "schedule changed":
        site.references.put(hours("08:00", "10:00"))
    elif how == "schedule removed":
        site.remove("schedule", "hours")
    elif how == "door freed":
        site.change("door", "front", unlock_schedule_id=None)
    else:
        site.change("site", "hq", holiday_calendar_ids=("nowhere",))
    assert (site.wait(30), site.mode()) != ([], DoorMode.UNLOCKED)
    assert site.mode() is DoorMode.LOCKED


def test_another_schedule_takes_the_place_of_the_one_before_without_a_command() -> None:
    site = Timed(hours("08:00", "18:00"), hours("09:00", "19:00", id_="late"))
    site.obey(site.wait(0))
    site.change("door", "front", unlock_schedule_id="late")
    found = site.wait(MINUTE)
    (told,) = of_type(found, "door_mode_desired")
    assert ([one.cause_id for one in told.causes], commands(found)) == (["late"], [])


def test_a_door_that_gets_a_timetable_is_unlocked_within_a_minute() -> None:
    site = Timed(hours("08:00", "18:00"))
    site.wait(0)
    site.change("door", "lab", unlock_schedule_id="hours")
    assert [one.door_id for one in commands(site.wait(MINUTE)) if one.mode == "unlocked"][-1:] == ["lab"]


def test_while_nothing_changes_nothing_is_told_and_nothing_is_sent() -> None:
    site = Timed(hours("08:00", "18:00"))
    site.obey(site.wait(0))
    assert site.wait(3600) == []


def test_a_scheduled_unlock_during_a_lockdown_takes_effect_when_the_lockdown_ends() -> None:
    site = Timed(hours("10:30", "18:00"))
    started = site.lock_down("lab", "high")
    found = site.until("2026-03-02T11:00+01:00")
    assert (site.mode(), [one.mode for one in commands(found) if one.mode != "locked_down"]) == ("locked_down", [])
    site.release(incident_id(started))
    assert site.mode() is DoorMode.UNLOCKED


def test_an_operators_mode_beats_the_timetable_until_it_is_released() -> None:
    site = Timed(hours("08:00", "18:00"))
    site.wait(0)
    site.request("door_mode_requested", door_id="front", mode="locked")
    site.wait(2 * MINUTE)
    assert site.mode() is DoorMode.LOCKED
    site.request("door_mode_requested", door_id="front", mode=None)
    assert site.mode() is DoorMode.UNLOCKED


def test_in_whatever_order_a_window_a_lockdown_and_an_operator_begin_and_end_the_door_is_what_is_left() -> None:
    """The window begins or ends while the others come and go, each of them before and after each other."""
    for order in permutations(("window", "lockdown", "operator")):
        for over in permutations(("window", "lockdown", "operator")):
            site, active = Timed(hours("10:01", "10:02")), set()
            incident = ""
            for step in order:
                active.add(step)
                if step == "window":
                    site.until("2026-03-02T10:01+01:00")
                elif step == "lockdown":
                    incident = incident_id(site.lock_down("lab", "high"))
                else:
                    site.request("door_mode_requested", door_id="front", mode="blocked")
                assert site.mode() is _mode_of(active), (order, over)
            for step in over:
                active.remove(step)
                if step == "window":
                    site.until("2026-03-02T10:02+01:00")
                elif step == "lockdown":
                    site.release(incident)
                else:
                    site.request("door_mode_requested", door_id="front", mode=None)
                assert site.mode() is _mode_of(active), (order, over)


def _mode_of(active: set[str]) -> DoorMode:
    if "lockdown" in active:
        return DoorMode.LOCKED_DOWN
    if "operator" in active:
        return DoorMode.BLOCKED
    return DoorMode.UNLOCKED if "window" in active else DoorMode.LOCKED


def test_where_a_first_person_must_come_in_the_door_is_unlocked_after_that_and_at_once() -> None:
    site = Timed(hours("08:00", "18:00"))
    site.change("zone", "hall", first_person_in={"enforcement": "hard"})
    site.change("cardholder", "ann", first_person=True)
    site.wait(90)
    assert site.mode() is DoorMode.LOCKED
    site.ask()
    site.send(event("door_opened"))
    assert ([one.door_id for one in commands(site.wait(0))], site.mode()) == (["front"], DoorMode.UNLOCKED)
    site.until("2026-03-03T09:00+01:00")
    assert site.mode() is DoorMode.LOCKED, "nobody has come on the next day"


def test_who_comes_before_the_window_opens_the_zone_for_that_day() -> None:
    site = Timed(hours("10:30", "18:00"))
    site.change("zone", "hall", first_person_in={"enforcement": "hard"})
    site.change("cardholder", "ann", first_person=True)
    site.ask()
    site.send(event("door_opened"))
    assert changes(site.until("2026-03-02T10:45+01:00")) == [("02 09:30:00", "unlocked")]


def test_a_great_many_doors_are_unlocked_in_parts_so_that_others_are_decided_between() -> None:
    site = Timed(hours("08:00", "18:00"))
    front: Any = site.references.get("door", "front")
    for number in range(2 * PART):
        site.references.put(front.model_copy(update={"door_id": f"d{number:03}"}))
    parts = [len(commands(site.wait(0.001))) for _ in range(4)]
    assert sum(parts) == 2 * PART + 1
    assert len(commands(site.wait(0))) == 0
    assert site.state[TIMETABLE].due_ms % 60_000 == 0


def test_what_opens_while_a_door_stands_unlocked_is_no_passage_without_a_decision() -> None:
    site = Timed(hours("10:01", "11:00"))
    assert site.opened() == ["passage_without_decision"]
    site.obey(site.wait(MINUTE))
    assert site.opened() == []
    locking = site.until("2026-03-02T11:00+01:00")
    assert site.opened() == [], "its controller has not locked it yet"
    site.obey(locking)
    assert site.opened() == [], "it was told before the door was locked, and overtaken on its way"
    site.wait(MINUTE)
    assert site.opened() == ["passage_without_decision"]


def test_deciding_again_gives_the_same_however_the_reference_data_changed_meanwhile() -> None:
    """A schedule changes all the time while workers die; the journal tells what each look has seen."""
    door = Door(door_id="lobby", site_id="hq", device_id="c1", name="Lobby", unlock_schedule_id="hours")
    open_hours, shut = hours("00:00", "24:00"), hours("00:00", "00:01", ("sun",))
    with House(door, open_hours) as house:
        for turn in range(12):
            house.learn(shut if turn % 2 else open_hours)
            house.harness.run_until_idle()
            house.harness.advance(90)
            if turn % 3 == 0:
                house.harness.crash()
                house.harness.start()
        told = [json.loads(value or b"{}")["mode"] for value in house.harness.values("door.modes")]
        audited = audit(house.harness, SiteProcessor(MASTER))
    assert (audited.stopped, audited.drifts) == (None, [])
    assert audited.ticks >= 12
    assert {"unlocked", "locked"} == set(told)
    assert sum(one != before for before, one in pairwise(told)) >= 6
