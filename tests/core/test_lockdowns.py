"""Lockdown (E2): entry is refused from the next message on, doors converge, the all-clear gives back the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.access import AccessDenied
from schemas.envelope import type_of
from schemas.places import AccessPoint, Device, Door, Zone
from schemas.vocabulary import Direction
from streams.core.lockdowns import PART
from tests.core.emergency import OPERATORS, Site, commands, incident_id
from tests.core.world import card, door_between, event, of_type


def bigger(**plan: Any) -> Site:
    """The site with a floor `floor` in the hall, an office on it, and another building `depot`."""
    site = Site(**plan)
    for zone, parent, kind in (("floor", "hall", "floor"), ("office", "floor", "area"), ("depot", "hq", "building")):
        site.references.put(Zone(zone_id=zone, site_id="hq", parent_id=parent, kind=kind, name=zone))
    site.change("zone", "lab", parent_id="floor")
    for zone, outer in (("floor", "hall"), ("office", "floor"), ("depot", "street")):
        for record in door_between(zone, outer, zone):
            site.references.put(record)
    return site


@pytest.mark.parametrize(
    ("level", "scope", "doors"),
    [
        pytest.param("low", "lab", {"lab"}, marks=pytest.mark.branch("E2.02")),
        pytest.param("medium", "floor", {"lab", "office", "floor"}, marks=pytest.mark.branch("E2.03")),
        pytest.param("high", "hall", {"lab", "office", "floor", "front"}, marks=pytest.mark.branch("E2.04")),
        pytest.param("extreme", "hq", {"lab", "office", "floor", "front", "depot"}, marks=pytest.mark.branch("E2.05")),
    ],
)
def test_the_threat_level_is_the_scope_and_no_other_door_is_locked(level: str, scope: str, doors: set[str]) -> None:
    found = bigger().lock_down("lab", level)
    (started,) = of_type(found, "lockdown_started")
    assert (started.zone_id, started.doors) == (scope, len(doors))
    assert {(one.door_id, type_of(one)) for one in commands(found)} == {(door, "lock_down_door") for door in doors}


@pytest.mark.branch("E2.06")
@pytest.mark.branch("E2.07")
def test_the_next_request_is_refused_entry_and_everybody_may_leave() -> None:
    site = Site()
    site.lock_down("lab", "high")
    for entry in ("front-in", "lab-in"):
        assert site.ask(at=entry).reason == "lockdown"
    for way_out in ("front-out", "lab-out"):
        found = site.send({**_request(way_out)})
        assert (found[0].type, found[0].soft_breaches) == ("access_granted", ())
        (opened,) = of_type(found, "access_door")
        assert opened.override
        assert opened.mode_epoch == site.state[f"door/{way_out[:-4]}"].mode_epoch


def _request(at: str) -> dict[str, Any]:
    return {"type": "access_requested", "site_id": "hq", "device_id": "c1", "boot": 1, "access_point_id": at,
            "occurred_at": "2026-03-02T09:00:00Z", "factors": [card()]}  # fmt: skip


def test_outside_the_scope_everything_goes_on() -> None:
    site = Site()
    site.lock_down("lab", "low")
    assert site.ask(at="front-in").type == "access_granted"
    assert site.ask(at="lab-in").reason == "lockdown"


def test_a_responder_passes_with_an_override_and_the_current_epoch() -> None:
    site = Site(clearance=5)
    site.person("rescuer", "500", clearance=5)
    site.lock_down("lab", "high")
    found = site.send({**_request("lab-in"), "factors": [card("500")]})
    (opened,) = of_type(found, "access_door")
    assert (opened.override, opened.mode_epoch) == (True, site.state["door/lab"].mode_epoch)
    assert site.ask(at="lab-in").reason == "lockdown"


@pytest.mark.branch("E2.09")
@pytest.mark.branch("E2.10")
@pytest.mark.branch("E2.12")
@pytest.mark.branch("E2.15")
def test_progress_is_seen_door_by_door_until_all_have_confirmed_and_propped_doors_are_named() -> None:
    site = Site()
    site.shut("lab")
    site.send(event("door_opened", door_id="front"))
    found = site.lock_down("lab", "high")
    (started,) = of_type(found, "lockdown_started")
    assert (started.doors, started.confirmed, started.notice != "", started.guard_notice != "") == (2, 0, True, True)
    front, lab = commands(found)
    site.obey([lab])
    (half,) = of_type(site.wait(1), "lockdown_progress")
    assert (half.confirmed, half.secured, [one.door_id for one in half.unconfirmed]) == (1, 1, ["front"])
    site.obey([front])
    told = site.wait(0.9)
    (confirmed,) = of_type(told, "lockdown_confirmed")
    assert (confirmed.confirmed, confirmed.secured, confirmed.propped) == (2, 1, ("front",))
    assert confirmed.confirmed_at is not None
    assert len(of_type(told, "lockdown_effective")) == 1
    site.shut("front")
    (secured,) = of_type(site.wait(6), "lockdown_progress")
    assert (secured.secured, secured.secured_at is not None, secured.propped) == (2, True, ())


def test_a_door_that_cannot_confirm_is_named_with_the_reason_and_does_not_keep_it_from_being_effective() -> None:
    site = Site()
    site.lock_down("lab", "low")
    told = site.wait(10)
    (effective,) = of_type(told, "lockdown_effective")
    assert [(one.door_id, one.why) for one in effective.unconfirmed] == [("lab", "controller_offline")]
    assert of_type(told, "lockdown_confirmed") == []


@pytest.mark.branch("E2.11")
@pytest.mark.branch("E2.13")
@pytest.mark.branch("E2.14")
def test_where_people_are_to_leave_it_is_effective_when_nobody_is_left() -> None:
    site = Site(occupants="clear")
    site.ask(at="lab-in")
    site.send(event("door_opened", door_id="lab"))
    site.shut("lab")
    found = site.lock_down("lab", "low")
    assert of_type(found, "lockdown_started")[0].inside == 1
    site.obey(found)
    assert of_type(site.wait(60), "lockdown_effective") == []
    site.ask(at="lab-out")
    site.send(event("door_opened", door_id="lab"))
    (effective,) = of_type(site.wait(2), "lockdown_effective")
    assert effective.inside == 0


def test_people_who_do_not_leave_in_time_do_not_keep_it_from_being_effective() -> None:
    site = Site(occupants="clear", clear_within_s=30)
    site.ask(at="lab-in")
    site.send(event("door_opened", door_id="lab"))
    site.obey(site.lock_down("lab", "low"))
    assert of_type(site.wait(29), "lockdown_effective") == []
    assert len(of_type(site.wait(2), "lockdown_effective")) == 1


@pytest.mark.branch("E2.12")
def test_an_operator_may_declare_it_effective_although_people_are_inside_and_doors_have_not_confirmed() -> None:
    site = Site(occupants="clear")
    site.ask(at="lab-in")
    site.send(event("door_opened", door_id="lab"))
    site.shut("lab")
    found = site.lock_down("lab", "high")
    site.obey(commands(found)[:1])
    accepted, effective = site.declare(incident_id(found), reason="the last one stays in the vault")
    assert (accepted.type, accepted.incident_id) == ("operator_request_accepted", effective.incident_id)
    assert (effective.type, effective.effective_by, effective.inside) == ("lockdown_effective", "op-7", 1)
    assert effective.effective_reason == "the last one stays in the vault"
    assert (effective.confirmed, [one.door_id for one in effective.unconfirmed]) == (1, ["lab"])
    assert of_type(site.wait(3600), "lockdown_effective") == [], "once"
    assert of_type(site.release(effective.incident_id), "lockdown_releasing")[0].effective_by == "op-7"


def test_what_is_no_more_to_be_declared_effective_is_refused_and_says_why() -> None:
    site = Site(occupants="clear")
    site.ask(at="lab-in")
    site.send(event("door_opened", door_id="lab"))
    id_ = incident_id(site.lock_down("lab"))
    site.change("policy", "usual", operators=[*OPERATORS, {"operator_id": "op-9", "rights": ["start_lockdown"]}])
    for fields, code in (
        ({"incident_id": "none"}, "unknown_incident"),
        ({"reason": " "}, "no_reason"),
        ({"by": "op-9"}, "no_right"),
    ):
        (refused,) = site.request("lockdown_effective_requested", **{"incident_id": id_, **fields})
        assert refused.code == code
    site.declare(id_)
    (refused,) = site.declare(id_)
    assert (refused.code, "has been effective since" in refused.detail) == ("not_possible", True)
    site.release(id_)
    (refused,) = site.declare(id_)
    assert (refused.code, "being released" in refused.detail) == ("not_possible", True)


@pytest.mark.branch("E2.16")
def test_without_an_all_clear_it_stays_and_each_change_of_its_doors_is_told() -> None:
    site = Site()
    site.shut("lab")
    site.obey(site.lock_down("lab", "low"))
    site.wait(3600)
    site.send(event("door_opened", door_id="lab"))
    (moved,) = of_type(site.wait(6), "lockdown_progress")
    assert (moved.secured, moved.propped) == (0, ("lab",))
    assert site.ask(at="lab-in").reason == "lockdown"


def test_a_remote_unlock_of_a_door_that_is_locked_down_or_blocked_is_refused_as_no_controller_obeys_it() -> None:
    site = Site()
    locked = site.lock_down("lab", "low")
    (refused,) = site.request("door_unlock_requested", door_id="lab")
    assert (refused.type, refused.code) == ("operator_request_refused", "not_possible")
    site.obey(site.release(incident_id(locked)))
    assert [one.type for one in site.request("door_unlock_requested", door_id="lab")][1:] == ["access_door"]
    site.request("door_mode_requested", door_id="lab", mode="blocked")
    (refused,) = site.request("door_unlock_requested", door_id="lab")
    assert refused.code == "not_possible"


@pytest.mark.branch("E2.17")
@pytest.mark.branch("E2.18")
@pytest.mark.branch("E2.19")
@pytest.mark.branch("E2.20")
@pytest.mark.branch("E2.21")
def test_the_all_clear_gives_each_door_what_is_left_to_it_and_closes_when_all_have_confirmed() -> None:
    site = Site()
    site.request("door_mode_requested", door_id="front", mode="unlocked")
    found = site.lock_down("lab", "high")
    site.obey(found)
    site.wait(1)
    told = site.release(incident_id(found))
    assert len(of_type(told, "lockdown_releasing")) == 1
    assert {(one.door_id, type_of(one), one.mode) for one in commands(told)} == {
        ("front", "lock_down_release_door", "unlocked"),
        ("lab", "lock_down_release_door", "locked"),
    }
    assert site.ask(at="lab-in").type == "access_granted"
    assert of_type(site.wait(1), "lockdown_released") == []
    site.obey(told)
    (released,) = of_type(site.wait(1), "lockdown_released")
    assert (released.confirmed, released.approved_by, released.release_reason) == (2, ("op-7",), "an intruder")
    assert {one.type for one in site.wait(3600)} <= {"access_not_taken"}
    (refused,) = site.release(incident_id(found))
    assert refused.code == "unknown_incident"


def test_overlapping_lockdowns_end_one_by_one() -> None:
    site = Site()
    area, building = site.lock_down("lab", "low"), site.lock_down("lab", "high")
    assert {one.door_id for one in commands(building)} == {"front"}
    site.release(incident_id(building))
    assert site.ask(at="front-in").type == "access_granted"
    assert site.ask(at="lab-in").reason == "lockdown"
    site.release(incident_id(area))
    assert site.ask(at="lab-in").type == "access_granted"


def test_two_lockdowns_of_a_zone_let_pass_only_whom_both_do() -> None:
    site = Site(clearance=3)
    site.person("rescuer", "500", clearance=3)
    first = site.lock_down("lab", "low")
    site.change("policy", "usual", lockdowns=[{"plan_id": "strict", "rank": 9}])
    second = site.lock_down("lab", "low")
    assert site.ask(card("500"), at="lab-in").reason == "lockdown"
    site.release(incident_id(second))
    assert site.ask(card("500"), at="lab-in").type == "access_granted"
    site.release(incident_id(first))


def test_where_the_plan_asks_for_it_two_people_release() -> None:
    site = Site(two_person_release=True)
    id_ = incident_id(site.lock_down())
    assert len(of_type(site.release(id_), "lockdown_release_approved")) == 1
    assert site.release(id_)[0].code == "same_person"
    assert site.ask(at="lab-in").reason == "lockdown"
    (releasing,) = of_type(site.release(id_, by="op-8"), "lockdown_releasing")
    assert releasing.approved_by == ("op-7", "op-8")


def test_it_ends_by_itself_where_it_has_an_end() -> None:
    site = Site()
    site.obey(site.lock_down(auto_release_s=60))
    assert of_type(site.wait(59), "lockdown_releasing") == []
    (releasing,) = of_type(site.wait(1), "lockdown_releasing")
    assert releasing.release_reason == "its time is over"


def test_a_drill_is_told_and_refuses_nobody_and_commands_nothing() -> None:
    site = Site()
    found = site.lock_down("lab", "high", drill=True)
    assert commands(found) == []
    (started,) = of_type(found, "lockdown_started")
    assert (started.drill, started.doors) == (True, 2)
    assert site.ask(at="lab-in").type == "access_granted"
    assert len(of_type(site.wait(1), "lockdown_effective")) == 1
    site.release(started.incident_id)
    assert len(of_type(site.wait(1), "lockdown_released")) == 1


def test_a_drill_gives_way_to_a_real_lockdown_and_keeps_out_no_responder_in_it() -> None:
    site = Site()
    site.change("policy", "usual", lockdowns=[{"plan_id": "usual", "clearance": 5}, {"plan_id": "strict"}])
    site.person("rescuer", "500", clearance=5)

    def said(number: str, at: str = "lab-in") -> tuple[Any, ...]:
        decision = site.ask(card(number), at=at)
        return (decision.reason, decision.drill) if isinstance(decision, AccessDenied) else (None,)

    for level in ("low", "high"):
        site.lock_down("lab", level, drill=True, drill_commands=True, plan_id="strict")
    assert said("500") == ("lockdown", True)
    real = incident_id(site.lock_down("lab", "low"))
    assert (said("500"), said("100")) == ((None,), ("lockdown", False))
    assert said("500", at="front-in") == ("lockdown", True), "the real one is not there"
    site.release(real)
    assert said("500") == ("lockdown", True)


def test_what_else_stands_against_somebody_first_is_no_drill() -> None:
    site = Site()
    site.lock_down("lab", "low", drill=True, drill_commands=True)
    site.change("device", "c1", status="inactive")
    denied = site.ask(at="lab-in")
    assert isinstance(denied, AccessDenied)
    assert (denied.reason, denied.failed_checks[1], denied.drill) == ("out_of_service", "lockdown", False)


def test_a_drill_with_commands_locks_and_refuses_as_if_it_were_real_and_is_marked_in_all_of_it() -> None:
    site = Site(notice="Go into the nearest room.")
    found = site.lock_down("lab", "high", drill=True, drill_commands=True)
    (started,) = of_type(found, "lockdown_started")
    assert (started.drill, started.drill_commands, started.notice) == (True, True, "Drill. Go into the nearest room.")
    assert started.guard_notice.startswith("Drill. ")
    assert {type_of(one) for one in commands(found)} == {"lock_down_door"}
    assert [[cause.drill for cause in one.causes] for one in of_type(found, "door_mode_desired")] == [[True], [True]]
    denied = site.ask(at="lab-in")
    assert isinstance(denied, AccessDenied)
    assert (denied.reason, denied.drill) == ("lockdown", True)
    assert ("posture", "failed", "posture=lockdown drill clearance=0/nobody") in denied.checks
    assert site.ask(at="lab-out").type == "access_granted"
    site.obey(found)
    assert len(of_type(site.wait(1), "lockdown_confirmed")) == 1
    released = site.release(started.incident_id)
    assert {(type_of(one), one.mode) for one in commands(released)} == {("lock_down_release_door", "locked")}
    assert site.ask(at="lab-in").type == "access_granted"
    site.obey(released)
    assert [one.drill for one in of_type(site.wait(1), "lockdown_released")] == [True]


def test_the_real_thing_during_a_drill_is_no_drill_and_outlasts_it() -> None:
    site = Site()
    drill = site.lock_down("lab", "low", drill=True, drill_commands=True)
    real = site.lock_down("lab", "low")
    assert "drill" not in {name: detail for name, _, detail in site.ask(at="lab-in").checks}["posture"]
    assert commands(real) == [], "the door is locked down already"
    site.release(incident_id(drill))
    assert site.ask(at="lab-in").reason == "lockdown"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"zone": "nowhere"}, "unknown_zone"),
        ({"zone": "street"}, "unknown_zone"),
        ({"zone": "hall", "level": "low"}, "not_possible"),
        ({"plan_id": "none"}, "unknown_plan"),
        ({"reason": " "}, "no_reason"),
        ({"drill_commands": True}, "not_possible"),
        ({"by": "op-1"}, "unknown_operator"),
    ],
)
def test_wrong_use_is_refused_and_says_what_to_do(fields: dict[str, Any], code: str) -> None:
    site = Site()
    (refused,) = site.lock_down(**fields)
    assert (refused.code, len(refused.detail) > 10) == (code, True)
    assert site.ask(at="lab-in").type == "access_granted"


def test_a_threat_starts_a_lockdown_of_a_zone_once_and_is_named_as_its_cause() -> None:
    site = Site()
    (started,) = of_type(site.lock_down(threat_id="threat-1"), "lockdown_started")
    assert (started.cause, started.cause_id, started.operator_id) == ("threat", "threat-1", "op-7")
    assert site.lock_down(threat_id="threat-1")[0].code == "repeated"


def large() -> Site:
    """The site with 150 more doors into the lab, each with a controller of its own."""
    site = Site()
    for number in range(150):
        id_ = f"d{number:03}"
        site.references.put(Device(device_id=f"c-{id_}", site_id="hq"))
        site.references.put(Door(door_id=id_, site_id="hq", device_id=f"c-{id_}", name=id_))
        site.references.put(
            AccessPoint(
                access_point_id=f"{id_}-in", site_id="hq", door_id=id_, direction=Direction.ENTRY, zone_from="hall",
                zone_to="lab",
            )
        )  # fmt: skip
    return site


def test_a_large_site_is_commanded_in_parts_and_goes_on_deciding_meanwhile() -> None:
    site = large()
    found = site.lock_down("lab", "low")
    assert len(commands(found)) == PART == 64
    assert site.ask(at="lab-in").reason == "lockdown"
    more = site.wait(0)
    assert len(commands(more)) == 151 - 64


def test_people_in_every_zone_of_the_scope_count_as_inside_and_whoever_is_in_the_street_does_not() -> None:
    site = bigger()
    site.change("zone", "street", parent_id="hq")
    site.person("bob", "200")
    for who, doors in (("100", ("front", "floor", "lab")), ("200", ("front",))):
        for door in doors:
            site.ask(card(who), at=f"{door}-in")
            site.send(event("door_opened", door_id=door))
            site.shut(door)
    inside = {
        level: of_type(site.lock_down("lab", level), "lockdown_started")[0].inside
        for level in ("low", "medium", "high", "extreme")
    }
    assert inside == {"low": 1, "medium": 1, "high": 2, "extreme": 2}
    site.ask(card("200"), at="front-out")
    site.send(event("door_opened", door_id="front"))
    assert {one.inside for one in of_type(site.wait(10), "lockdown_progress")} == {1}


@pytest.mark.branch("E2.01")
def test_a_threat_that_is_detected_is_assessed_and_its_level_set_and_it_leads_to_a_lockdown_by_its_plan() -> None:
    site = Site(plan_id="lockdown")
    for _ in range(5):
        site.send(event("door_forced_open", door_id="lab"))
    (level,) = of_type(site.threats(), "threat_level_set")
    proposed = next(one for one in site.threats() if one.type == "threat_assessed" and one.plan_proposed)
    assert (level.zone_id, level.level, proposed.assessment.level) == ("hall", "high", "high")
    assert site.ask(at="lab-in").reason != "lockdown", "a person decides"
    found = site.lock_down(proposed.scope_zone_id, "high", plan_id=proposed.plan_proposed, threat_id=proposed.threat_id)
    (started,) = of_type(found, "lockdown_started")
    assert (started.cause, started.cause_id, started.zone_id) == ("threat", level.threat_id, "hall")
    assert site.threats()[-1].incident_id == started.incident_id, "the level stands until the lockdown is over"
    site.obey([*found, *site.release(started.incident_id)])
    site.wait(1)
    assert (site.threats()[-1].type, site.threats()[-1].cause) == ("threat_level_cleared", "incident_ended")


@pytest.mark.branch("E2.01")
def test_where_the_policy_says_so_the_plan_of_a_detected_threat_starts_by_itself() -> None:
    site = Site(plan_id="lockdown")
    site.change("policy", "usual", threats={"automatic": ["door_forced_open"]})
    found = [one for _ in range(5) for one in site.send(event("door_forced_open", door_id="lab"))]
    (started,) = of_type(found, "lockdown_started")
    assert (started.cause, started.operator_id, started.zone_id) == ("threat", None, "hall")
    assert started.cause_id == of_type(site.threats(), "threat_level_set")[0].threat_id
    assert {one.door_id for one in commands(found)} == {"front", "lab"}


def test_one_that_is_released_before_all_doors_had_their_commands_ends_all_the_same() -> None:
    site = large()
    found = site.lock_down("lab", "low")
    told = site.release(incident_id(found))
    assert len(of_type(told, "lockdown_releasing")) == 1
    for key in [key for key in site.state if key.startswith("mode/")]:
        site.state[key] = msgspec.structs.replace(site.state[key], confirmed_ms=site.now_ms)
    (released,) = of_type(site.wait(1), "lockdown_released")
    assert (released.doors, released.confirmed) == (151, 151)
    assert not any(key.startswith("lockdown") for key in site.state)


def test_why_doors_have_not_confirmed_is_told_as_soon_as_it_is_known_though_people_are_to_leave_first() -> None:
    site = Site(occupants="clear")
    site.ask(at="front-in")
    (command,) = of_type(site.send(_request("lab-in")), "access_door")
    site.send(event("door_opened", door_id="lab", command_id=command.command_id))
    site.send(event("door_closed", door_id="lab"))
    site.lock_down("lab", "low")
    found = site.wait(10)
    assert of_type(found, "lockdown_effective") == [], "somebody is inside"
    told = [[(one.door_id, one.why) for one in each.unconfirmed] for each in of_type(found, "lockdown_progress")]
    assert told[-1] == [("lab", "no_answer")]
    assert len(told) == 1, "once is enough"
