from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, DelayedEgress, Device, Door, Occupancy, Site, Zone
from schemas.rules import Holiday, HolidayCalendar, HolidayWindow, Policy, Schedule, SingleMethod, Window
from schemas.vocabulary import Direction, Enforcement, FactorKind, Reason
from streams.simulator.factors import BiometricRead, CardShown, PinTyped, Shown
from tests.simulator.small import (
    DOORS,
    ESCORTED,
    FIRST_PERSON,
    HARD_PASSBACK,
    NOON,
    TWO_PERSONS,
    World,
    campus,
    full_at,
)

ANN, BOB, EVE = CardShown("1"), CardShown("2"), CardShown("3")
SECOND = timedelta(seconds=1)


def face(x: float, y: float = 0.0) -> BiometricRead:
    return BiometricRead(FactorKind.FACE, (x, 0.0, y, 0.0), "arc", "ann")


def finger(x: float, y: float = 0.0) -> BiometricRead:
    return BiometricRead(FactorKind.FINGERPRINT, (0.0, x, y, 0.0), "arc", "ann")


def card(**fields: Any) -> Credential:
    return Credential(
        **{"credential_id": "x", "kind": FactorKind.CARD, "card_number": "77", "cardholder_id": "ann", **fields}
    )


def permission(**fields: Any) -> Permission:
    return Permission(
        **{"permission_id": "ann-p", "site_id": "s", "cardholder_id": "ann", "zone_ids": ("s",), **fields}
    )


def test_a_good_card_with_a_right_is_granted_and_an_unknown_one_is_not() -> None:
    world = World(campus())
    assert world.expect("main-in", ANN) == {"granted"}
    assert world.expect("main-in", CardShown("nobody's")) == {"unknown_credential"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "lost"}, "credential_lost"),
        ({"status": "stolen"}, "credential_stolen"),
        ({"status": "disabled"}, "credential_disabled"),
        ({"status": "destroyed"}, "credential_disabled"),
        ({"cardholder_id": None}, "credential_unassigned"),
        ({"valid_from": NOON + SECOND}, "credential_not_yet_active"),
        ({"valid_until": NOON}, "credential_expired"),
        ({"valid_until": NOON + SECOND, "valid_from": NOON}, "granted"),
    ],
)
def test_a_card_that_is_no_good_says_why(fields: dict[str, Any], reason: str) -> None:
    assert World(campus(card(**fields))).expect("main-in", CardShown("77")) == {reason}


def test_a_cardholder_who_has_left_opens_nothing() -> None:
    world = World(campus(Cardholder(cardholder_id="ann", name="ann", status="inactive")))
    assert world.expect("main-in", ANN) == {"credential_disabled"}


def test_egress_is_granted_whatever_fails() -> None:
    assert World(campus()).expect("main-out", CardShown("nobody's")) == {"granted"}


def test_a_reader_out_of_service_comes_before_everything_else() -> None:
    point = AccessPoint(
        access_point_id="main-in",
        site_id="s",
        door_id="main",
        direction=Direction.ENTRY,
        zone_from="street",
        zone_to="hall",
        enabled=False,
    )
    assert World(campus(point)).expect("main-in", CardShown("nobody's")) == {"out_of_service"}
    inactive = Device(device_id="c1", site_id="s", status="inactive")
    assert World(campus(inactive)).expect("main-in", ANN) == {"out_of_service"}


def test_a_pin_is_right_wrong_forced_or_missing() -> None:
    world = World(campus())
    assert world.expect("lab-in", ANN, PinTyped("4711")) == {"granted"}
    assert world.expect("lab-in", ANN, PinTyped("4712")) == {"incorrect_authentication_factor"}
    assert world.expect("lab-in", BOB, PinTyped("4711")) == {"incorrect_authentication_factor"}
    assert world.expect("lab-in", ANN) == {"authentication_factor_timeout"}
    point = world.places.points["lab-in"]
    calm = world.oracle.expect(point, [ANN, PinTyped("4711")], NOON, NOON)
    forced = world.oracle.expect(point, [ANN, PinTyped("8302")], NOON, NOON)
    assert (calm.duress, forced.duress, forced.outcomes) == (False, True, frozenset({None}))


def test_faces_and_fingers_are_weighed_together() -> None:
    world = World(campus())
    assert world.expect("inner-in", face(1.0), finger(1.0)) == {"granted"}
    assert world.expect("inner-in", face(1.0), finger(0.0, 1.0)) == {"verification_failed"}
    assert world.expect("inner-in", face(0.95, 0.1), finger(0.9, 0.2)) == {"granted"}
    assert world.expect("inner-in", face(1.0)) == {"authentication_factor_timeout"}


