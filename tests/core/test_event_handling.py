"""What becomes of an event of each class: recorded alone, or an alert that somebody is told of (M2, M3)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.event_classes import alert_class, class_of
from schemas.vocabulary import Classification, FactorKind
from streams.core.alerts import AlertsProcessor
from streams.core.subscriptions import INPUTS
from streams.engine.harness import Harness
from tests.core.delivering import Deliveries, subscription
from tests.core.desk import Desk
from tests.core.telling import Tellings
from tests.core.world import World, card, event, pin

PEOPLE: tuple[dict[str, Any], ...] = (
    {"recipient_id": "control-room", "email": "room@example.org", "sms": "+86 10 5550 0101"},
)


@pytest.mark.branch("M2.02")
def test_a_normal_passage_raises_no_alert() -> None:
    world = World()
    granted = world.ask(card("100"))
    (taken,) = world.send(event("door_opened"))
    assert taken.type == "access_taken"
    told = [one for one in world.sent if one.topic in AlertsProcessor.inputs]
    assert class_of(granted.model_dump(mode="json")) is Classification.NORMAL
    assert told
    with Harness(AlertsProcessor()) as harness:
        for one in told:
            harness.publish(one.topic, one.key, one.value, one.headers)
        harness.run_until_idle()
        assert harness.outputs("alerts") == []


@pytest.mark.branch("M2.05")
@pytest.mark.parametrize(
    "trouble", ["controller_offline", "fault", "power_failure", "battery_low", "clock_wrong", "flapping"]
)
def test_a_device_event_raises_a_device_alert(trouble: str) -> None:
    with Desk() as desk:
        desk.device(trouble, code="reader_lost", condition="connection")
        raised = [one for one in desk.messages() if one.type == "alert_raised"]
        assert [(one.kind, one.device_id, alert_class(one.kind)) for one in raised] == [
            (trouble, "c1", Classification.DEVICE)
        ]


@pytest.mark.branch("M2.13", "M2.14", "M3.04", "M3.05")
@pytest.mark.parametrize(
    ("happens", "severity", "channel"), [("door_held_open", "medium", "email"), ("door_forced_open", "high", "sms")]
)
def test_an_alert_is_told_by_the_channel_of_its_severity_and_the_outcome_recorded(
    happens: str, severity: str, channel: str
) -> None:
    with Desk() as desk, Tellings(PEOPLE) as notify:
        desk.door(happens)
        for record in desk.records("alerts"):
            notify.harness.publish("alerts", record.key, record.value, record.headers)
        notify.settle()
        sent = [one for one in notify.outcomes() if one.recipient_id == "control-room"]
        assert [(one.type, one.severity.value, one.channel) for one in sent] == [
            ("notification_sent", severity, channel)
        ]
        assert [due.notice.kind for due in notify.attempts if due.recipient_id == "control-room"] == [happens]


@pytest.mark.branch("M2.13")
def test_an_alert_with_its_severity_is_pushed_to_who_subscribes_to_it() -> None:
    wants = subscription(wants={"severities": ["high"], "types": ["alert_raised"]})
    with Desk() as desk, Deliveries(wants) as place:
        desk.door("door_pre_alarm")
        desk.door("door_forced_open")
        for record in desk.records("alerts"):
            place.harness.publish("alerts", record.key, record.value, record.headers)
        place.settle()
        ((_, offset),) = place.delivered()
        raised = place.harness.outputs("alerts")[offset]
        assert b'"door_forced_open"' in (raised.value or b"")


def test_what_is_pushed_says_of_a_decision_under_duress_what_it_says_of_any_other() -> None:
    outputs: list[dict[str, Any]] = []
    for duress in (False, True):
        world = World()
        world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "pin"]}])
        world.enrol("ann", FactorKind.PIN, pin="4711", duress_pin="9021")
        world.ask(card("100"), pin("9021" if duress else "4711"))
        outputs.append({one.topic: one.value for one in world.sent if one.topic in INPUTS})
        assert ("duress.events" in {one.topic for one in world.sent}) is duress
    assert outputs[0] == outputs[1]
