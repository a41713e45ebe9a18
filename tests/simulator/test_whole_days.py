"""Whole days in memory: what is decided is what the oracle expects, and no lock opens that nothing accounts for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from schemas.incidents import DoorModeRequested, LockdownReleaseRequested, LockdownRequested
from schemas.record import Output
from streams.commands.simulate import CAMPUS
from streams.loading.campus import Campus, read_campus
from streams.simulator.run import Options
from streams.simulator.scene import Cause, Plan, Story, Turn
from streams.simulator.stories import AWAY, KNOCK, LOCKDOWNS
from tests.simulator.in_memory import Post, simulate
from tests.simulator.wild import wild

MORNING = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""Nine o'clock on a Monday at the campus."""


@pytest.fixture(scope="module")
def whole() -> Campus:
    return read_campus(CAMPUS)


@pytest.mark.branch("A5.15", "A5.16")
@pytest.mark.parametrize(("scenario", "seed"), [("day", 1), ("outage", 2), ("rush", 3)])
def test_a_seeded_day_goes_as_the_oracle_expects(whole: Campus, scenario: str, seed: int) -> None:
    options, alone = Options(seconds=60, rate=10, seed=seed, scenario=scenario), set[tuple[str, bool]]()

    def heard(output: Output) -> None:
        recorded = json.loads(output.value or b"{}").get("recorded") if output.topic == "access.decisions" else None
        if recorded is not None:
            alone.add((recorded["mode"], recorded["snapshot_version"] is not None))

    report, failed = simulate(whole, options, MORNING, on_output=heard)
    assert (report.differences, report.stale, failed) == ([], [], [])
    assert report.sound
    assert report.oracle_checked > 450
    assert ("snapshot", True) in alone or scenario != "outage"
    assert report.granted > report.denied > 0 or scenario == "rush"


@pytest.mark.parametrize(("scenario", "seed"), [("day", 1), ("outage", 2)])
def test_a_day_on_which_topics_are_read_far_apart_goes_as_the_oracle_expects(
    whole: Campus, scenario: str, seed: int
) -> None:
    options = Options(seconds=60, rate=10, seed=seed, scenario=scenario)
    report, failed = simulate(whole, options, MORNING, slowest_s=2.0)
    assert (report.problems, report.differences, report.stale, failed) == ([], [], [], [])
    assert report.oracle_checked > 400


def test_a_day_with_lockdowns_goes_as_the_oracle_expects_and_everybody_gets_out(whole: Campus) -> None:
    seen, incidents = Counter[tuple[str, str | None]](), list[dict[str, Any]]()

    def heard(output: Output) -> None:
        fields = json.loads(output.value or b"{}")
        if output.topic == "incidents":
            incidents.append(fields)
        elif output.topic == "access.decisions" and "direction" in fields and incidents:
            seen[fields["direction"], fields.get("reason")] += 1

    async def operators(ask: Post) -> None:
        start = {"threat_level": "high", "reason": "an intruder"}
        await asyncio.sleep(15)
        ask(LockdownRequested, "op-7", zone_id="hq-b3", drill=True, **start)
        ask(LockdownRequested, "op-7", zone_id="hq-b1", **start)
        ask(DoorModeRequested, "op-1", door_id="hq-d22", mode="blocked", reason="the gate is broken")
        await asyncio.sleep(10)
        ask(LockdownRequested, "op-7", zone_id="hq-b2", plan_id="intruder", **start)
        await asyncio.sleep(15)
        for incident_id in sorted({one["incident_id"] for one in incidents}):
            for operator_id in ("op-1", "op-2"):
                ask(LockdownReleaseRequested, operator_id, incident_id=incident_id, reason="all clear")
        ask(DoorModeRequested, "op-1", door_id="hq-d22", mode=None, reason="it is mended")

    options = Options(seconds=60, rate=15, seed=9, scenario="outage")
    report, failed = simulate(whole, options, MORNING, on_output=heard, operators=operators)
    assert (report.differences, report.stale, report.violations, failed) == ([], [], [], [])
    assert report.sound
    assert report.modes_set > 60
    assert report.ways_out > 50
    assert report.reasons["lockdown"] > 20
    assert {("entry", "lockdown"), ("egress", None)} <= set(seen)
    assert ("egress", "lockdown") not in seen
    released = [one for one in incidents if one["type"] == "lockdown_released"]
    assert [one["drill"] for one in released] == [True, False, False]