def test_a_face_alone_is_sought_among_those_who_may_enter() -> None:
    policy = Policy(policy_id="card", methods=(SingleMethod(factor=FactorKind.FACE),))
    unclaimed = BiometricRead(FactorKind.FACE, (1.0, 0.1, 0.0, 0.0), "arc")
    world = World(campus(policy))
    assert world.expect("main-in", unclaimed) == {"granted"}
    stranger = BiometricRead(FactorKind.FACE, (0.0, 0.0, 0.0, 1.0), "arc")
    assert world.expect("main-in", stranger) == {"verification_failed"}
    other_model = BiometricRead(FactorKind.FACE, (1.0, 0.0, 0.0, 0.0), "other")
    assert world.expect("main-in", other_model) == {"verification_failed"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"site_id": "elsewhere"}, "no_access_rights"),
        ({"status": "revoked"}, "no_access_rights"),
        ({"valid_from": NOON + SECOND}, "credential_not_yet_active"),
        ({"valid_until": NOON}, "credential_expired"),
        ({"zone_ids": ("lab",)}, "point_no_access_rights"),
        ({"zone_ids": (), "door_ids": ("main",)}, "granted"),
        ({"zone_ids": (), "access_point_ids": ("main-in",)}, "granted"),
        ({"schedule_id": "not on file"}, "out_of_time_range"),
    ],
)
def test_a_permission_that_does_not_hold_says_why(fields: dict[str, Any], reason: str) -> None:
    assert World(campus(permission(**fields))).expect("main-in", ANN) == {reason}


def test_of_several_permissions_one_that_holds_is_enough() -> None:
    other = permission(permission_id="other", door_ids=("main",), zone_ids=())
    assert World(campus(permission(zone_ids=("lab",)), other)).expect("main-in", ANN) == {"granted"}
    assert World(campus(permission(zone_ids=("lab",)), other)).expect("gate-in", ANN) == {"point_no_access_rights"}


def test_special_zones_and_clearance_need_more() -> None:
    assert World(campus(vault={"special": True})).expect("vault-in", ANN) == {"zone_no_access_rights"}
    assert World(campus(permission(kind="special"), vault={"special": True})).expect("vault-in", ANN) == {"granted"}
    assert World(campus(vault={"clearance": 1})).expect("vault-in", ANN) == {"zone_no_access_rights"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-03-02T21:59:59+01:00", "out_of_time_range"),
        ("2026-03-02T22:00:00+01:00", "granted"),
        ("2026-03-03T05:59:59+01:00", "granted"),
        ("2026-03-03T06:00:00+01:00", "out_of_time_range"),
        ("2026-03-03T23:00:00+01:00", "out_of_time_range"),
        ("2026-05-01T21:30:00+02:00", "granted"),
        ("2026-05-01T22:30:00+02:00", "out_of_time_range"),
    ],
)
def test_windows_run_over_midnight_in_the_sites_time_and_holidays_have_their_own(when: str, expected: str) -> None:
    night = Schedule(
        schedule_id="night",
        name="",
        windows=(Window(days=("mon", "fri"), start="22:00", end="06:00"),),
        holidays=(HolidayWindow(kind="feast", start="21:00", end="22:00"),),
    )
    calendar = HolidayCalendar(
        holiday_calendar_id="de", name="", days=(Holiday(date=datetime(2026, 5, 1, tzinfo=UTC).date(), kind="feast"),)
    )
    site = Site(site_id="s", name="", time_zone="Europe/Berlin", policy_id="card", holiday_calendar_ids=("de",))
    world = World(campus(night, calendar, site, permission(schedule_id="night")))
    assert world.expect("main-in", ANN, at=at(when)) == {expected}


def test_who_is_inside_does_not_enter_again_until_that_is_long_ago_or_forgotten() -> None:
    world = World(campus(hall=HARD_PASSBACK))
    assert world.expect("main-in", ANN) == {"granted"}
    world.enters("ann", "hall")
    assert world.expect("main-in", ANN, at=NOON + SECOND) == {"passback"}
    assert world.expect("main-in", BOB) == {"granted"}
    assert world.expect("main-in", ANN, at=NOON + timedelta(hours=1)) == {"granted"}
    world.happenings.lost("s", world.people.holders["ann"], NOON)
    assert world.expect("main-in", ANN, at=NOON + SECOND) == {"granted"}


def test_a_full_zone_takes_nobody_else() -> None:
    world = World(campus(hall=full_at(1)))
    world.enters("bob", "hall")
    assert world.expect("main-in", ANN) == {"occupancy_limit"}
    world.enters("bob", "street")
    assert world.expect("main-in", ANN) == {"granted"}


