"""From a grant to a passage (A3): one command, and whether somebody went in."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.commands import AccessDoor, ShowDisplay
from schemas.ids import derive
from schemas.places import Device
from schemas.registry import decode
from schemas.vocabulary import Display, Reason, Timeliness
from tests.core.world import World, card, event, of_type, outcomes_of, request

YESTERDAY = "2026-03-01T09:00:00Z"


def commands(world: World) -> list[Any]:
    return [decode(one.topic, one.value) for one in world.sent if one.topic == "device.commands"]


@pytest.mark.branch("A3.01", "A3.02", "A3.03")
def test_a_grant_is_one_decision_and_one_command_that_names_the_pending_request() -> None:
    world = World()
    messages = world.send(request(boot=1, sequence=41))
    decision, command = messages
    assert (decision.type, decision.sequence, decision.actuated) == ("access_granted", 41, True)
    assert isinstance(command, AccessDoor)
    assert (command.request.boot, command.request.sequence) == (1, 41) if command.request else False
    assert command.decision_id == decision.decision_id
    assert command.command_id == derive("command", decision.decision_id)
    assert (command.access_time_s, command.override, command.not_after) == (5, False, None)


def test_who_needs_longer_gets_longer() -> None:
    world = World()
    world.change("cardholder", "ann", extended_access=True)
    world.ask()
    assert commands(world)[0].access_time_s == 15


def test_commands_to_a_door_are_numbered_one_by_one_above_every_earlier_life_of_the_broker() -> None:
    world = World()
    for reader in ("front-in", "lab-in", "front-in", "front-out"):
        world.ask(at=reader)
    start = 1_772_000_000 << 20
    numbers = [(command.door_id, command.sequence - start) for command in commands(world)]
    assert numbers == [("front", 1), ("lab", 1), ("front", 2), ("front", 3)]


@pytest.mark.branch("A3.04", "A3.06")
def test_a_door_that_opens_means_that_somebody_passed_and_says_so_at_once() -> None:
    world = World()
    decision = world.ask()
    command = commands(world)[0]
    world.send(event("command_confirmed", command_id=command.command_id))
    (taken,) = world.send(event("door_opened", command_id=command.command_id))
    assert (taken.type, taken.decision_id, taken.evidence) == ("access_taken", decision.decision_id, "door_opened")
    assert world.sent[-1].topic == "access.decisions"
    assert world.wait(60) == []


def test_a_door_that_stays_shut_means_within_its_window_that_nobody_passed() -> None:
    world = World()
    decision = world.ask()
    assert world.wait(9.999) == []
    (not_taken,) = world.wait(0.001)
    assert (not_taken.type, not_taken.decision_id) == ("access_not_taken", decision.decision_id)


def test_a_controller_that_saw_nobody_go_in_is_believed() -> None:
    world = World()
    world.ask()
    (not_taken,) = world.send(event("no_entry_after_granted", command_id=commands(world)[0].command_id))
    assert not_taken.type == "access_not_taken"
    assert world.wait(60) == []


def test_the_command_that_a_door_opened_for_tells_which_of_several_grants_was_taken() -> None:
    world = World()
    world.person("bob", "200")
    world.ask()
    second = world.ask(card("200"))
    (taken,) = world.send(event("door_opened", command_id=commands(world)[1].command_id))
    assert taken.decision_id == second.decision_id
    assert world.send(event("door_opened", command_id="of nobody")) == []


def test_a_door_without_a_switch_counts_the_grant_as_the_passage() -> None:
    world = World()
    world.change("door", "front", has_dps=False)
    (taken,) = of_type(world.send(request()), "access_taken")
    assert taken.evidence == "grant"
    assert world.wait(60) == []


def test_of_too_many_grants_at_a_door_the_oldest_counts_as_not_taken() -> None:
    world = World()
    decisions = [world.ask() for _ in range(8)]
    assert of_type([decode(one.topic, one.value) for one in world.sent], "access_not_taken") == []
    (oldest,) = of_type(world.send(request()), "access_not_taken")
    assert oldest.decision_id == decisions[0].decision_id
    assert len(world.wait(60)) == 8


@pytest.mark.parametrize(
    ("age_s", "timeliness"),
    [
        (5, Timeliness.ONLINE),
        (5.001, Timeliness.GRACE),
        (30, Timeliness.GRACE),
        (30.001, Timeliness.LATE),
        (86_400, Timeliness.LATE),
    ],
)
def test_only_what_is_young_enough_by_the_brokers_time_opens_a_door(age_s: float, timeliness: Timeliness) -> None:
    world = World()
    decision = world.ask(age_s=age_s, occurred_at="2001-01-01T00:00:00Z")
    acts = timeliness is not Timeliness.LATE
    assert (decision.type, decision.timeliness, decision.actuated) == ("access_granted", timeliness, acts)
    assert decision.age_ms == round(age_s * 1000)
    assert len(commands(world)) == acts
    assert len(world.wait(60)) == acts


def test_a_late_denial_shows_nothing_at_the_reader() -> None:
    world = World()
    assert world.ask(card("999"), age_s=31).type == "access_denied"
    assert commands(world) == []


def test_after_a_late_request_nobody_knows_where_the_cardholder_is() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard"})
    world.ask()
    world.send(event("door_opened"))
    assert world.ask().reason is Reason.PASSBACK
    world.ask(at="front-out", age_s=60)
    assert world.ask().type == "access_granted"


# -- denials ----------------------------------------------------------------------------------------------------------


@pytest.mark.branch("A3.07", "A3.08")
@pytest.mark.parametrize(
    ("changes", "code"),
    [({"status": "revoked"}, Display.NO_PERMISSION), ({"schedule_id": "nowhere on file"}, Display.NOT_NOW)],
)
def test_without_permission_the_door_stays_shut_and_the_reader_says_so(changes: dict[str, Any], code: Display) -> None:
    world = World()
    world.change("permission", "of-ann", **changes)
    decision = world.ask()
    (shown,) = commands(world)
    assert isinstance(shown, ShowDisplay)
    assert (shown.code, shown.decision_id, decision.actuated) == (code, decision.decision_id, False)


@pytest.mark.branch("A3.10", "A3.11")
def test_without_authentication_the_door_stays_shut_and_the_reader_says_so() -> None:
    world = World()
    world.ask(card("999"))
    (shown,) = commands(world)
    assert (shown.type, shown.code) == ("display", Display.NOT_RECOGNISED)


def test_an_unknown_reader_is_answered_so_that_its_controller_need_not_wait() -> None:
    world = World()
    assert world.ask(at="elsewhere").reason is Reason.UNKNOWN_ACCESS_POINT
    assert [one.code for one in commands(world)] == [Display.OUT_OF_SERVICE]


# -- egress -----------------------------------------------------------------------------------------------------------


def test_egress_is_granted_whatever_the_checks_say_and_what_failed_is_on_record() -> None:
    world = World()
    world.change("device", "c1", status="inactive")
    world.change("access-point", "front-out", enabled=False, policy_id="nowhere on file")
    decision = world.ask(card("999"), at="front-out")
    assert (decision.type, decision.reason, decision.actuated) == ("access_granted", None, True)
    assert decision.failed_checks == decision.soft_breaches == ("out_of_service", "unknown_credential")
    assert outcomes_of(decision)["in-service"] == "failed"
    assert len(commands(world)) == 1


def test_a_door_with_controlled_egress_may_refuse_it() -> None:
    world = World()
    world.change("door", "front", egress="controlled", delayed_egress={"delay_s": 15})
    assert world.ask(card("999"), at="front-out").reason is Reason.UNKNOWN_CREDENTIAL
    assert world.ask(at="front-out").type == "access_granted"


# -- what a controller decided alone ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "number", "difference"),
    [("granted", "100", False), ("denied", "100", True), ("granted", "999", True), ("denied", "999", False)],
)
def test_a_record_is_judged_and_differences_flagged_and_never_actuates(
    outcome: str, number: str, *, difference: bool
) -> None:
    world = World()
    decision = world.ask(card(number), outcome=outcome)
    assert (decision.recorded_outcome, decision.difference, decision.actuated) == (outcome, difference, False)
    assert decision.timeliness is Timeliness.OFFLINE
    assert commands(world) == []
    taken = [one for one in world.sent if b'"access_taken"' in (one.value or b"")]
    assert len(taken) == (outcome == "granted" and number == "100")


def test_a_record_is_judged_at_its_own_time() -> None:
    world = World()
    world.change("permission", "of-ann", valid_until="2026-03-01T12:00:00Z")
    assert world.ask().reason is Reason.CREDENTIAL_EXPIRED
    assert world.ask(outcome="granted", occurred_at=YESTERDAY).type == "access_granted"


def test_a_record_of_earlier_is_not_judged_by_who_is_where_now() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard"}, occupancy={"enforcement": "hard", "limit": 1})
    world.ask()
    world.send(event("door_opened"))
    decision = world.ask(outcome="granted", occurred_at=YESTERDAY)
    assert (decision.type, decision.difference) == ("access_granted", False)
    assert outcomes_of(decision)["occupancy"] == "skipped"


def test_a_passage_of_earlier_does_not_undo_what_is_known_since() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard"})
    world.ask(at="front-out")
    world.send(event("door_opened"))
    world.ask(outcome="granted", occurred_at=YESTERDAY)
    assert world.ask().type == "access_granted"


def test_a_passage_that_was_recorded_is_known_from_its_own_time_on() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard", "presence_timeout_s": 3600})
    world.ask(outcome="granted", occurred_at="2026-03-02T08:30:00Z")
    assert world.ask().reason is Reason.PASSBACK
    world.wait(1800)
    assert world.ask().type == "access_granted"


def test_who_was_turned_away_alone_is_where_they_were() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard"})
    world.ask()
    world.send(event("door_opened"))
    world.ask(outcome="denied", at="lab-in")
    assert world.ask().reason is Reason.PASSBACK


def test_who_was_let_in_alone_against_the_rules_is_nowhere_known() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard"})
    world.ask()
    world.send(event("door_opened"))
    world.change("permission", "of-ann", status="revoked")
    assert world.ask(outcome="granted", at="lab-in").difference
    world.change("permission", "of-ann", status="active")
    assert world.ask().type == "access_granted"


# -- what may be gone meanwhile ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", ["door", "access-point", "zone", "site"])
def test_what_is_removed_after_a_grant_breaks_nothing(entity: str) -> None:
    world = World()
    ids = {"door": "front", "access-point": "front-in", "zone": "hall", "site": "hq"}
    world.ask()
    world.remove(entity, ids[entity])
    found = [*world.send(event("door_opened")), *world.wait(60)]
    assert len(of_type(found, "access_taken")) + len(of_type(found, "access_not_taken")) == 1


def test_a_controller_speaks_of_its_own_doors_alone() -> None:
    world = World()
    world.references.put(Device(device_id="c2", site_id="hq"))
    world.ask()
    (refused,) = world.send(event("door_opened", device_id="c2"))
    assert (refused.type, refused.reason) == ("message_refused", Reason.UNKNOWN_ACCESS_POINT)
