"""The oracle on timetables: which doors are told to stand unlocked, and when, and whom no story is about there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from schemas.places import Door, FirstPersonIn
from schemas.record import Output
from schemas.rules import Schedule, Window
from schemas.vocabulary import Enforcement
from streams.commands.simulate import CAMPUS
from streams.loading.campus import read_campus
from streams.simulator.run import Options
from streams.simulator.scene import Cause, Plan, Story, Turn
from streams.simulator.unlocked import Unlocked
from tests.simulator.in_memory import simulate
from tests.simulator.small import DOORS, NOON, World, campus

HOURS = Schedule(schedule_id="hours", name="", windows=(Window(days=("mon",), start="09:00", end="18:00"),))
MAIN = Door(door_id="main", site_id="s", name="main", unlock_schedule_id="hours", **DOORS["main"])
EVENING = NOON + timedelta(hours=9)


def unlocked(**zone_rules: dict[str, FirstPersonIn]) -> Unlocked:
    world = World(campus(HOURS, MAIN, **zone_rules))
    return Unlocked(world.people, world.places)


def tell(found: Unlocked, at: datetime, *kinds: str, door: str = "main") -> None:
    causes = [{"kind": kind} for kind in kinds]
    found.mode({"door_id": door, "causes": causes, "decided_at": at.isoformat()})


def test_a_door_that_is_told_to_stand_unlocked_in_its_hours_and_not_after_them_is_as_it_should_be() -> None:
    found = unlocked()
    tell(found, NOON, "schedule")
    tell(found, NOON, "lockdown", "schedule")
    assert found.differences(NOON, NOON + timedelta(hours=1)) == []
    tell(found, EVENING)
    assert found.differences(NOON, EVENING) == []


@pytest.mark.parametrize(
    ("at", "kinds", "door", "says"),
    [
        (NOON, (), "main", "main is not unlocked"),
        (EVENING, ("schedule",), "main", "main is unlocked"),
        (NOON, ("schedule",), "lab", "lab is unlocked"),
    ],
)
def test_one_that_is_told_otherwise_is_a_finding(at: datetime, kinds: tuple[str, ...], door: str, says: str) -> None:
    found = unlocked()
    tell(found, at, "schedule" if at is NOON else "lockdown")
    tell(found, at, *kinds, door=door)
    assert any(says in one for one in found.differences(at, at))


def test_one_that_nobody_tells_of_is_a_finding_in_its_hours_alone_and_not_where_somebody_must_come_first() -> None:
    assert len(unlocked().differences(NOON, NOON)) == 1
    assert unlocked().differences(EVENING, EVENING) == []
    assert unlocked(hall={"first_person_in": FirstPersonIn(enforcement=Enforcement.HARD)}).differences(NOON, NOON) == []


def test_what_was_told_before_the_run_counts_only_as_how_it_stands() -> None:
    found = unlocked()
    tell(found, EVENING - timedelta(days=1), "schedule")
    tell(found, NOON, "schedule")
    assert found.differences(NOON, NOON) == []


@pytest.mark.parametrize(
    ("start", "stands_unlocked"),
    [(datetime(2026, 3, 2, 1, 0, tzinfo=UTC), True), (datetime(2026, 3, 1, 1, 0, tzinfo=UTC), False)],
)
def test_the_front_doors_of_the_sample_campus_stand_unlocked_on_a_working_day_and_no_story_is_about_them(
    start: datetime, stands_unlocked: bool
) -> None:
    front, modes, told = {"hq-d01", "hq-d02"}, dict[str, str](), list[Plan | Cause | Turn]()
    whole = read_campus(CAMPUS)
    doors = [one for one in whole.records["door"].values() if isinstance(one, Door)]
    assert {one.door_id for one in doors if one.unlock_schedule_id is not None} == front

    def heard(output: Output) -> None:
        if output.topic == "door.modes":
            fields = json.loads(output.value or b"{}")
            modes[fields["door_id"]] = fields["mode"]

    options = Options(seconds=60, rate=10, seed=4)
    report, failed = simulate(whole, options, start, told.append, heard)
    assert (report.differences, report.stale, failed) == ([], [], [])
    assert {door for door, mode in modes.items() if mode == "unlocked"} == (front if stands_unlocked else set())
    causes = [one for one in told if isinstance(one, Cause)]
    assert {one.story for one in causes} >= {Story.FORCED_DOOR, Story.HELD_DOOR}
    assert not any(one.place.get("door_id") in front for one in causes)
