"""Escalation (E2): the same lockdown of a larger scope, counted anew, and given back as a whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import type_of
from streams.core import lockdowns
from streams.core.lockdown_state import Lockdown
from tests.core.emergency import OPERATORS, Site, commands, incident_id
from tests.core.test_lockdowns import bigger
from tests.core.world import card, event, of_type

DOORS = {
    "lab": {"lab"},
    "office": {"office"},
    "depot": {"depot"},
    "floor": {"lab", "office", "floor"},
    "hall": {"lab", "office", "floor", "front"},
    "hq": {"lab", "office", "floor", "front", "depot"},
}
"""The doors into each zone and what lies in it."""

OUTER = {"lab": ["lab", "floor", "hall", "hq"], "office": ["office", "floor", "hall", "hq"], "depot": ["depot", "hq"]}
KINDS = {"lab": 0, "office": 0, "floor": 1, "hall": 2, "depot": 2, "hq": 3}
LEVELS = ["low", "medium", "high", "extreme"]


def test_entry_to_the_larger_scope_is_refused_at_once_and_only_its_other_doors_are_commanded() -> None:
    site = bigger()
    found = site.lock_down("lab", "low")
    site.obey(found)
    site.wait(1)
    assert site.ask(at="office-in").type == "access_granted"
    told = site.escalate(incident_id(found), "medium", reason="a second one")
    (escalated,) = of_type(told, "lockdown_escalated")
    assert (escalated.incident_id, escalated.zone_id, escalated.threat_level) == (incident_id(found), "floor", "medium")
    assert (escalated.doors, escalated.confirmed) == (3, 1), "the door that is locked stays so"
    assert {(one.door_id, type_of(one)) for one in commands(told)} == {
        ("office", "lock_down_door"), ("floor", "lock_down_door"),
    }  # fmt: skip
    assert {one.door_id for one in of_type(told, "door_mode_desired")} == {"office", "floor"}
    assert site.ask(at="office-in").reason == "lockdown"
    assert site.ask(at="front-in").type == "access_granted"
    (past,) = escalated.escalations
    assert (past.zone_id, past.threat_level, past.operator_id, past.reason) == ("lab", "low", "op-7", "a second one")


def test_what_was_reached_for_the_smaller_scope_is_open_again_until_the_larger_one_has_it() -> None:
    site = bigger(occupants="clear", clear_within_s=60, auto_release_s=600, two_person_release=True)
    site.ask(at="front-in")
    site.send(event("door_opened", door_id="front"))
    site.shut("front", "lab")
    found = site.lock_down("lab", "low")
    site.obey(found)
    reached = site.wait(1)
    assert len(of_type(reached, "lockdown_effective")) == 1
    assert len(of_type(site.release(incident_id(found)), "lockdown_release_approved")) == 1
    site.wait(49)
    told = site.escalate(incident_id(found), "high")
    (escalated,) = of_type(told, "lockdown_escalated")
    assert (escalated.confirmed_at, escalated.secured_at, escalated.effective_at) == (None, None, None)
    assert (escalated.approved_by, escalated.inside) == ((), 1)
    assert (escalated.auto_release_at - escalated.decided_at).total_seconds() == 600
    site.obey(told)
    confirmed = site.wait(1)
    assert [one.doors for one in of_type(confirmed, "lockdown_confirmed")] == [4]
    assert of_type(confirmed, "lockdown_confirmed")[0].confirmed_at == escalated.decided_at
    assert of_type(site.wait(58), "lockdown_effective") == [], "people have as long as at a start"
    assert len(of_type(site.wait(2), "lockdown_effective")) == 1


def test_a_door_of_the_larger_scope_that_does_not_answer_is_told_of_in_time() -> None:
    site = bigger()
    found = site.lock_down("lab", "low")
    site.obey(found)
    site.wait(60)
    told = site.escalate(incident_id(found), "medium")
    site.obey([one for one in commands(told) if one.door_id == "office"])
    late = [one for one in of_type(site.wait(10), "door_mode_desired") if one.unconfirmed is not None]
    assert [(one.door_id, one.unconfirmed) for one in late] == [("floor", "no_answer")]


def test_it_may_be_escalated_again_and_its_release_gives_every_door_back() -> None:
    site = bigger()
    found = site.lock_down("lab", "low")
    id_ = incident_id(found)
    for level in ("medium", "high", "extreme"):
        found += site.escalate(id_, level)
        site.wait(1)
    assert [one.zone_id for one in of_type(found, "lockdown_escalated")] == ["floor", "hall", "hq"]
    assert {one.door_id for one in commands(found)} == DOORS["hq"]
    assert len(commands(found)) == len(DOORS["hq"])
    released = site.release(id_)
    assert {(one.door_id, one.mode) for one in commands(released)} == {(door, "locked") for door in DOORS["hq"]}
    assert site.ask(at="lab-in").type == site.ask(at="depot-in").type == "access_granted"
    site.obey(released)
    (closed,) = of_type(site.wait(1), "lockdown_released")
    assert (closed.incident_id, closed.doors, len(closed.escalations)) == (id_, 5, 3)


def test_who_responds_passes_in_the_larger_scope_too() -> None:
    site = bigger(clearance=5)
    site.person("rescuer", "500", clearance=5)
    id_ = incident_id(site.lock_down("lab", "low"))
    site.escalate(id_, "high")
    assert site.ask(card("500"), at="office-in").type == "access_granted"
    assert site.ask(at="office-in").reason == "lockdown"


def test_a_second_lockdown_of_a_larger_scope_is_one_of_its_own() -> None:
    site = bigger()
    area = site.lock_down("lab", "low")
    floor = site.lock_down("lab", "medium")
    assert incident_id(area) != incident_id(floor)
    (refused,) = site.escalate(incident_id(floor), "low")
    assert refused.code == "not_possible"
    site.escalate(incident_id(area), "high")
    site.release(incident_id(floor))
    assert site.ask(at="office-in").reason == "lockdown"
    site.release(incident_id(area))
    assert site.ask(at="office-in").type == "access_granted"


def test_the_threats_of_the_larger_scope_stand_until_it_is_over() -> None:
    site = bigger(plan_id="lockdown")
    id_ = incident_id(site.lock_down("lab", "low"))
    for _ in range(5):
        site.send(event("door_forced_open", door_id="office"))
    assert of_type(site.threats(), "threat_level_set")[-1].incident_id is None
    site.escalate(id_, "high")
    assert of_type(site.threats(), "threat_level_set")[-1].incident_id == id_


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"incident_id": "none"}, "unknown_incident", "lockdown status"),
        ({"threat_level": "low"}, "not_possible", "is at low already: only a higher level escalates it"),
        ({"reason": " "}, "no_reason", "escalated for a reason"),
        ({"by": "op-9"}, "no_right", "start_lockdown"),
    ],
)
def test_wrong_use_is_refused_and_changes_nothing(fields: dict[str, Any], code: str, says: str) -> None:
    site = bigger()
    site.change("policy", "usual", operators=[*OPERATORS, {"operator_id": "op-9", "rights": ["release_lockdown"]}])
    id_ = incident_id(site.lock_down("lab", "low"))
    (refused,) = site.request("lockdown_escalation_requested", **{"incident_id": id_, "threat_level": "high", **fields})
    assert (refused.code, says in refused.detail) == (code, True)
    assert site.ask(at="office-in").type == "access_granted"


def test_what_has_no_larger_scope_or_is_being_released_is_not_escalated() -> None:
    site = bigger()
    site.change("zone", "lab", parent_id="hq")
    found = site.lock_down("lab", "medium")
    for level in ("high", "extreme"):
        (refused,) = site.escalate(incident_id(found), level)
        assert (refused.code, "covers hq already" in refused.detail) == ("not_possible", True)
    site.release(incident_id(found))
    (refused,) = site.escalate(incident_id(found), "extreme")
    assert (refused.code, "being released already" in refused.detail) == ("not_possible", True)


def test_a_drill_is_escalated_without_a_command() -> None:
    site = bigger()
    found = site.lock_down("lab", "low", drill=True)
    told = site.escalate(incident_id(found), "high")
    assert (of_type(told, "lockdown_escalated")[0].drill, commands(told)) == (True, [])
    assert site.ask(at="office-in").type == "access_granted"


def scope(zone: str, level: str) -> str | None:
    """What a level locks down around a zone; None where the zone is larger than that."""
    wanted = LEVELS.index(level)
    outer = OUTER.get(zone) or [zone, *next(path[path.index(zone) + 1 :] for path in OUTER.values() if zone in path)]
    return None if KINDS[zone] > wanted else next(one for one in outer if KINDS[one] >= wanted)


DRILLS = {"start": {}, "drill": {"drill": True}, "drill with commands": {"drill": True, "drill_commands": True}}
"""The ways to begin one."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(DRILLS)), st.sampled_from(sorted(OUTER)), st.sampled_from(LEVELS)),
        st.tuples(st.just("escalate"), st.integers(0, 3), st.sampled_from(LEVELS)),
        st.tuples(st.just("release"), st.integers(0, 3), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0, 1, 12]), st.none()),
        st.tuples(st.just("operator"), st.sampled_from(["unlocked", "blocked", None]), st.none()),
    ),
    max_size=12,
)


