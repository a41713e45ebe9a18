"""Whole days in memory: what is decided is what the oracle expects, and no lock opens that nothing accounts for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.incidents import DoorModeRequested, LockdownReleaseRequested, LockdownRequested
from schemas.record import Output
from streams.commands.simulate import CAMPUS
from streams.loading.campus import Campus, read_campus
from streams.simulator.run import Options
from streams.simulator.scene import Cause, Plan, Story
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
    told, published = list[Plan | Cause](), list[dict[str, Any]]()

    def heard(output: Output) -> None:
        if output.topic in {"door.alarms", "duress.events", "lockouts"}:
            published.append(json.loads(output.value or b"{}"))

    options = Options(seconds=60, rate=5, seed=6)
    report, _failed = simulate(whole, options, MORNING, told.append, heard)
    assert report.sound, report.differences
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


def test_a_story_for_which_a_day_is_too_short_is_said_to_be_missing(whole: Campus) -> None:
    told = list[Plan | Cause]()
    simulate(whole, Options(seconds=10, rate=5, seed=6), MORNING, told.append)
    missing = {one.story: one.missing for one in told if isinstance(one, Plan) and one.missing}
    assert missing == {Story.HELD_DOOR: "it takes 29 s of a day", Story.DYING_CONTROLLER: "it takes 50 s of a day"}
    assert {one.story for one in told if isinstance(one, Cause)} == set(Story) - set(missing)


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
