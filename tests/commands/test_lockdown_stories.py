"""The lockdowns of a demo: what is told of them as a story, and what the security desk does next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.incidents import LockdownReleaseRequested, LockdownRequested
from schemas.operators import OperatorRequest
from streams.commands.lockdown_desk import LockdownDesk
from streams.commands.lockdown_stories import LockdownStories
from streams.commands.simulate import CAMPUS
from streams.commands.stories import Stories, Told
from streams.commands.story_lines import together
from streams.loading.campus import Campus, read_campus
from streams.settings import Settings
from streams.simulator.scene import Cause, Plan, Story, Turn

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MISSING = [{"door_id": "hq-d31", "device_id": "hq-c10", "why": "no_answer"}]


@pytest.fixture(scope="module")
def campus() -> Campus:
    return read_campus(CAMPUS)


def at(seconds: float) -> str:
    return (NINE + timedelta(seconds=seconds)).isoformat()


class Day:
    """A day with one lockdown, or a drill."""

    def __init__(self, campus: Campus, story: Story = Story.LOCKDOWN) -> None:
        self.stories = Stories(campus)
        self.lockdowns = LockdownStories(self.stories, campus)
        self.stories.on_story(Plan(story, "hq"))
        self.stories.on_story(Cause(story, "hq", NINE, "an intruder", story.value, {}, "hq-b2"))
        self.told: Told = self.stories.told["hq", story]
        desk = LockdownDesk(Settings(), self.lockdowns, campus, Path())
        self.asked: list[OperatorRequest] = []
        self._desk, self._fields = desk, dict[str, Any]()

    async def waits(self, now_s: float) -> list[str]:
        """What the desk asks for at that time."""
        before = len(self.asked)

        async def ask(request: OperatorRequest) -> None:
            self.asked.append(request)

        await self._desk.act(now_s, ask, lambda who: f"{who}-{len(self.asked)}")
        return [one.operator_id for one in self.asked[before:]]

    def hears(self, type_: str, seconds: float, **fields: Any) -> None:
        """A message about the lockdown; what is not said stays as it was."""
        usual: dict[str, Any] = {"incident_id": "i", "site_id": "hq", "zone_id": "hq-b2", "doors": 14, "confirmed": 0}
        usual |= {"secured": 0, "unconfirmed": [], "approved_by": [], "plan_id": "intruder", "reason": "an intruder"}
        usual |= {"drill": self.told.story is Story.LOCKDOWN_DRILL, "release_reason": "", "started_at": at(1)}
        usual |= {f"{name}_at": None for name in ("confirmed", "secured", "effective", "releasing", "released")}
        self._fields = {**usual, **self._fields, "type": f"lockdown_{type_}", "decided_at": at(seconds), **fields}
        self.lockdowns.on_incident(self._fields)

    def decided(self, type_: str, seconds: float, **fields: Any) -> None:
        """A decision at a door of the building."""
        usual = {"site_id": "hq", "cardholder_id": "p0443", "access_point_id": "hq-d31-in", "timeliness": "online"}
        usual["decided_at"] = usual["occurred_at"] = at(seconds)
        self.lockdowns.on_decision({**usual, "type": f"access_{type_}", "zone_from": "hq-lab-a", **fields})

    @property
    def steps(self) -> list[str]:
        return [f"{step.kind}: {step.text}" for step in together(self.told.steps)]


def lived_through(campus: Campus) -> Day:
    day = Day(campus)
    day.hears("started", 1)
    day.decided("denied", 1.2, direction="entry", reason="lockdown")
    day.decided("denied", 1.4, direction="entry", reason="lockdown", cardholder_id=None)
    day.decided("denied", 1.4, direction="entry", reason="lockdown", timeliness="late")
    alone = {"direction": "entry", "reason": "lockdown", "timeliness": "offline", "zone_to": "hq-lab-a"}
    day.decided("denied", 1.4, **alone, recorded_outcome="denied")
    day.decided("denied", 1.4, **alone, recorded_outcome="granted", occurred_at=at(0.5))
    day.decided("denied", 1.4, **{**alone, "zone_to": "hq-visitors"}, recorded_outcome="granted")
    day.decided("denied", 11.5, **alone, recorded_outcome="granted", occurred_at=at(5))
    day.decided("granted", 1.5, direction="egress", access_point_id="hq-d31-out")
    day.decided("granted", 1.6, direction="egress", access_point_id="hq-d06-out", zone_from="hq-visitors")
    day.hears("progress", 1.6, confirmed=12, secured=12, unconfirmed=[{**MISSING[0], "why": None}])
    day.hears("progress", 1.8, confirmed=13, secured=13)
    day.hears("effective", 9, unconfirmed=MISSING, effective_at=at(9))
    for door in ("hq-d31", "hq-d32"):
        alert = {"kind": "door_mode_unconfirmed", "type": "alert_raised", "door_id": door, "severity": "high"}
        day.lockdowns.on_alert({**alert, "summary": f"{door} is not known", "updated_at": at(9.1)})
    day.stories.on_story(Turn(Story.LOCKDOWN, "hq", NINE + timedelta(seconds=11), "back", "hq-c10 is back"))
    day.hears("confirmed", 12, confirmed=14, secured=14, unconfirmed=[], confirmed_at=at(12), secured_at=at(12))
    day.hears("release_approved", 14, approved_by=["op-1"])
    day.hears("releasing", 15, approved_by=["op-1", "op-2"], release_reason="clear", releasing_at=at(15), confirmed=0)
    day.hears("released", 16, confirmed=14, released_at=at(16))
    return day


def test_a_lockdown_is_told_from_its_start_to_the_last_door_that_is_given_back(campus: Campus) -> None:
    assert lived_through(campus).steps == [
        "caused: an intruder",
        "started: 14 doors of hq-b2, plan intruder: an intruder",
        "refused: Feng Na (p0443) at hq-d31-in, and 1 more",
        "let out: Feng Na (p0443) at hq-d31-out",
        "confirmed: 13 of 14, 13 shut",
        "missing: hq-d31 (no answer)",
        "effective: formally effective",
        "alert: high: hq-d31 is not known",
        "back: hq-c10 is back",
        "let in alone: Feng Na (p0443) at hq-d31-in",
        "confirmed: 14 of 14, 14 shut",
        "secured: every door is shut, 11.0 s on",
        "approved: by op-1; this plan asks for two people",
        'all-clear: by op-1, op-2: "clear"',
        "released: 14 of 14 doors have what is left to them",
    ]


def test_its_numbers_are_there_for_a_script(campus: Campus) -> None:
    day = lived_through(campus)
    assert day.lockdowns.report(day.told) == {
        "incident_id": "i",
        "zone_id": "hq-b2",
        "doors": 14,
        "confirmed": 14,
        "secured": 14,
        "missing": {"hq-d31": "no_answer"},
        "approved_by": ["op-1", "op-2"],
        "refused": 2,
        "let_out": 1,
        "let_in_offline": 1,
        "seconds_until_confirmed": 11.0,
        "seconds_until_secured": 11.0,
        "seconds_until_effective": 8.0,
        "seconds_until_releasing": 14.0,
        "seconds_until_released": 15.0,
    }
    assert day.lockdowns.report(Day(campus).told) == {}


def test_a_lockdown_whose_missing_doors_nobody_was_told_of_lacks_that(campus: Campus) -> None:
    day = Day(campus)
    day.hears("started", 1)
    day.hears("effective", 9, confirmed=14, secured=14, effective_at=at(9))
    lacks = day.told.lacks
    assert {"missing", "alert", "back", "all-clear", "released", "report"} <= set(lacks)
    assert "confirmed" not in lacks


def test_a_lockdown_of_before_of_another_site_or_a_drill_is_another_story(campus: Campus) -> None:
    day = Day(campus)
    day.hears("started", 1, started_at=at(-60))
    day.hears("started", 1, started_at=at(1), site_id="hq-2")
    day.hears("started", 1, site_id="hq", drill=True)
    assert day.told.incident is None
    day.hears("started", 1, drill=False)
    day.hears("started", 2, incident_id="j")
    assert [step.kind for step in day.told.steps] == ["caused", "started"]


async def test_the_desk_starts_a_lockdown_waits_until_every_door_is_shut_and_two_give_the_all_clear(
    campus: Campus,
) -> None:
    day = Day(campus)
    assert await day.waits(0) == []
    assert await day.waits(2) == ["op-7"]
    (start,) = day.asked
    assert isinstance(start, LockdownRequested)
    assert (start.zone_id, start.plan_id, start.drill) == ("hq-b2", "intruder", False)
    assert await day.waits(4) == []
    day.hears("started", 1)
    day.hears("effective", 9, effective_at=at(9), unconfirmed=MISSING)
    assert [await day.waits(now_s) for now_s in (20, 22)] == [[], []]
    day.hears("confirmed", 12, confirmed=14, secured=14, unconfirmed=[], secured_at=at(12))
    assert [await day.waits(now_s) for now_s in (30, 31, 32, 34)] == [[], [], ["op-1"], []]
    day.hears("release_approved", 14, approved_by=["op-1"])
    assert [await day.waits(now_s) for now_s in (40, 42, 44)] == [[], ["op-2"], []]
    assert all(isinstance(one, LockdownReleaseRequested) and one.incident_id == "i" for one in day.asked[1:])


async def test_a_drill_ends_when_it_is_effective_and_has_no_report(campus: Campus) -> None:
    day = Day(campus, Story.LOCKDOWN_DRILL)
    assert [await day.waits(now_s) for now_s in (0, 2)] == [[], ["op-7"]]
    day.hears("started", 1)
    assert await day.waits(9) == []
    day.hears("effective", 2, effective_at=at(2))
    assert [await day.waits(now_s) for now_s in (10, 12)] == [[], ["op-1"]]
    day.hears("releasing", 4, approved_by=["op-1"], releasing_at=at(4), release_reason="over")
    day.hears("released", 5, released_at=at(5))
    assert [await day.waits(now_s) for now_s in (20, 22)] == [[], []]
    assert [step.partition(":")[0] for step in day.steps] == ["caused", "started", "all-clear", "released"]
    assert day.told.lacks == ["raised"]
