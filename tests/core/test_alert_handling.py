"""What operators do about alerts (M3), and what they may not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.desk import Desk

HIGH_S = 300


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def forced_open(desk: Desk) -> str:
    """An alert whose cause is there."""
    desk.door("door_forced_open")
    return str(desk.last().alert_id)


def locked_out(desk: Desk) -> str:
    """An alert whose cause is gone."""
    id_ = forced_open(desk)
    desk.door("door_closed")
    return id_


@pytest.mark.branch("M3.07", "M3.18")
def test_an_acknowledged_alert_is_closed_with_its_handling_result(desk: Desk) -> None:
    desk.device("fault", code="lock")
    id_ = desk.last().alert_id
    assert desk.ask("alert_acknowledged", id_) is None
    desk.device("fault_cleared", code="lock")
    assert desk.ask("alert_closed", id_, result="lock replaced") is None
    assert [one[0] for one in desk.told()] == ["raised", "acknowledged", "returned_to_normal", "resolved", "closed"]
    assert (desk.last().state, desk.last().result, desk.last().operator_id) == ("closed", "lock replaced", "op-7")


def test_closing_needs_a_result(desk: Desk) -> None:
    id_ = locked_out(desk)
    assert desk.ask("alert_closed", id_) == "not_possible"
    assert desk.ask("alert_closed", id_, result="a guard was there") is None
    assert desk.last().acknowledged_by == "op-7"
    assert desk.ask("alert_closed", id_, result="again") == "unknown_alert"


def test_what_is_still_there_is_neither_resolved_nor_closed_unless_somebody_entitled_forces_it(desk: Desk) -> None:
    id_ = forced_open(desk)
    assert desk.ask("alert_resolved", id_, result="done") == "still_active"
    assert desk.ask("alert_closed", id_, result="done") == "still_active"
    assert desk.ask("alert_closed", id_, result="done", force=True) == "no_right"
    assert [one[0] for one in desk.told()] == ["raised"]
    assert desk.ask("alert_closed", id_, result="the door is out of order", force=True, operator="op-1") is None
    assert (desk.last().state, desk.last().forced, desk.last().active) == ("closed", True, True)
    desk.door("door_closed")
    assert desk.last().type == "alert_closed"
    forced_open(desk)
    assert desk.last().alert_id != id_


def test_a_resolved_alert_closes_by_itself(desk: Desk) -> None:
    id_ = locked_out(desk)
    assert desk.ask("alert_resolved", id_, result="a guard was there") is None
    assert desk.ask("alert_resolved", id_, result="twice") == "not_possible"
    assert desk.ask("alert_acknowledged", id_) == "not_possible"
    desk.wait(601)
    assert desk.told()[-1] == ("closed", "high", "closed")
    assert desk.last().result == "a guard was there"


def test_a_comment_and_an_assignment_change_nothing_else(desk: Desk) -> None:
    id_ = forced_open(desk)
    assert desk.ask("alert_commented", id_) == "not_possible"
    assert desk.ask("alert_commented", id_, reason="camera 3 is dark") is None
    assert (desk.last().comment, desk.last().state) == ("camera 3 is dark", "unacknowledged")
    assert desk.ask("alert_assigned", id_, assigned_to="guard-4") is None
    assert (desk.last().assigned_to, desk.last().comment) == ("guard-4", "")
    desk.wait(HIGH_S)
    assert (desk.last().type, desk.last().assigned_to) == ("alert_escalated", "guard-4")


def test_a_shelved_alert_waits_until_its_end_and_is_then_told_again(desk: Desk) -> None:
    id_ = forced_open(desk)
    assert desk.ask("alert_shelved", id_, shelve_s=3600) is None
    assert (desk.last().state, desk.last().next_escalation_at) == ("shelved", None)
    desk.wait(3590)
    assert len(desk.told()) == 2
    desk.wait(20)
    assert desk.told()[2:] == [("unshelved", "high", "unacknowledged")]
    assert [step for step, _, _ in desk.demands()] == [1, 2]
    desk.wait(HIGH_S)
    assert desk.told()[3:] == [("escalated", "critical", "unacknowledged")]


def test_a_shelf_has_an_end_that_the_policy_bounds(desk: Desk) -> None:
    id_ = forced_open(desk)
    assert desk.ask("alert_shelved", id_, shelve_s=28_801) == "not_possible"
    assert desk.ask("alert_shelved", id_, shelve_s=0) == "not_possible"
    assert desk.ask("alert_shelved", id_, shelve_s=28_800) is None
    assert desk.ask("alert_shelved", id_, shelve_s=0) is None
    assert desk.told()[2:] == [("unshelved", "high", "unacknowledged")]


def test_what_is_acknowledged_on_the_shelf_is_off_it(desk: Desk) -> None:
    id_ = forced_open(desk)
    desk.ask("alert_shelved", id_, shelve_s=3600)
    desk.ask("alert_acknowledged", id_)
    assert (desk.last().state, desk.last().shelved_until) == ("acknowledged", None)
    assert desk.ask("alert_acknowledged", id_, operator="op-1") == "not_possible"
    desk.wait(7200)
    assert len(desk.demands()) == 1


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"operator": "op-12"}, "no_right"),
        ({"operator": "op-20"}, "no_right"),
        ({"operator": "op-99"}, "unknown_operator"),
        ({"signer": "op-1"}, "invalid_signature"),
    ],
)
def test_who_may_not_is_refused_and_nothing_changes(desk: Desk, how: dict[str, Any], code: str) -> None:
    id_ = forced_open(desk)
    assert desk.ask("alert_acknowledged", id_, **how) == code
    assert desk.told()[0] == ("raised", "high", "unacknowledged")
    assert not [one for one in desk.messages() if one.alert_id == id_ and one.type != "alert_raised"]


def test_a_request_is_carried_out_once(desk: Desk) -> None:
    id_ = forced_open(desk)
    assert desk.ask("alert_commented", id_, reason="one", request_id="same") is None
    assert desk.ask("alert_commented", id_, reason="two", request_id="same") == "repeated"
    assert [one.comment for one in desk.messages() if one.type == "alert_commented"] == ["one"]


def test_no_alert_of_that_id_is_no_alert(desk: Desk) -> None:
    assert desk.ask("alert_acknowledged", "nothing") == "unknown_alert"


def test_another_processors_request_is_left_to_it(desk: Desk) -> None:
    desk.harness.publish("operator.requests", "hq", b'{"type": "door_unlock_requested", "door_id": "front"}')
    desk.harness.publish("operator.requests", "hq", b'{"type": "alert_closed"}')
    desk.harness.publish("operator.requests", "hq", b"not even JSON")
    desk.harness.run_until_idle()
    assert desk.records("access.decisions") == desk.records("operator.requests.dead") == []


def test_monitoring_alone_handles_duress_and_nothing_of_it_is_seen_elsewhere(desk: Desk) -> None:
    desk.duress()
    id_ = desk.last("duress.alerts").alert_id
    assert desk.last("duress.alerts").notify.recipients == ("monitoring",)
    for operator in ("op-1", "op-20"):
        assert desk.ask("alert_acknowledged", id_, operator=operator) in {"unknown_alert", "no_right"}
    assert desk.ask("alert_acknowledged", id_, operator="op-1", topic="duress.requests") == "no_right"
    assert desk.ask("alert_acknowledged", id_, operator="op-20", topic="duress.requests") is None
    assert desk.ask("alert_closed", id_, result="safe", operator="op-20", topic="duress.requests") is None
    assert [one[0] for one in desk.told("duress.alerts")] == ["raised", "acknowledged", "closed"]
    assert desk.told() == []
    assert [one.type for one in desk.messages("access.decisions")] == ["operator_request_refused"] * 2


def test_duress_is_told_again_until_monitoring_acknowledges_and_never_put_aside(desk: Desk) -> None:
    desk.device("controller_offline")
    for _ in range(2):
        desk.duress()
    first, second = {one.alert_id for one in desk.messages("duress.alerts")}
    desk.wait(120)
    types = [(one.type, one.notify is not None) for one in desk.messages("duress.alerts")]
    assert types == [("alert_raised", True)] * 2 + [("alert_repeated", True)] * 2
    assert desk.ask("alert_shelved", first, shelve_s=60, operator="op-20") in {"no_right", "unknown_alert"}
    assert {first, second} == {one.alert_id for one in desk.messages("duress.alerts")}
    desk.door("door_forced_open")
    assert "duress" not in desk.last().to_json().decode()
    assert [one.type for one in desk.last().led_to] == ["door_alarm"]
