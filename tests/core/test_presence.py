"""Anti-passback, occupancy, two persons, escort, interlock and first person in: off, soft or hard (A2)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.access import AccessDenied, AccessGranted
from schemas.ids import derive
from schemas.places import Device, Zone
from schemas.vocabulary import Reason
from tests.core.world import World, card, event, of_type, outcomes_of

RULES = ("passback", "occupancy", "two-person", "escort", "interlock", "first-person-in")


def ruled(zone: str = "hall", enforcement: str = "hard", **rules: dict[str, Any]) -> World:
    world = World()
    world.change("zone", zone, **{name: {"enforcement": enforcement, **rule} for name, rule in rules.items()})
    for who, number in (("bob", "200"), ("cai", "300")):
        world.person(who, number)
    return world


def enters(world: World, number: str = "100", at: str = "front-in") -> AccessGranted | AccessDenied:
    decision = world.ask(card(number), at=at)
    if decision.type == "access_granted":
        command = derive("command", decision.decision_id)
        world.send(event("door_opened", door_id=at.partition("-")[0], command_id=command))
    return decision


def leaves(world: World, number: str = "100", at: str = "front-out") -> AccessGranted | AccessDenied:
    return enters(world, number, at)


# -- anti-passback ----------------------------------------------------------------------------------------------------


@pytest.mark.branch("A2.12", "A2.13")
@pytest.mark.parametrize(("enforcement", "reason"), [("off", None), ("soft", None), ("hard", Reason.PASSBACK)])
def test_a_card_that_is_inside_already_does_not_come_in_again(enforcement: str, reason: Reason | None) -> None:
    world = ruled(enforcement=enforcement, passback={})
    assert enters(world).type == "access_granted"
    again = enters(world)
    assert again.reason is reason
    assert again.soft_breaches == ((Reason.PASSBACK,) if enforcement == "soft" else ())


def test_who_left_may_come_in_again() -> None:
    world = ruled(passback={})
    enters(world)
    leaves(world)
    assert enters(world).type == "access_granted"


def test_where_somebody_is_not_known_nothing_is_broken() -> None:
    assert ruled(passback={}).ask().type == "access_granted"


def test_presence_moves_when_the_door_opens_and_not_before() -> None:
    world = ruled(passback={})
    world.ask()
    assert world.ask().type == "access_granted"
    world.wait(11)
    assert world.ask().type == "access_granted"


def test_presence_times_out() -> None:
    world = ruled(passback={"presence_timeout_s": 60})
    enters(world)
    world.wait(59)
    assert world.ask().reason is Reason.PASSBACK
    world.wait(1)
    assert world.ask().type == "access_granted"


def test_presence_without_a_timeout_lasts() -> None:
    world = ruled(passback={"presence_timeout_s": 0})
    enters(world)
    world.wait(10 * 86_400)
    assert world.ask().reason is Reason.PASSBACK


def test_who_is_deeper_inside_may_go_on_from_the_zone_around_but_not_come_in_again() -> None:
    world = ruled("lab", passback={})
    world.change("zone", "hall", passback={"enforcement": "hard"})
    enters(world)
    enters(world, at="lab-in")
    assert world.ask().reason is Reason.PASSBACK
    assert world.ask(at="lab-in").reason is Reason.PASSBACK
    assert leaves(world, at="lab-out").type == "access_granted"
    assert enters(world, at="lab-in").type == "access_granted"


def test_the_street_is_one_place_whatever_its_zones_are_called() -> None:
    world = ruled(passback={})
    world.references.put(Zone(zone_id="yard", site_id="hq", kind="outside", name="Yard"))
    world.change("access-point", "front-out", zone_to="yard")
    enters(world)
    leaves(world)
    assert enters(world).type == "access_granted"


@pytest.mark.parametrize("who", ["ann", None])
def test_forgiving_lets_somebody_or_everybody_in_again(who: str | None) -> None:
    world = ruled(passback={})
    enters(world)
    enters(world, "200")
    world.operator({"type": "passback_forgiven", "cardholder_id": who})
    assert world.ask(card("200")).reason is (None if who is None else Reason.PASSBACK)
    world.wait(11)
    assert enters(world).type == "access_granted"
    assert enters(world).reason is Reason.PASSBACK


def test_who_is_forgiven_is_counted_out_and_everybody_stays_counted_until_they_leave() -> None:
    world = ruled(passback={}, occupancy={"limit": 1})
    enters(world)
    world.operator({"type": "passback_forgiven", "cardholder_id": "ann"})
    assert enters(world, "200").type == "access_granted"
    world.operator({"type": "passback_forgiven", "request_id": "r-2"}, nonce="n-2")
    assert enters(world, "300").reason is Reason.OCCUPANCY_LIMIT
    leaves(world, "200")
    assert enters(world, "300").type == "access_granted"


# -- occupancy --------------------------------------------------------------------------------------------------------


@pytest.mark.branch("A2.12")
def test_a_full_zone_lets_nobody_more_in_until_somebody_leaves() -> None:
    world = ruled(occupancy={"limit": 1})
    assert enters(world).type == "access_granted"
    assert enters(world, "200").reason is Reason.OCCUPANCY_LIMIT
    leaves(world)
    assert enters(world, "200").type == "access_granted"


def test_the_people_in_a_zone_below_count_for_the_zone_around() -> None:
    world = ruled(occupancy={"limit": 1})
    enters(world)
    enters(world, at="lab-in")
    assert enters(world, "200").reason is Reason.OCCUPANCY_LIMIT
    assert leaves(world, at="lab-out").type == "access_granted"
    assert enters(world, at="lab-in").type == "access_granted"


def test_the_last_place_is_kept_for_who_was_let_in_and_has_not_passed_yet() -> None:
    world = ruled(occupancy={"limit": 1})
    assert world.ask().type == "access_granted"
    assert world.ask(card("200")).reason is Reason.OCCUPANCY_LIMIT
    assert world.ask().type == "access_granted"
    world.wait(11)
    assert world.ask(card("200")).type == "access_granted"


def test_a_limit_that_denies_speaks_before_one_that_only_records() -> None:
    world = ruled("lab", occupancy={"enforcement": "soft", "limit": 0})
    world.change("zone", "hall", occupancy={"enforcement": "hard", "limit": 0})
    decision = world.ask(at="lab-in")
    assert decision.failed_checks == (Reason.OCCUPANCY_LIMIT,)


def test_nobody_is_counted_out_twice() -> None:
    world = ruled(occupancy={"limit": 1})
    for _ in range(3):
        leaves(world)
        leaves(world, "200")
    assert enters(world).type == "access_granted"
    assert enters(world, "200").reason is Reason.OCCUPANCY_LIMIT


# -- two persons, escort ----------------------------------------------------------------------------------------------


@pytest.mark.branch("A2.12")
def test_the_first_of_two_waits_the_second_is_let_in_and_then_the_first_is_too() -> None:
    world = ruled(two_person={"window_s": 30})
    assert enters(world).failed_checks == (Reason.NO_ACCOMPANIMENT,)
    assert enters(world).reason is Reason.NO_ACCOMPANIMENT
    world.wait(30)
    assert enters(world, "200").type == "access_granted"
    assert enters(world).type == "access_granted"
    world.wait(60)
    assert enters(world, "300").type == "access_granted"


def test_a_second_person_who_comes_too_late_is_a_first_one() -> None:
    world = ruled(two_person={"window_s": 30})
    enters(world)
    world.wait(30.001)
    assert enters(world, "200").reason is Reason.NO_ACCOMPANIMENT


def test_who_would_not_get_in_anyway_is_no_company() -> None:
    world = ruled(two_person={})
    world.change("permission", "of-ann", status="revoked")
    enters(world)
    assert enters(world, "200").reason is Reason.NO_ACCOMPANIMENT


@pytest.mark.branch("A2.12")
def test_who_needs_an_escort_comes_in_after_one_and_not_after_anybody() -> None:
    world = ruled(escort={"window_s": 30})
    world.change("cardholder", "ann", needs_escort=True)
    assert world.ask().reason is Reason.NO_ACCOMPANIMENT
    assert world.ask().reason is Reason.NO_ACCOMPANIMENT
    world.ask(card("200"))
    assert world.ask().reason is Reason.INCORRECT_ACCOMPANIMENT
    world.change("cardholder", "cai", escort=True)
    world.ask(card("300"))
    assert world.ask().type == "access_granted"
    world.wait(31)
    assert world.ask().reason is Reason.NO_ACCOMPANIMENT


def test_an_escort_who_is_inside_is_enough_and_one_who_has_left_is_not() -> None:
    world = ruled(escort={"window_s": 30})
    world.change("cardholder", "ann", needs_escort=True)
    world.change("cardholder", "cai", escort=True)
    enters(world, "300")
    world.wait(60)
    assert world.ask().type == "access_granted"
    world.change("cardholder", "cai", escort=False)
    leaves(world, "300")
    assert world.ask().reason is Reason.NO_ACCOMPANIMENT


# -- interlock --------------------------------------------------------------------------------------------------------


def mantrap() -> World:
    world = World()
    for door in ("front", "lab"):
        world.change("door", door, interlock={"group": "trap", "enforcement": "hard"})
        world.send(event("door_closed", door_id=door))
    return world


@pytest.mark.branch("A2.12")
def test_a_door_of_a_mantrap_opens_only_while_the_other_is_shut_and_not_about_to_open() -> None:
    world = mantrap()
    assert world.ask().type == "access_granted"
    assert world.ask(at="lab-in").reason is Reason.INTERLOCK
    world.send(event("door_opened"))
    assert world.ask(at="lab-in").reason is Reason.INTERLOCK
    world.send(event("door_closed"))
    assert world.ask(at="lab-in").type == "access_granted"
    world.wait(11)
    assert world.ask().type == "access_granted"


def test_a_door_forced_open_keeps_the_others_of_the_mantrap_shut() -> None:
    world = mantrap()
    world.send(event("door_forced_open", door_id="lab"))
    assert world.ask().reason is Reason.INTERLOCK


def test_a_door_of_which_nobody_has_heard_holds_nobody_up_and_the_check_says_so() -> None:
    world = World()
    for door in ("front", "lab"):
        world.change("door", door, interlock={"group": "trap", "enforcement": "hard"})
    decision = world.ask()
    assert (decision.type, decision.soft_breaches) == ("access_granted", ())
    assert ("interlock", "passed", "group=trap others=shut or lab never heard of") in decision.checks


@pytest.mark.parametrize(("is_open", "reason"), [(True, Reason.INTERLOCK), (False, None)])
def test_a_heartbeat_tells_where_the_doors_are(*, is_open: bool, reason: Reason | None) -> None:
    world = World()
    for door in ("front", "lab"):
        world.change("door", door, interlock={"group": "trap", "enforcement": "hard"})
    world.send(event("heartbeat", doors=[{"door_id": "lab", "mode": "locked", "open": is_open}]))
    decision = world.ask()
    assert (decision.reason, decision.soft_breaches) == (reason, ())


def test_a_heartbeat_of_another_controller_tells_nothing_of_a_door() -> None:
    world = mantrap()
    world.references.put(Device(device_id="c2", site_id="hq"))
    doors = [{"door_id": "lab", "mode": "locked", "open": True}]
    world.send(event("heartbeat", device_id="c2", doors=doors))
    assert world.ask().type == "access_granted"


# -- first person in --------------------------------------------------------------------------------------------------


@pytest.mark.branch("A2.12")
def test_a_zone_opens_for_others_when_a_first_person_has_passed_that_day() -> None:
    world = ruled(first_person_in={})
    world.change("cardholder", "bob", first_person=True)
    assert enters(world).reason is Reason.FIRST_PERSON_ABSENT
    world.ask(card("200"))
    assert enters(world).reason is Reason.FIRST_PERSON_ABSENT
    world.send(event("door_opened"))
    assert enters(world).type == "access_granted"
    world.wait(14 * 3600 - 1)
    assert outcomes_of(world.ask())["first-person-in"] == "passed"
    world.wait(1)
    assert world.ask().reason is Reason.FIRST_PERSON_ABSENT


# -- all of them ------------------------------------------------------------------------------------------------------


def broken(enforcement: str) -> World:
    world = ruled(
        enforcement=enforcement, passback={}, occupancy={"limit": 0}, two_person={}, escort={}, first_person_in={}
    )
    world.change("cardholder", "ann", needs_escort=True)
    for door in ("front", "lab"):
        world.change("door", door, interlock={"group": "trap", "enforcement": enforcement})
    world.send(event("door_forced_open", door_id="lab"))
    return world


ALL = ("occupancy_limit", "no_accompaniment", "no_accompaniment", "interlock", "first_person_absent")


@pytest.mark.branch("A2.12", "A2.17")
def test_every_hard_rule_that_is_broken_is_listed_in_its_order() -> None:
    decision = broken("hard").ask()
    assert (decision.type, decision.failed_checks) == ("access_denied", ALL)


@pytest.mark.branch("A2.13")
def test_rules_that_are_off_or_broken_softly_deny_nothing() -> None:
    assert broken("soft").ask().soft_breaches == ALL
    free = broken("off").ask()
    assert (free.type, free.soft_breaches) == ("access_granted", ())
    assert {outcomes_of(free)[name] for name in RULES} == {"skipped", "passed"}


def test_first_responders_break_every_rule_softly() -> None:
    world = broken("hard")
    world.change("cardholder", "ann", exempt=True)
    decision = world.ask()
    assert (decision.type, decision.soft_breaches) == ("access_granted", ALL)


def test_whoever_was_removed_between_grant_and_passage_is_still_counted_in_and_out() -> None:
    world = ruled(passback={}, occupancy={"limit": 1})
    world.ask()
    for entity, id_ in (("cardholder", "ann"), ("credential", "card-100"), ("permission", "of-ann")):
        world.remove(entity, id_)
    assert of_type(world.send(event("door_opened")), "access_taken")
    assert world.ask(card("200")).reason is Reason.OCCUPANCY_LIMIT


@pytest.mark.branch("A2.13")
def test_who_needs_an_escort_is_nobodys_escort_whatever_else_is_on_file() -> None:
    world = World()
    world.change("zone", "hall", escort={"enforcement": "hard", "window_s": 30})
    world.change("cardholder", "ann", escort=True)
    world.person("bob", "200", needs_escort=True, escort=True)
    world.person("eve", "300", needs_escort=True)
    for number, reader in (("100", "front-in"), ("200", "front-in"), ("100", "front-out")):
        assert world.ask(card(number), at=reader).type == "access_granted"
        world.send(event("door_opened"))
    world.wait(31)
    assert world.ask(card("300")).reason is Reason.NO_ACCOMPANIMENT