def test_a_full_zone_that_only_reports_hides_no_full_zone_around_it_that_refuses() -> None:
    soft = {"occupancy": Occupancy(enforcement=Enforcement.SOFT, limit=0)}
    around = Zone(
        zone_id="s", site_id="s", kind="site", name="s", occupancy=Occupancy(enforcement=Enforcement.HARD, limit=0)
    )
    assert World(campus(hall=soft)).expect("main-in", ANN) == {"granted"}
    assert World(campus(around, hall=soft)).expect("main-in", ANN) == {"occupancy_limit"}


def test_the_first_of_two_is_turned_away_and_both_get_in_together() -> None:
    world = World(campus(vault=TWO_PERSONS))
    assert world.expect("vault-in", ANN) == {"no_accompaniment"}
    world.happenings.accompanies("vault", world.people.holders["ann"], NOON, let_in=False)
    assert world.expect("vault-in", ANN, at=NOON + SECOND) == {"no_accompaniment"}
    assert world.expect("vault-in", BOB, at=NOON + SECOND) == {"granted"}
    assert world.expect("vault-in", BOB, at=NOON + timedelta(seconds=31)) == {"no_accompaniment"}


def test_who_needs_an_escort_enters_behind_one() -> None:
    world = World(campus(vault=ESCORTED))
    assert world.expect("vault-in", EVE) == {"no_accompaniment"}
    world.happenings.accompanies("vault", world.people.holders["bob"], NOON, let_in=True)
    assert world.expect("vault-in", EVE) == {"incorrect_accompaniment"}
    world.happenings.accompanies("vault", world.people.holders["ann"], NOON, let_in=True)
    assert world.expect("vault-in", EVE) == {"granted"}
    assert world.expect("vault-in", EVE, at=NOON + timedelta(seconds=31)) == {"no_accompaniment"}
    world.enters("ann", "vault")
    assert world.expect("vault-in", EVE, at=NOON + timedelta(seconds=31)) == {"granted"}


def test_of_two_interlocked_doors_one_opens_while_the_other_is_shut_and_close_calls_may_go_either_way() -> None:
    world = World(campus())
    world.happenings.door_moved("inner", NOON, is_open=True)
    assert world.expect("outer-in", ANN, at=NOON + SECOND) == {"interlock", "granted"}
    assert world.expect("outer-in", ANN, at=NOON + timedelta(seconds=10)) == {"interlock"}
    world.happenings.door_moved("inner", NOON + timedelta(seconds=11), is_open=False)
    assert world.expect("outer-in", ANN, at=NOON + timedelta(seconds=20)) == {"granted"}
    world.grants("d", "inner-in", "ann", at=NOON + timedelta(seconds=20))
    assert world.expect("outer-in", ANN, at=NOON + timedelta(seconds=21)) == {"interlock"}
    assert world.expect("outer-in", ANN, at=NOON + timedelta(seconds=30)) == {"granted"}


def test_a_zone_opens_for_the_day_with_its_first_person() -> None:
    opener = Cardholder(cardholder_id="bob", name="bob", first_person=True)
    world = World(campus(opener, hall=FIRST_PERSON))
    assert world.expect("main-in", ANN) == {"first_person_absent"}
    assert world.expect("main-in", BOB) == {"granted"}
    world.enters("bob", "hall")
    assert world.expect("main-in", ANN) == {"granted"}
    assert world.expect("main-in", ANN, at=NOON + timedelta(days=1)) == {"first_person_absent"}


def test_a_single_use_is_taken_by_a_grant_given_back_when_nobody_passes_and_used_up_by_a_passage() -> None:
    world = World(campus(permission(kind="single_use")))
    assert world.expect("main-in", ANN) == {"granted"}
    world.grants("d1", "main-in", "ann", "ann-p")
    assert world.expect("main-in", ANN) == {"max_uses"}
    world.happenings.not_taken("d1")
    assert world.expect("main-in", ANN) == {"granted"}
    world.grants("d2", "main-in", "ann", "ann-p")
    world.happenings.taken("d2", "ann-p")
    assert world.expect("main-in", ANN) == {"max_uses"}


def test_leaving_uses_no_permission_up() -> None:
    controlled = DOORS["main"] | {"egress": "controlled", "delayed_egress": DelayedEgress()}
    door = Door(door_id="main", site_id="s", name="main", **controlled)
    world = World(campus(permission(kind="single_use"), door))
    world.grants("d", "main-in", "ann", "ann-p")
    world.happenings.taken("d", "ann-p")
    assert world.expect("main-in", ANN) == {"max_uses"}
    assert world.expect("main-out", ANN) == {"granted"}


