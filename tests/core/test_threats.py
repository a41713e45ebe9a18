"""Threats (A5): assessed with what contributed, and followed by what their level asks for, which ends by itself."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.registry import decode
from schemas.rules import Policy, Schedule
from schemas.vocabulary import FactorKind, ThreatLevel
from tests.core.world import World, card, event, pin, request

STRANGER = b"x" * 32
MONITOR_S = 1800
HOLD_S = 3600
_RIGHTS = [{"operator_id": "op-7", "rights": ["set_threat_level"]}, {"operator_id": "op-8", "rights": ["unlock"]}]


def site(**rules: Any) -> World:
    """The site, whose operator op-7 may set threat levels."""
    world = World()
    world.change("policy", "usual", operators=_RIGHTS, threats=rules)
    return world


def told(world: World) -> list[str]:
    return [one.type for one in world.threats()]


def assessed(world: World) -> Any:
    return [one for one in world.threats() if one.type == "threat_assessed"][-1]


def force(world: World, door: str = "lab", times: int = 1) -> None:
    for _ in range(times):
        world.send(event("door_forced_open", door_id=door))


def set_level(world: World, number: int = 1, **fields: Any) -> Any:
    asked = {"type": "threat_level_requested", "zone_id": "lab", "level": "high", "reason": "a letter", **fields}
    return world.operator({"request_id": f"set-{number}", **asked}, nonce=f"set-{number}", valid_s=60)[0]


def clear(world: World, number: int = 1, **fields: Any) -> Any:
    asked = {"type": "threat_clear_requested", "subject": "zone", "subject_id": "lab", "reason": "looked at", **fields}
    return world.operator({"request_id": f"clear-{number}", **asked}, nonce=f"clear-{number}")[0]


@pytest.mark.branch("A5.17", "A5.18")
def test_a_low_threat_is_recorded_with_its_analysis_and_nothing_else_is_started() -> None:
    world = site()
    world.send(event("door_opened"))
    found = assessed(world)
    assert told(world) == ["threat_assessed"]
    assert (found.kind, found.assessment.level, found.response) == ("passage_without_decision", "low", "recorded")
    assert [(factor.name, factor.points) for factor in found.assessment.factors] == [("passage_without_decision", 20)]
    assert (found.zone_id, found.door_id, found.device_id, found.cause_type) == ("hall", "front", "c1", "door_opened")
    assert not any(key.startswith(("threat/", "threats/", "monitored/")) for key in world.state)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (force, "door_forced_open"),
        (lambda world: world.send(event("tamper")), "tamper"),
        (lambda world: world.send(request(sequence=1), key=STRANGER), "invalid_signature"),
        (lambda world: world.send(event("door_opened")), "passage_without_decision"),
        (lambda world: _present(world, "stolen"), "stolen_credential"),
        (lambda world: _present(world, "lost"), "lost_credential"),
        (lambda world: world.operator({"type": "passback_forgiven"}, signer="op-9"), "forged_request"),
    ],
)
def test_every_kind_of_threat_is_a_security_exception_with_its_cause(what: Any, kind: str) -> None:
    world = site()
    what(world)
    found = assessed(world)
    assert found.kind == kind
    assert found.assessment.score == sum(factor.points for factor in found.assessment.factors) > 0
    assert found.summary
    assert found.cause_id


def _present(world: World, status: str) -> None:
    world.change("credential", "card-100", status=status)
    world.ask()


def test_the_score_names_the_zone_the_hour_who_is_inside_and_what_else_happened() -> None:
    world = site(working_hours="office", window_s=600)
    world.references.put(_office())
    world.change("zone", "lab", clearance=0, special=True)
    world.ask()
    world.send(event("door_opened"))
    force(world, "front", times=2)
    names = {factor.name: factor.points for factor in assessed(world).assessment.factors}
    assert names == {"door_forced_open": 40, "recent_threats": 10, "occupied": 10, "after_hours": 15}
    force(world, "lab")
    assert {factor.name for factor in assessed(world).assessment.factors} == {
        "door_forced_open", "special_zone", "after_hours",
    }  # fmt: skip


def _office() -> Any:
    window = {"days": ["tue"], "start": "08:00", "end": "18:00"}
    return Schedule.model_validate({"schedule_id": "office", "name": "Office", "windows": [window]})


@pytest.mark.branch("A5.19")
def test_a_medium_threat_heightens_monitoring_until_exactly_its_end() -> None:
    world = site()
    force(world)
    assert told(world) == ["threat_assessed", "monitoring_started"]
    started = world.threats()[-1]
    assert (started.subject, started.subject_id) == ("zone", "lab")
    assert (started.until - started.started_at).total_seconds() == MONITOR_S
    world.wait(MONITOR_S - 0.001)
    world.ask(at="lab-in")
    passage = world.threats()[-1]
    assert (passage.type, passage.kind, passage.monitoring_ids) == (
        "abnormal_passage", "monitored_passage", (started.monitoring_id,),
    )  # fmt: skip
    world.wait(0.001)
    ended = world.threats()[-1]
    assert (ended.type, ended.cause, ended.ended_at, ended.events) == ("monitoring_ended", "expired", started.until, 1)
    world.ask(at="lab-in")
    assert world.threats()[-1] is not None
    assert told(world)[-1] == "monitoring_ended"


def test_another_threat_makes_heightened_monitoring_last_longer() -> None:
    world = site()
    force(world)
    world.wait(1000)
    force(world)
    extended = world.threats()[-1]
    assert extended.type == "monitoring_extended"
    assert (extended.until - extended.started_at).total_seconds() == 1000 + MONITOR_S
    world.wait(MONITOR_S)
    assert told(world)[-1] == "monitoring_ended"


def test_the_holder_of_a_stolen_card_is_monitored_wherever_they_go() -> None:
    world = site()
    _present(world, "stolen")
    assert (world.threats()[-1].subject, world.threats()[-1].subject_id) == ("cardholder", "ann")
    world.change("credential", "card-100", status="active")
    world.ask()
    passage = world.threats()[-1]
    assert (passage.kind, passage.assessment.level) == ("monitored_passage", ThreatLevel.MEDIUM)
    assert [factor.name for factor in passage.assessment.factors] == [
        "monitored_passage", "recent_threats", "monitored_person",
    ]  # fmt: skip


@pytest.mark.branch("A5.20")
def test_a_high_threat_sets_the_level_and_proposes_the_plan_once() -> None:
    world = site()
    force(world, times=5)
    high = assessed(world)
    assert (high.assessment.level, high.response, high.plan_proposed) == ("high", "plan_proposed", "lockdown")
    assert high.scope_zone_id == "hall", "the building that the lab lies in"
    assert high.threat_id in high.confirm
    level = next(one for one in world.threats() if one.type == "threat_level_set")
    assert (level.zone_id, level.level, level.in_force, level.asked) == ("hall", "high", "high", 0)
    force(world)
    force(world, "front", times=9)
    proposed = [one.plan_proposed for one in world.threats() if one.type == "threat_assessed" and one.plan_proposed]
    assert proposed == ["lockdown"], "once, whatever else happens there"
    assert assessed(world).response == "plan_pending"


def test_a_proposal_that_nobody_confirms_is_over_after_a_while() -> None:
    world = site()
    force(world, times=5)
    world.wait(HOLD_S)
    cleared = world.threats()[-1]
    assert (cleared.type, cleared.cause, cleared.in_force) == ("threat_level_cleared", "expired", None)
    assert not any(key.startswith(("threat/", "threats/", "monitored/")) for key in world.state)


def test_forgeries_are_never_more_than_a_medium_threat_and_make_no_other_threat_worse() -> None:
    world = site()
    world.change("zone", "hall", clearance=7)
    for number in range(12):
        world.send(request(sequence=number), key=STRANGER)
    assert assessed(world).assessment.level == "medium"
    assert assessed(world).assessment.factors[-1].name == "at_most"
    force(world)
    assert assessed(world).recent == 0


def test_policies_that_let_strangers_or_duress_start_a_plan_are_refused() -> None:
    for kind in ("invalid_signature", "duress", "lockout"):
        with pytest.raises(ValueError, match="automatic"):
            Policy.model_validate({"policy_id": "p", "methods": [{"kind": "single", "factor": "card"}],
                                   "threats": {"automatic": [kind]}})  # fmt: skip
    with pytest.raises(ValueError, match="high_from"):
        Policy.model_validate({"policy_id": "p", "methods": [{"kind": "single", "factor": "card"}],
                               "threats": {"high_from": 10}})  # fmt: skip


def test_a_zones_own_policy_assesses_what_happens_in_it() -> None:
    world = site()
    world.references.put(
        Policy.model_validate({"policy_id": "vault", "methods": [{"kind": "single", "factor": "card"}],
                               "threats": {"weights": [{"kind": "door_forced_open", "points": 80}], "scope": "area",
                                           "plan": "seal"}})
    )  # fmt: skip
    world.change("zone", "lab", policy_id="vault")
    force(world)
    assert (assessed(world).plan_proposed, assessed(world).scope_zone_id) == ("seal", "lab")
    world.send(event("door_forced_open", door_id="front"))
    assert assessed(world).response == "monitoring"


# -- levels -----------------------------------------------------------------------------------------------------------


def test_who_lacks_the_clearance_of_a_zones_level_is_denied_at_its_entry_for_that_reason() -> None:
    world = site()
    world.person("bob", "200", clearance=3)
    assert set_level(world).type == "operator_request_accepted"
    denied = world.ask(at="lab-in")
    assert (denied.type, denied.reason) == ("access_denied", "threat_level")
    assert ("threat-level", "failed", "level=high clearance=0/3") in denied.checks
    assert world.ask({"kind": "card", "card_number": "200"}, at="lab-in").type == "access_granted"
    assert world.ask().type == "access_granted", "the hall is no part of the lab"
    assert world.ask(at="lab-out").type == "access_granted", "nobody is kept in"


def test_a_level_holds_for_all_that_lies_in_the_zone() -> None:
    world = site()
    set_level(world, zone_id="hall", level="extreme")
    assert world.ask(at="lab-in").reason == "threat_level"


@pytest.mark.parametrize("level", ["low", "medium", "high", "extreme"])
def test_a_level_asks_for_the_clearance_of_the_request_or_of_the_policy(level: str) -> None:
    world = site(clearances={"medium": 2})
    set_level(world, level=level)
    assert world.threats()[-1].asked == {"low": 0, "medium": 2, "high": 3, "extreme": 5}[level]
    set_level(world, 2, level=level, clearance=6)
    assert world.threats()[-1].asked == 6


def test_a_level_for_a_while_asks_for_nothing_from_its_end_on() -> None:
    world = site()
    set_level(world, for_s=60)
    world.wait(59.999)
    assert world.ask(at="lab-in").reason == "threat_level"
    world.wait(0.001)
    assert told(world)[-1] == "threat_level_cleared"
    assert world.ask(at="lab-in").type == "access_granted"


def test_an_operator_clears_levels_and_monitoring_at_once() -> None:
    world = site()
    force(world)
    set_level(world)
    assert clear(world).type == "operator_request_accepted"
    cleared, ended = world.threats()[-2:]
    assert (cleared.type, cleared.cause, cleared.operator_id, cleared.reason) == (
        "threat_level_cleared", "operator", "op-7", "looked at",
    )  # fmt: skip
    assert (ended.type, ended.cause, ended.operator_id) == ("monitoring_ended", "operator", "op-7")
    assert world.ask(at="lab-in").type == "access_granted"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda world: set_level(world, operator_id="op-8"), "invalid_signature"),
        (lambda world: set_level(world, zone_id="moon"), "unknown_zone"),
        (lambda world: set_level(world, zone_id="street"), "unknown_zone"),
        (lambda world: set_level(world, reason=" "), "no_reason"),
        (clear, "unknown_threat"),
        (lambda world: clear(world, subject="cardholder", subject_id="ann"), "unknown_threat"),
        (lambda world: clear(world, reason=""), "no_reason"),
    ],
)
def test_what_is_not_right_is_refused_with_a_word(ask: Any, code: str) -> None:
    world = site()
    refused = ask(world)
    assert (refused.type, refused.code) == ("operator_request_refused", code)
    assert refused.detail


def test_who_lacks_the_right_sets_no_level() -> None:
    world = World()
    assert set_level(world).code == "no_right"


# -- duress -----------------------------------------------------------------------------------------------------------


def test_duress_is_assessed_for_monitoring_alone_and_begins_nothing() -> None:
    world = site()
    world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "pin"]}])
    world.enrol("ann", FactorKind.PIN, pin="830217", duress_pin="830218")
    world.ask(card(), pin("830218"))
    (silent,) = world.threats("duress.threats")
    assert (silent.kind, silent.assessment.level, silent.response) == ("duress", "high", "recorded")
    assert world.threats() == []
    assert not any(key.startswith(("threat", "monitored/", "lately/")) for key in world.state)


# -- the emergency procedure ------------------------------------------------------------------------------------------

_OPERATORS = [{"operator_id": "op-7", "rights": ["set_threat_level", "start_lockdown", "release_lockdown"]}]


def incidents(world: World) -> list[Any]:
    return [decode(one.topic, one.value) for one in world.sent if one.topic == "incidents"]


@pytest.mark.branch("A5.20", "A5.21", "A5.22", "M2.16")
def test_a_confirmed_plan_runs_because_of_the_threat_and_its_end_clears_it() -> None:
    world = site()
    world.change("policy", "usual", operators=_OPERATORS)
    force(world, times=5)
    high = assessed(world)
    asked = {"type": "lockdown_requested", "threat_level": "high", "zone_id": high.scope_zone_id,
             "plan_id": high.plan_proposed, "threat_id": high.threat_id, "reason": "confirmed"}  # fmt: skip
    answer = world.operator({"request_id": "start", **asked}, nonce="start")[0]
    assert answer.type == "operator_request_accepted"
    (started, *_) = incidents(world)
    assert (started.type, started.cause, started.cause_id) == ("lockdown_started", "threat", high.threat_id)
    running = world.threats()[-1]
    assert (running.type, running.incident_id, running.until) == ("threat_level_set", started.incident_id, None)
    assert clear(world, subject_id="hall").code == "still_active"
    world.wait(2 * HOLD_S)
    assert [one for one in world.threats() if one.type == "threat_level_cleared"] == []
    _release(world, started.incident_id)
    cleared = [one for one in world.threats() if one.type == "threat_level_cleared"]
    assert [(one.cause, one.incident_id, one.in_force) for one in cleared] == [
        ("incident_ended", started.incident_id, None)
    ]


def _release(world: World, incident_id: str) -> None:
    asked = {"type": "lockdown_release_requested", "incident_id": incident_id, "reason": "all clear"}
    assert world.operator({"request_id": "release", **asked}, nonce="release")[0].type == "operator_request_accepted"
    done = 0
    for _ in range(20):
        commands = [decode(one.topic, one.value) for one in world.sent if one.topic == "device.commands"]
        for command in commands[done:]:
            world.send(event("command_confirmed", command_id=command.command_id))
        done = len(commands)
        world.wait(1)
        if incidents(world)[-1].type == "lockdown_released":
            return
    pytest.fail(f"not released: {incidents(world)[-1]}")


@pytest.mark.branch("A5.20", "A5.21")
def test_a_plan_starts_by_itself_only_for_the_kinds_that_the_policy_names() -> None:
    world = site(automatic=["door_forced_open"])
    force(world, times=5)
    assert assessed(world).response == "plan_started"
    (started, *_) = incidents(world)
    assert (started.cause, started.cause_id) == ("threat", assessed(world).threat_id)
    assert world.ask().reason in {"lockdown", "threat_level"}
    assert world.ask(at="lab-out").type == "access_granted"
    force(world)
    assert [one.type for one in incidents(world)].count("lockdown_started") == 1


def test_a_plan_that_is_not_there_is_proposed_rather_than_started() -> None:
    world = site(automatic=["door_forced_open"], plan="no such plan")
    force(world, times=5)
    assert assessed(world).response == "plan_proposed"
    assert incidents(world) == []