class InForce(NamedTuple):
    """A lockdown as the rules have it."""

    zone: str
    level: str
    kind: str


def escalated(was: InForce, level: str) -> InForce | None:
    """What a lockdown becomes at that level; None where it is none higher, or leads to no larger scope."""
    zone = scope(was.zone, level)
    if zone is None or zone == was.zone or LEVELS.index(level) <= LEVELS.index(was.level):
        return None
    return InForce(zone, level, was.kind)


def is_as_the_rules_say(site: Site, active: dict[str, InForce], mode: str | None) -> None:
    """Each zone has the posture that they give, and once all parts had their turn each door the causes and the mode."""
    commanded = {id_: one for id_, one in active.items() if one.kind != "drill"}
    settled = all(one.applied == one.slices for one in site.state.values() if isinstance(one, Lockdown))
    for door in DOORS["hq"] if settled else ():
        modes = site.state.get(f"mode/{door}")
        causes = [one for one in (modes.causes if modes else ()) if one.kind == "lockdown"]
        wanted = {(id_, one.kind != "start") for id_, one in commanded.items() if door in DOORS[one.zone]}
        assert {(one.cause_id, one.drill) for one in causes} == wanted
        usual = (mode if door == "front" else None) or "locked"
        assert (modes.mode if modes else "locked") == ("locked_down" if wanted else usual)
    postures = {
        key.removeprefix("posture/"): one.drill for key, one in site.state.items() if key.startswith("posture/")
    }
    zones = {
        one.zone: {other.kind for other in commanded.values() if other.zone == one.zone} for one in commanded.values()
    }
    assert postures == {zone: "start" not in kinds for zone, kinds in zones.items()}


