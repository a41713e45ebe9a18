"""The course of an alert (M3): recorded, told, escalated, acted on, returned to normal, closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.keys import DEVICE, derive_key
from schemas.registry import decode
from schemas.signing import MAC_HEADER, verify
from tests.core.desk import Desk
from tests.core.world import MASTER
from tests.sinks.records import example

MEDIUM_S, HIGH_S, CRITICAL_S = 600, 300, 120


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


@pytest.mark.branch("M3.01")
def test_a_trouble_raises_an_alert_with_its_cause_its_place_what_led_to_it_and_what_to_do(desk: Desk) -> None:
    desk.door("door_held_open")
    desk.door(
        "door_forced_open", last_decision_id="d-1", last_cardholder_id="ann", last_passed_at="2026-03-02T08:00:00Z"
    )
    alert = desk.last()
    assert (alert.type, alert.kind, alert.severity, alert.state) == (
        "alert_raised", "door_forced_open", "high", "unacknowledged",
    )  # fmt: skip
    assert (alert.door_id, alert.device_id, alert.active) == ("front", "c1", True)
    assert [(one.type, one.summary) for one in alert.led_to] == [
        ("access_taken", "ann passed front"),
        ("door_alarm", "front is held open"),
        ("door_alarm", "front was forced open"),
    ]
    assert alert.led_to[-1].id == alert.cause_id
    assert "guard" in alert.procedure


@pytest.mark.branch("M3.02", "M3.03")
def test_a_low_alert_is_recorded_and_closed_at_once_and_nobody_is_told(desk: Desk) -> None:
    desk.door("door_pre_alarm")
    assert desk.told() == [("raised", "low", "unacknowledged"), ("closed", "low", "closed")]
    assert desk.demands() == []
    desk.door("door_pre_alarm")
    desk.wait(301)
    assert (desk.told()[2:], desk.last().count) == ([("seen_again", "low", "closed")], 2)
    desk.door("door_pre_alarm")
    assert desk.last().alert_id != desk.messages()[0].alert_id


@pytest.mark.branch("M3.08", "M3.09")
def test_an_alert_that_nobody_acknowledges_goes_up_to_critical_and_each_step_is_told_once(desk: Desk) -> None:
    desk.device("fault", code="lock", detail="jammed")
    for seconds in (MEDIUM_S, HIGH_S, CRITICAL_S, CRITICAL_S, CRITICAL_S):
        desk.wait(seconds - 1)
        before = len(desk.demands())
        desk.wait(1)
        assert len(desk.demands()) == before + 1
    desk.wait(86_400)
    assert desk.demands() == [
        (1, "medium", ("email",)),
        (2, "high", ("sms",)),
        (3, "critical", ("phone", "sms")),
        (4, "critical", ("phone", "sms")),
        (5, "critical", ("phone", "sms")),
        (6, "critical", ("phone", "sms")),
    ]
    types = ["raised", "escalated", "escalated", "repeated", "repeated", "repeated"]
    assert [one[0] for one in desk.told()] == types
    assert desk.last().next_escalation_at is None


@pytest.mark.branch("M3.08")
def test_an_escalation_is_neither_lost_nor_doubled_when_the_worker_dies(desk: Desk) -> None:
    desk.device("fault", code="lock")
    desk.harness.crash()
    desk.harness.clock.move(MEDIUM_S + HIGH_S * 3)
    desk.harness.start()
    desk.harness.run_until_idle()
    for _ in range(3):
        desk.harness.restart()
        desk.harness.run_until_idle()
    assert [step for step, _, _ in desk.demands()] == [1, 2]
    desk.wait(HIGH_S)
    assert desk.demands()[2:] == [(3, "critical", ("phone", "sms"))]


@pytest.mark.parametrize(
    ("event", "fields"), [("fault", {"code": "lock"}), ("power_failure", {}), ("controller_offline", {})]
)
@pytest.mark.branch("M3.07")
def test_what_is_acknowledged_in_time_is_not_escalated(desk: Desk, event: str, fields: dict[str, str]) -> None:
    desk.device(event, **fields)
    desk.wait(MEDIUM_S - 1)
    assert desk.ask("alert_acknowledged", desk.last().alert_id, reason="on my way") is None
    assert (desk.last().state, desk.last().acknowledged_by, desk.last().comment) == (
        "acknowledged", "op-7", "on my way",
    )  # fmt: skip
    desk.wait(86_400)
    assert [one[0] for one in desk.told()] == ["raised", "acknowledged"]


@pytest.mark.branch("M3.06", "M3.15")
def test_a_critical_alert_demands_a_call_and_proposes_its_plan() -> None:
    with Desk({"kinds": [{"kind": "tamper", "severity": "critical", "plan": "lockdown"}]}) as desk:
        desk.device("tamper")
        assert desk.demands() == [(1, "critical", ("phone", "sms"))]
        assert desk.last().plan_proposed == "lockdown"


def test_a_plan_is_proposed_no_sooner_than_the_alert_is_critical(desk: Desk) -> None:
    desk.door("door_forced_open")
    assert desk.last().plan_proposed is None
    desk.wait(HIGH_S)
    assert (desk.last().severity, desk.last().plan_proposed) == ("critical", "lockdown")


@pytest.mark.branch("M3.10", "M3.11", "M3.12", "M3.19")
def test_a_high_alert_is_acted_on_and_resolved_when_the_action_shows_that_the_cause_is_gone(desk: Desk) -> None:
    desk.door("door_held_open")
    desk.wait(MEDIUM_S)
    assert desk.told()[1:] == [("escalated", "high", "unacknowledged"), ("action_taken", "high", "unacknowledged")]
    (record,) = desk.records("device.commands")
    probe = decode("device.commands", record.value)
    assert (probe.type, probe.device_id, record.key) == ("probe", "c1", b"c1")
    mac = record.header(MAC_HEADER)
    assert mac is not None
    assert verify(derive_key(MASTER, DEVICE, "c1"), mac, "device.commands", record.key, record.value, record.headers)
    desk.door("door_closed")
    assert desk.told()[3:] == [("action_verified", "high", "returned_to_normal_unacknowledged"),
                               ("resolved", "high", "resolved")]  # fmt: skip
    assert (desk.last().action.verdict, desk.last().result) == ("succeeded", "probe showed that the cause is gone")
    desk.wait(600)
    assert desk.told()[5:] == [("closed", "high", "closed")]


@pytest.mark.branch("M3.13", "M3.14")
def test_an_action_that_does_not_help_is_repeated_and_then_the_alert_is_raised(desk: Desk) -> None:
    desk.door("door_held_open")
    desk.wait(MEDIUM_S)
    desk.wait(90)
    attempts = [(one.action.attempt, one.action.verdict) for one in desk.messages() if one.action is not None]
    assert attempts[:6] == [(1, "pending"), (1, "failed"), (2, "pending"), (2, "failed"), (3, "pending"), (3, "failed")]
    assert desk.told()[-1] == ("escalated", "critical", "unacknowledged")
    commands = {decode("device.commands", one.value).command_id for one in desk.records("device.commands")}
    assert len(commands) == 3


def test_an_action_that_somebody_watches_over_is_repeated_and_nothing_is_raised(desk: Desk) -> None:
    desk.door("door_held_open")
    desk.wait(MEDIUM_S)
    desk.ask("alert_acknowledged", desk.last().alert_id)
    desk.wait(3600)
    assert [one.action.attempt for one in desk.messages() if one.type == "alert_action_taken"] == [1, 2, 3]
    assert desk.last().severity == "high"


def test_what_returned_to_normal_still_wants_an_acknowledgement_and_is_then_over(desk: Desk) -> None:
    desk.door("door_forced_open")
    desk.door("door_closed")
    assert desk.told()[1:] == [("returned_to_normal", "high", "returned_to_normal_unacknowledged")]
    desk.wait(HIGH_S)
    assert desk.last().type == "alert_escalated"
    desk.ask("alert_acknowledged", desk.last().alert_id)
    assert desk.told()[3:] == [("acknowledged", "critical", "acknowledged"), ("resolved", "critical", "resolved")]
    desk.wait(600)
    assert desk.told()[5:] == [("closed", "critical", "closed")]


@pytest.mark.branch("M3.20")
def test_a_critical_alert_is_over_when_somebody_knows_and_the_safe_state_is_restored(desk: Desk) -> None:
    desk.device("tamper")
    desk.wait(HIGH_S)
    desk.ask("alert_acknowledged", desk.last().alert_id)
    desk.device("tamper_restored")
    assert [one[0] for one in desk.told()[3:]] == ["returned_to_normal", "resolved"]
    desk.wait(600)
    assert desk.told()[-1] == ("closed", "critical", "closed")


def test_a_cause_that_comes_back_is_the_same_alert_in_its_window_and_another_one_after_it_was_handled(
    desk: Desk,
) -> None:
    for event in ("door_forced_open", "door_closed", "door_forced_open"):
        desk.door(event)
    assert desk.told()[2:] == [("seen_again", "high", "unacknowledged")]
    assert (desk.last().count, desk.last().active) == (2, True)
    desk.ask("alert_acknowledged", desk.last().alert_id)
    desk.door("door_closed")
    assert desk.last().type == "alert_resolved"
    desk.door("door_forced_open")
    assert len({one.alert_id for one in desk.messages()}) == 2


def test_what_is_seen_again_and_again_is_told_once_a_window(desk: Desk) -> None:
    desk.door("door_forced_open")
    desk.ask("alert_acknowledged", desk.last().alert_id)
    for _ in range(40):
        desk.door("door_forced_open")
        desk.wait(30)
    told = [one.count for one in desk.messages() if one.type == "alert_seen_again"]
    assert len(told) == 4
    assert told[-1] == 41


def test_an_alert_that_nobody_closes_is_closed_in_the_end(desk: Desk) -> None:
    desk.device("fault", code="lock")
    desk.ask("alert_acknowledged", desk.last().alert_id)
    desk.wait(31 * 86_400)
    assert (desk.told()[-1], desk.last().result) == (("closed", "medium", "closed"), "nobody closed it")


def test_the_policy_counts_as_it_was_when_the_alert_was_raised(desk: Desk) -> None:
    desk.device("fault", code="lock")
    assert [one.acknowledge_within_s for one in desk.last().escalation] == [600, 300, 120]
    for topic, kept in (("reference.policy", "usual"), ("reference.site", "hq")):
        desk.harness.publish(topic, kept, None)
    desk.wait(MEDIUM_S + HIGH_S + 60)
    assert desk.last().severity == "critical"


def test_a_device_that_is_watched_no_longer_has_no_troubles(desk: Desk) -> None:
    desk.device("fault", code="lock")
    desk.device("tamper")
    desk.device("monitoring_ended")
    states = {one.kind: one.state for one in desk.messages()}
    assert states == dict.fromkeys(("fault", "tamper"), "returned_to_normal_unacknowledged")


def test_an_alert_is_kept_in_about_a_kilobyte(desk: Desk) -> None:
    sizes: list[int] = []
    encode = desk.harness.processor.encode_entity

    def weighed(entity: Any) -> bytes:
        sizes.append(len(encode(entity)))
        return encode(entity)

    desk.harness.processor.encode_entity = weighed  # type: ignore[method-assign]
    for _ in range(6):
        desk.door("door_held_open")
        desk.door("door_forced_open")
    desk.wait(MEDIUM_S)
    assert 300 < max(sizes) < 1300


@pytest.mark.parametrize(
    ("fields", "kind", "severity"),
    [
        ({}, "credential_lockout", "medium"),
        ({"subject": "cardholder", "subject_id": "p0017"}, "cardholder_lockout", "medium"),
        ({"subject": "access-point", "subject_id": "front-in"}, "access_point_lockout", "high"),
        ({"locked_until": None}, "permanent_lockout", "high"),
    ],
)
def test_a_lock_is_an_alert_until_it_ends(desk: Desk, fields: dict[str, Any], kind: str, severity: str) -> None:
    for type_ in ("lockout_started", "lockout_ended"):
        value = example(type_, **{"site_id": "hq", **fields})
        desk.harness.publish("lockouts", "hq", value)
        desk.harness.run_until_idle()
    raised, returned = desk.messages()
    assert (raised.kind, raised.severity, raised.active) == (kind, severity, True)
    assert (returned.state, returned.active) == ("returned_to_normal_unacknowledged", False)


def test_a_reader_that_is_guessed_at_is_an_alert_before_it_is_locked(desk: Desk) -> None:
    desk.harness.publish("lockouts", "hq", example("lockout_impending", site_id="hq"))
    desk.harness.run_until_idle()
    assert (desk.last().kind, desk.last().severity, desk.last().active) == ("lockout_impending", "medium", False)
