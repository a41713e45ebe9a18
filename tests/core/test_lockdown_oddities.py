"""What nobody plans for in a lockdown (E2): odd reports, odd requests, and what is told late or again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.access import AccessDenied
from schemas.envelope import type_of
from schemas.places import AccessPoint, Door
from schemas.vocabulary import Direction
from streams.core.lockdowns import PART
from streams.core.times import from_ms
from tests.core.emergency import Site, commands, incident_id
from tests.core.world import card, door_between, of_type


def recorded(site: Site, ago_s: float, at: str = "lab-in") -> Any:
    """What becomes of a record that a controller let Ann in alone so long ago."""
    moment = from_ms(site.now_ms) - timedelta(seconds=ago_s)
    return site.ask(at=at, outcome="granted", occurred_at=moment.isoformat(), snapshot_version="1")


def test_what_a_controller_let_in_before_a_lockdown_and_tells_in_it_is_a_passage_and_no_difference() -> None:
    site = Site()
    site.wait(3600)
    found = site.lock_down("lab", "low")
    site.wait(60)
    before, within = recorded(site, 600), recorded(site, 30)
    assert (before.type, before.difference) == ("access_granted", False)
    assert (within.reason, within.difference) == ("lockdown", True)
    # A larger scope counts for its new part since it has that.
    site.escalate(incident_id(found), "high")
    site.wait(60)
    assert [recorded(site, ago_s, "front-in").reason for ago_s in (90, 30)] == [None, "lockdown"]


def test_who_came_in_before_it_is_counted_inside_although_that_is_told_in_it() -> None:
    site = Site()
    site.wait(3600)
    site.lock_down("lab", "low")
    recorded(site, 600)
    assert of_type(site.wait(2), "lockdown_progress")[-1].inside == 1


def test_a_threat_that_comes_up_again_when_its_lockdown_is_over_starts_another_one_with_steps_of_its_own() -> None:
    site = Site()
    first = site.lock_down("lab", "low", threat_id="threat-1")
    site.obey(first)
    (refused,) = site.lock_down("lab", "low", threat_id="threat-1")
    assert (refused.code, "`doorstream lockdown status`" in refused.detail) == ("repeated", True)
    site.obey(site.release(incident_id(first)))
    site.wait(2)
    again = site.lock_down("lab", "low", threat_id="threat-1")
    assert incident_id(again) != incident_id(first)
    assert of_type(again, "lockdown_started")[0].cause_id == "threat-1"


def test_a_drill_of_a_threat_keeps_nobody_from_locking_down_for_it() -> None:
    site = Site()
    site.lock_down("lab", "low", threat_id="threat-1", drill=True, drill_commands=True)
    assert incident_id(site.lock_down("lab", "low", threat_id="threat-1"))


def test_a_door_that_lets_somebody_out_just_when_its_controller_reports_is_locked_down_all_the_same() -> None:
    site = Site()
    (command,) = commands(site.lock_down("lab", "low"))
    (told,) = of_type(site.report(lab=("accessed", command.mode_epoch)), "door_mode_desired")
    assert told.confirmed_at is not None
    assert site.report(lab=("accessed", command.mode_epoch)) == []
    (wrong,) = of_type(site.report(lab=("unlocked", command.mode_epoch)), "door_mode_desired")
    assert wrong.reported == "unlocked"


def test_one_that_ends_by_itself_is_nobodys_all_clear_though_one_of_two_had_given_theirs() -> None:
    site = Site(two_person_release=True)
    found = site.lock_down("lab", "low", auto_release_s=60)
    (approved,) = of_type(site.release(incident_id(found)), "lockdown_release_approved")
    assert approved.approved_by == ("op-7",)
    (over,) = of_type(site.wait(61), "lockdown_releasing")
    assert (over.approved_by, over.release_reason) == ((), "its time is over")


@pytest.mark.parametrize(("status", "kind"), [("stolen", "stolen_credential"), ("lost", "lost_credential")])
def test_a_card_that_is_known_to_be_gone_is_a_threat_at_a_door_under_lockdown_too(status: str, kind: str) -> None:
    site = Site()
    site.change("credential", "card-100", status=status)
    site.lock_down("lab", "low")
    denied = site.ask(card(), at="lab-in")
    assert isinstance(denied, AccessDenied)
    assert denied.reason == "lockdown"
    assert [one.kind for one in site.threats() if one.type == "threat_assessed"] == [kind]


def test_lockdowns_of_different_ranks_that_end_in_any_order_leave_what_is_left_and_the_way_out_free() -> None:
    site = Site()
    plans = [{"plan_id": "usual", "clearance": 3}, {"plan_id": "strict", "rank": 9}]
    site.change("policy", "usual", lockdowns=plans)
    site.person("rescuer", "500", clearance=3)
    inner = incident_id(site.lock_down("lab", "low"))
    outer = incident_id(site.lock_down("lab", "high", plan_id="strict", by="op-8"))
    assert site.ask(card("500"), at="lab-in").reason == "lockdown", "the strictest counts"
    given_back = site.release(outer)
    assert {one.door_id for one in commands(given_back)} == {"front"}, "the lab stays as it is"
    assert site.ask(card("500"), at="lab-in").type == "access_granted"
    assert site.ask(at="lab-in").reason == "lockdown"
    for way_out in ("lab-out", "front-out"):
        assert site.ask(card("404"), at=way_out).type == "access_granted"
    assert {one.mode for one in commands(site.release(inner))} == {"locked"}


def test_a_turnstile_that_leads_to_the_street_by_an_entry_reader_is_locked_down_for_nobody() -> None:
    site = Site()
    site.references.put(Door(door_id="gate", site_id="hq", device_id="c1", name="gate"))
    way = {"direction": Direction.ENTRY, "zone_from": "hall", "zone_to": "street"}
    site.references.put(AccessPoint(access_point_id="gate-in", site_id="hq", door_id="gate", **way))
    assert {one.door_id for one in commands(site.lock_down("lab", "extreme"))} == {"front", "lab"}
    assert site.ask(at="gate-in").type == "access_granted"


def add_door(site: Site, door: str, *, into: str) -> None:
    """A door that leads from the street into a zone comes onto record."""
    for record in door_between(door, "street", into):
        site.references.put(record)


def test_a_door_that_comes_onto_record_in_a_lockdown_is_locked_down_and_given_back_with_the_others() -> None:
    site = Site()
    id_ = incident_id(told := site.lock_down("lab", "low"))
    site.obey(told)
    site.wait(1)
    add_door(site, "side", into="lab")
    add_door(site, "elsewhere", into="hall")
    found = site.wait(5)
    assert {(one.door_id, type_of(one)) for one in commands(found)} == {("side", "lock_down_door")}
    assert [(one.doors, one.confirmed) for one in of_type(found, "lockdown_progress")] == [(2, 1)]
    site.obey(found)
    assert [(one.doors, one.confirmed) for one in of_type(site.wait(1), "lockdown_progress")] == [(2, 2)]
    released = commands(site.release(id_)) + commands(site.wait(0.1))
    assert {(one.door_id, type_of(one)) for one in released} == {
        ("lab", "lock_down_release_door"),
        ("side", "lock_down_release_door"),
    }
    site.obey(released)
    (over,) = of_type(site.wait(1), "lockdown_released")
    assert (over.doors, over.confirmed) == (2, 2)
    assert not [key for key in site.state if key.startswith("lockdown")]


def test_many_doors_that_come_onto_record_in_a_lockdown_follow_in_parts() -> None:
    site = Site()
    site.obey(site.lock_down("lab", "low"))
    site.wait(1)
    for number in range(2 * PART + 1):
        add_door(site, f"side-{number}", into="lab")
    assert len({one.door_id for one in commands(site.wait(5))}) == 2 * PART + 1


def test_a_drill_without_commands_only_counts_a_door_that_comes_onto_record() -> None:
    site = Site()
    id_ = incident_id(site.lock_down("lab", "low", drill=True))
    site.wait(1)
    add_door(site, "side", into="lab")
    found = site.wait(5)
    assert commands(found) == []
    assert [(one.doors, one.confirmed) for one in of_type(found, "lockdown_progress")] == [(2, 2)]
    site.release(id_)
    assert len(of_type(site.wait(1), "lockdown_released")) == 1


def test_a_door_that_comes_onto_record_after_the_all_clear_is_left_as_it_is() -> None:
    site = Site()
    id_ = incident_id(told := site.lock_down("lab", "low"))
    site.obey(told)
    released = site.release(id_)
    add_door(site, "side", into="lab")
    assert commands(site.wait(0.9)) == []
    site.obey(released)
    (over,) = of_type(site.wait(1), "lockdown_released")
    assert over.doors == 1