@settings(max_examples=100)
@given(STEPS, st.sampled_from([1, 2, 64]))
def test_whatever_is_started_escalated_and_released_in_any_order_ends_with_what_the_others_give(
    steps: Any, part: int
) -> None:
    """Also where one comes while the doors of another still have their turns, a few at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockdowns, "PART", part)
        play(steps)


def play(steps: Any) -> None:
    """Do these steps at a site, and at last release what is left and let every door confirm what it has."""
    site, active, ids, mode = bigger(), dict[str, InForce](), list[str](), None
    for kind, what, level in steps:
        if kind in DRILLS:
            found = site.lock_down(what, level, **DRILLS[kind])
            zone = scope(what, level)
            assert (found[0].type == "operator_request_accepted") == (zone is not None)
            if zone is not None:
                ids.append(incident_id(found))
                active[ids[-1]] = InForce(zone, level, kind)
        elif kind == "wait":
            site.wait(what)
        elif kind == "operator":
            mode = what
            site.request("door_mode_requested", door_id="front", mode=mode)
        elif what < len(ids):
            id_ = ids[what]
            was = active.get(id_)
            if kind == "release":
                assert (site.release(id_)[0].type == "operator_request_accepted") == (was is not None)
                active.pop(id_, None)
            else:
                larger = None if was is None else escalated(was, level)
                assert (site.escalate(id_, level)[0].type == "operator_request_accepted") == (larger is not None)
                if larger is not None:
                    active[id_] = larger
        is_as_the_rules_say(site, active, mode)
    for id_ in list(active):
        site.release(id_)
        del active[id_]
        is_as_the_rules_say(site, active, mode)
    site.wait(0)
    is_as_the_rules_say(site, active, mode)
    site.report(**{
        door: (modes.mode, modes.epoch) for door in DOORS["hq"] if (modes := site.state.get(f"mode/{door}"))
    })  # fmt: skip
    site.wait(2)
    assert not [key for key in site.state if key.startswith(("lockdown", "posture/"))]
