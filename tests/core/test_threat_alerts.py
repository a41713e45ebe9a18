"""Abnormal passages and security events raise alerts that carry how they were assessed (M2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.reference import id_of
from streams.core.alerts import AlertsProcessor
from streams.engine.harness import Harness
from tests.core.desk import _ENTITIES
from tests.core.test_threats import HOLD_S, force, site
from tests.core.world import World, card, event, hq


def alerts_of(world: World) -> list[Any]:
    """What the alerts' machine makes of all that the site has told."""
    with Harness(AlertsProcessor(), start=False) as harness:
        harness.clock.move(world.now_ms / 1000 - harness.clock.now_ms() / 1000)
        for record in hq():
            entity = _ENTITIES[type(record)]
            if any(table.entity == entity.name for table in harness.processor.references):
                harness.publish(entity.topic, id_of(entity, record), record.to_json())
        harness.start()
        for one in world.sent:
            if one.topic in AlertsProcessor.inputs:
                harness.publish(one.topic, (one.key or b"").decode(), one.value)
                harness.run_until_idle()
        return [json.loads(value or b"null") for value in harness.values("alerts")]


def raised(world: World, kind: str) -> list[Any]:
    return [one for one in alerts_of(world) if one["type"] == "alert_raised" and one["kind"] == kind]


@pytest.mark.branch("M2.03", "M2.11", "M2.12")
@pytest.mark.parametrize(("points", "severity"), [(10, "low"), (30, "medium"), (70, "high")])
def test_an_abnormal_passage_raises_an_alert_of_the_severity_of_its_risk(points: int, severity: str) -> None:
    world = site(weights=[{"kind": "antipassback_violation", "points": points}])
    world.change("zone", "hall", passback={"enforcement": "hard"})
    world.change("cardholder", "ann", clearance=7)
    world.ask()
    world.send(event("door_opened"))
    assert world.ask().reason == "passback"
    (alert,) = raised(world, "abnormal_passage")
    assert (alert["severity"], alert["cardholder_id"]) == (severity, "ann")
    names = [factor["name"] for factor in alert["assessment"]["factors"]]
    assert names == ["antipassback_violation", "occupied"]
    assert alert["assessment"]["score"] == sum(factor["points"] for factor in alert["assessment"]["factors"])


@pytest.mark.branch("M2.03")
def test_grants_that_nobody_takes_and_openings_behind_somebody_are_abnormal() -> None:
    world = site()
    for _ in range(3):
        world.ask()
        world.wait(11)
    (alert,) = raised(world, "abnormal_passage")
    assert "nobody goes in" in alert["summary"]
    world.ask()
    command = json.loads([one.value for one in world.sent if one.topic == "device.commands"][-1] or b"")
    world.send(event("door_opened", command_id=command["command_id"]))
    world.send(event("door_opened", command_id=command["command_id"]))
    assert [one.kind for one in world.threats()] == ["not_taken_repeatedly", "tailgating_suspected"]


@pytest.mark.branch("M2.04", "M2.15", "M2.16")
@pytest.mark.parametrize(
    ("times", "kind", "severity", "response"),
    [
        (0, "threat_low", "low", "recorded"),
        (1, "threat_medium", "medium", "monitoring"),
        (5, "threat_high", "critical", "plan_proposed"),
    ],
)
def test_a_security_event_raises_an_alert_with_its_analysis_and_the_response_of_its_level(
    times: int, kind: str, severity: str, response: str
) -> None:
    world = site()
    world.send(event("door_opened", door_id="front"))
    force(world, times=times)
    alert = raised(world, kind)[0]
    assert (alert["severity"], alert["threat"]["response"]) == (severity, response)
    assert alert["assessment"]["level"] == kind.removeprefix("threat_")
    assert alert["assessment"]["factors"]
    assert (alert["plan_proposed"] is not None) == (times == 5)
    assert alert["threat"]["confirm"].startswith("doorstream lockdown start hall") == (times == 5)


def test_the_alert_of_a_threat_stands_as_long_as_what_it_began() -> None:
    world = site()
    force(world, times=5)
    world.wait(HOLD_S)
    found = [one["type"] for one in alerts_of(world) if one["kind"] in {"threat_medium", "threat_high"}]
    assert found == ["alert_raised", "alert_raised", "alert_returned_to_normal", "alert_returned_to_normal"]


@pytest.mark.branch("A5.19")
def test_alerts_of_what_is_monitored_are_raised_by_one_level() -> None:
    calm, tense = site(), site()
    force(tense)
    for world in (calm, tense):
        world.wait(1)
        world.send(event("door_held_open", door_id="lab"))
        world.send(event("door_held_open", door_id="front"))
    assert [one["severity"] for one in raised(calm, "door_held_open")] == ["medium", "medium"]
    severities = {one["door_id"]: one["severity"] for one in raised(tense, "door_held_open")}
    assert severities == {"lab": "high", "front": "medium"}


def test_passages_like_any_other_in_a_monitored_zone_are_one_alert_and_of_a_monitored_person_another() -> None:
    world = site(weights=[{"kind": "monitored_passage", "points": 30}])
    world.person("bob", "200")
    force(world)
    for _ in range(3):
        for who in ("100", "200"):
            world.ask(card(who), at="lab-in")
    passages = [one for one in alerts_of(world) if one["kind"] == "abnormal_passage"]
    assert [one["type"] for one in passages if one["type"] == "alert_raised"] == ["alert_raised"]
    assert {one["alert_id"] for one in passages} == {passages[0]["alert_id"]}
    world.change("credential", "card-100", status="stolen")
    world.ask()
    world.change("credential", "card-100", status="active")
    world.ask(at="lab-in")
    assert len(raised(world, "abnormal_passage")) == 2