def test_a_place_is_kept_for_who_was_let_in_until_they_have_passed_or_not() -> None:
    world = World(campus(hall=full_at(1)))
    world.grants("d", "main-in", "ann")
    assert world.expect("side-in", BOB) == {"occupancy_limit"}
    assert world.expect("main-in", ANN) == {"granted"}
    assert world.expect("side-in", ANN) == {"occupancy_limit"}
    world.happenings.not_taken("d")
    assert world.expect("side-in", BOB) == {"granted"}


def test_a_guest_accompanies_nobody_whatever_is_on_file() -> None:
    world = World(campus(Cardholder(cardholder_id="bob", name="bob", escort=True, needs_escort=True), vault=ESCORTED))
    world.happenings.accompanies("vault", world.people.holders["bob"], NOON, let_in=True)
    assert world.expect("vault-in", EVE) == {"incorrect_accompaniment"}
    assert world.expect("vault-in", BOB) == {"no_accompaniment"}
    world.enters("bob", "vault")
    assert world.expect("vault-in", EVE, at=NOON + timedelta(seconds=31)) == {"no_accompaniment"}


def test_of_what_was_recorded_only_what_lasts_is_judged() -> None:
    world = World(campus(hall=full_at(0) | HARD_PASSBACK | TWO_PERSONS))
    point = world.places.points["main-in"]
    assert world.oracle.expect(point, [ANN], NOON, NOON).outcomes == {Reason.OCCUPANCY_LIMIT}
    later = NOON + timedelta(minutes=9)
    assert world.oracle.expect(point, [ANN], later, NOON, live=False).outcomes == {None}
    world.enters("ann", "hall", NOON - SECOND)
    assert world.oracle.expect(point, [ANN], later, NOON, live=False).outcomes == {Reason.PASSBACK}
    world.enters("ann", "hall", NOON + SECOND)
    assert world.oracle.expect(point, [ANN], later, NOON, live=False).outcomes == {None}


def test_an_older_passage_moves_nobody_of_whom_something_newer_is_known() -> None:
    world = World(campus())
    world.enters("ann", "lab", NOON)
    world.enters("ann", "hall", NOON - SECOND)
    assert world.happenings.where("s", "ann") == "lab"
    assert [world.happenings.count(zone) for zone in ("lab", "hall")] == [1, 0]


def test_nobody_is_counted_on_the_street() -> None:
    world = World(campus())
    world.enters("ann", "hall")
    assert world.happenings.count("s") == 1
    world.enters("ann", "street")
    assert world.happenings.count("s") == 0


def test_who_may_be_in_a_zone_may_leave_it() -> None:
    controlled = DOORS["main"] | {"egress": "controlled", "delayed_egress": DelayedEgress()}
    door = Door(door_id="main", site_id="s", name="main", **controlled)
    world = World(campus(permission(zone_ids=("hall",)), permission(permission_id="bob-p", cardholder_id="bob",
                                                                    zone_ids=("lab",)), door))  # fmt: skip
    assert world.expect("main-out", ANN) == {"granted"}
    assert world.expect("main-out", BOB) == {"point_no_access_rights"}


def test_duress_is_expected_where_the_door_stays_shut_too_and_not_where_nobody_listens() -> None:
    shown: list[Shown] = [ANN, PinTyped("8302")]
    point = "lab-in"
    world = World(campus(lab=full_at(0)))
    expected = world.oracle.expect(world.places.points[point], shown, NOON, NOON)
    assert expected.outcomes == {Reason.OCCUPANCY_LIMIT}
    assert expected.duress is True
    world = World(campus(Device(device_id="c1", site_id="s", status="inactive")))
    assert world.oracle.expect(world.places.points[point], shown, NOON, NOON).duress is False


def test_first_responders_are_not_held_up_by_rules() -> None:
    world = World(campus(Cardholder(cardholder_id="ann", name="ann", exempt=True), hall=full_at(0)))
    assert world.expect("main-in", ANN) == {"granted"}
    assert world.expect("main-in", BOB) == {"occupancy_limit"}


def test_a_snapshot_knows_cards_and_rights_and_refuses_what_it_cannot_know() -> None:
    world = World(campus(permission(permission_id="bob-p", cardholder_id="bob", kind="single_use")))
    point = world.places.points["main-in"]
    assert world.oracle.snapshot(point, [ANN], NOON) is None
    assert world.oracle.snapshot(point, [BOB], NOON) == "no_access_rights"
    assert world.oracle.snapshot(point, [CardShown("nobody's")], NOON) == "no_access_rights"
    assert world.oracle.snapshot(point, [PinTyped("4711", "ann")], NOON) == "authentication_unavailable"