def test_every_story_of_a_day_begins_and_leads_to_what_an_alert_is_raised_of(whole: Campus) -> None:
    told, published, incidents = list[Plan | Cause | Turn](), list[dict[str, Any]](), list[dict[str, Any]]()

    def heard(output: Output) -> None:
        if output.topic in {"door.alarms", "duress.events", "lockouts", "door.modes"}:
            published.append(json.loads(output.value or b"{}"))
        elif output.topic == "incidents":
            incidents.append(json.loads(output.value or b"{}"))

    options = Options(seconds=60, rate=5, seed=6, operators=True)
    report, failed = simulate(whole, options, MORNING, told.append, heard, partial(locking_down, told, incidents))
    assert (report.differences, report.violations, failed) == ([], [], [])
    assert report.sound
    causes = {one.story: one for one in told if isinstance(one, Cause)}
    assert set(causes) == set(Story) == {one.story for one in told if isinstance(one, Plan) and not one.missing}
    found = {(one.get("event"), one.get("door_id")) for one in published}
    forced, held = causes[Story.FORCED_DOOR].place["door_id"], causes[Story.HELD_DOOR].place["door_id"]
    assert {("door_forced_open", forced), ("door_pre_alarm", held), ("door_held_open", held)} <= found
    assert {("door_closed", forced), ("door_closed", held)} <= found
    duress = next(one for one in published if one["type"] == "duress")
    assert causes[Story.DURESS_PIN].place.items() <= duress.items()
    locked = next(one for one in published if one["type"] == "lockout_started" and one["subject"] == "credential")
    assert causes[Story.PIN_GUESSER].place.items() <= locked.items()
    assert_locked_down(causes[Story.LOCKDOWN], told, published, incidents)
    assert report.reasons["lockdown"] >= KNOCK


async def locking_down(told: list[Plan | Cause | Turn], incidents: list[dict[str, Any]], ask: Post) -> None:
    """Start what is asked for, and end it when every door is shut."""
    begun, ended = set[Story](), set[str]()
    while True:
        await asyncio.sleep(0.5)
        for cause in (one for one in told if isinstance(one, Cause) and one.story in LOCKDOWNS):
            if cause.story not in begun:
                begun.add(cause.story)
                drill = cause.story is Story.LOCKDOWN_DRILL
                ask(LockdownRequested, "op-7", zone_id=cause.goal, threat_level="high", drill=drill, reason="so")
        for one in incidents:
            if (one["secured_at"] or one["drill"]) and one["incident_id"] not in ended:
                ended.add(one["incident_id"])
                ask(LockdownReleaseRequested, "op-1", incident_id=one["incident_id"], reason="over")


def assert_locked_down(
    cause: Cause, told: list[Plan | Cause | Turn], published: list[dict[str, Any]], incidents: list[dict[str, Any]]
) -> None:
    """Two controllers were missed with a reason, came back, and their doors were locked within seconds."""
    steps = [one for one in incidents if one["zone_id"] == cause.goal and not one["drill"]]
    effective = next(one for one in steps if one["type"] == "lockdown_effective")
    away = {one["device_id"] for one in effective["unconfirmed"]}
    assert len(away) == AWAY
    assert all(one["why"] == "no_answer" for one in effective["unconfirmed"])
    assert all(device_id in cause.what for device_id in away)
    late = {one["door_id"] for one in published if one.get("unconfirmed") and one["mode"] == "locked_down"}
    assert late == {one["door_id"] for one in effective["unconfirmed"]}
    (back,) = [one for one in told if isinstance(one, Turn)]
    confirmed = datetime.fromisoformat(next(one for one in steps if one["confirmed_at"])["confirmed_at"])
    assert timedelta(0) < confirmed - back.at < timedelta(seconds=2)
    assert steps[-1]["type"] == "lockdown_released"


def test_a_story_for_which_a_day_is_too_short_is_said_to_be_missing(whole: Campus) -> None:
    told = list[Plan | Cause | Turn]()
    simulate(whole, Options(seconds=10, rate=5, seed=6, operators=True), MORNING, told.append)
    missing = {one.story: one.missing for one in told if isinstance(one, Plan) and one.missing}
    assert missing == {
        Story.HELD_DOOR: "it takes 29 s of a day",
        Story.DYING_CONTROLLER: "it takes 50 s of a day",
        Story.LOCKDOWN: "it takes 20 s of a day",
    }
    assert {one.story for one in told if isinstance(one, Cause)} == set(Story) - set(missing)


def test_a_day_without_operators_has_no_lockdown(whole: Campus) -> None:
    told = list[Plan | Cause | Turn]()
    simulate(whole, Options(seconds=30, rate=5, seed=6), MORNING, told.append)
    assert not {one.story for one in told} & set(LOCKDOWNS)


def test_the_same_seed_gives_the_same_day(whole: Campus) -> None:
    options = Options(seconds=20, rate=10, seed=4)
    first, second = (simulate(whole, options, MORNING)[0] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("scenario", "seed"), [("day", 12), ("outage", 13)])
def test_a_day_under_any_rules_goes_as_the_oracle_expects(whole: Campus, scenario: str, seed: int) -> None:
    options = Options(seconds=60, rate=10, seed=seed, scenario=scenario)
    report, failed = simulate(wild(whole, seed), options, MORNING)
    assert (report.differences, report.stale, failed) == ([], [], [])
    assert report.sound
    assert len(report.reasons) > 8
