"""Failure counting and lockout at a site (A4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.access import AccessDenied
from schemas.vocabulary import Display, Reason
from streams.core.entities import encode
from streams.core.failures import MOST_POINTS
from streams.core.lockout_state import Failures, Guesses
from tests.core.guessing import CARD, CARD_AND_PIN, END, RIGHT, cards, decision, guarded, guess, told
from tests.core.world import NOW, World, card, of_type, pin

STARTED, ENDED = "lockout_started", "lockout_ended"
OF_CARD, OF_ANN = "hq/credential/card-100", "hq/cardholder/ann"
LOOSE = {"failures": 10}


@pytest.mark.branch("A4.01", "A4.02")
def test_fewer_than_three_failures_are_recorded_and_lock_nothing() -> None:
    world = guarded()
    for _ in range(2):
        found = guess(world)
        assert decision(found).reason is Reason.INCORRECT_AUTHENTICATION_FACTOR
        assert told(found) == []
        assert len(of_type(found, "authentication_failed")) == 1
    counted = {key: entity.times for key, entity in world.state.items() if key.startswith("failures/")}
    assert {key: len(times[0][1]) for key, times in counted.items()} == {
        "failures/hq/credential/card-100": 2,
        "failures/hq/cardholder/ann": 2,
    }
    assert len(world.state["guesses/front-in"].times) == 2
    assert decision(guess(world, RIGHT)).type == "access_granted"


@pytest.mark.branch("A4.03")
def test_the_third_failure_locks_and_the_next_request_is_denied_although_its_pin_is_right() -> None:
    world = guarded()
    guess(world)
    guess(world)
    assert told(guess(world)) == [(STARTED, OF_CARD), (STARTED, OF_ANN)]
    after = decision(guess(world, RIGHT))
    assert (after.reason, after.display) == (Reason.CREDENTIAL_LOCKOUT, Display.LOCKED)
    checks = {name: (outcome, said) for name, outcome, said in after.checks}
    assert checks["credential"][0] == "skipped"
    assert checks["lockout"][1] == "credential=card-100 locked until 2026-03-02T09:05:00+00:00"


def test_a_lock_tells_whom_it_is_of_and_what_led_to_it() -> None:
    world = guarded()
    guess(world)
    world.wait(10)
    guess(world, at="lab-in")
    world.wait(10)
    found = guess(world)
    (lock,) = of_type(found, STARTED)
    assert (lock.subject, lock.subject_id, lock.cardholder_id, lock.credential_id) == (
        "cardholder", "ann", "ann", "card-100",
    )  # fmt: skip
    assert (lock.failures, lock.window_s, lock.number, lock.last_reason) == (
        3, 300, 1, Reason.INCORRECT_AUTHENTICATION_FACTOR,
    )  # fmt: skip
    assert (lock.first_failed_at, lock.last_failed_at) == (NOW, NOW + timedelta(seconds=20))
    assert (lock.started_at, lock.locked_until) == (NOW + timedelta(seconds=20), NOW + timedelta(seconds=320))
    assert (lock.access_point_id, lock.door_id, lock.decision_id) == ("front-in", "front", decision(found).decision_id)


def test_a_lock_ends_by_itself_and_says_so() -> None:
    world = guarded()
    (lock, _) = [one for _ in range(3) for one in of_type(guess(world), STARTED)]
    assert told(world.wait(299.999)) == []
    assert decision(guess(world, RIGHT)).reason is Reason.CREDENTIAL_LOCKOUT
    ended = world.wait(0.001)
    assert sorted(told(ended)) == sorted([(ENDED, OF_CARD), (ENDED, OF_ANN)])
    (of_card,) = [one for one in ended if one.lockout_key == OF_CARD]
    assert (of_card.lockout_id, of_card.cause, of_card.ended_at) == (lock.lockout_id, "expired", lock.locked_until)
    assert (of_card.decision_id, of_card.failures) == (lock.decision_id, lock.failures)
    assert decision(guess(world, RIGHT)).type == "access_granted"


@pytest.mark.parametrize(("seconds", "locks"), [(149.999, True), (150, False)])
def test_failures_count_for_as_long_as_the_window(seconds: float, locks: bool) -> None:
    world = guarded()
    guess(world)
    world.wait(seconds)
    guess(world)
    world.wait(seconds)
    assert bool(told(guess(world))) is locks


def test_each_lock_lasts_twice_as_long_up_to_an_hour_and_the_one_after_five_in_a_day_has_no_end() -> None:
    world = guarded(cardholder=LOOSE)
    lasted: list[float | None] = []
    for _ in range(6):
        (lock,) = [one for _ in range(3) for one in of_type(guess(world), STARTED)]
        assert lock.number == len(lasted) + 1
        lasted.append(None if lock.locked_until is None else (lock.locked_until - lock.started_at).total_seconds())
        if lasted[-1] is not None:
            world.wait(lasted[-1])
    assert lasted == [300, 600, 1200, 2400, 3600, None]
    assert world.wait(10 * 86_400) == []
    assert decision(guess(world, RIGHT)).reason is Reason.CREDENTIAL_LOCKOUT


def test_a_day_after_the_last_lock_the_next_is_a_first_one_again_and_nothing_is_kept() -> None:
    world = guarded(cardholder=LOOSE)
    for _ in range(3):
        guess(world)
    assert any(key.startswith("lockout/") for key in world.state)
    world.wait(86_400)
    assert [key for key in world.state if key.startswith(("lockout/", "failures/", "guesses/"))] == []
    (lock,) = [one for _ in range(3) for one in of_type(guess(world), STARTED)]
    assert lock.number == 1


def test_attempts_while_locked_do_not_count_and_do_not_extend() -> None:
    world = guarded()
    for _ in range(3):
        guess(world)
    before = {key: value for key, value in world.state.items() if not key.startswith("device/")}
    for _ in range(10):
        world.wait(20)
        found = guess(world)
        assert (told(found), of_type(found, "authentication_failed")) == ([], [])
    after = {key: value for key, value in world.state.items() if not key.startswith("device/")}
    assert after == {key: value for key, value in before.items() if not key.startswith("guesses/")}
    world.wait(100)
    assert decision(guess(world, RIGHT)).type == "access_granted"


def test_a_success_clears_the_credentials_counter_at_that_reader_and_no_other() -> None:
    world = guarded(cardholder=LOOSE)
    for _ in range(2):
        guess(world)
        guess(world, at="lab-in")
    assert decision(guess(world, RIGHT)).type == "access_granted"
    assert told(guess(world)) == []
    assert told(guess(world, at="lab-in")) == [(STARTED, OF_CARD)]


def test_a_success_does_not_clear_what_counts_against_the_cardholder() -> None:
    world = guarded(credential=LOOSE)
    guess(world)
    guess(world)
    guess(world, RIGHT)
    assert told(guess(world)) == [(STARTED, OF_ANN)]


def test_failures_at_several_doors_lock_all_credentials_of_the_cardholder() -> None:
    world = guarded(CARD_AND_PIN, CARD)
    cards(world, "101")
    guess(world)
    guess(world, at="lab-in")
    assert told(guess(world, number="101")) == [(STARTED, OF_ANN)]
    assert world.ask(card("101"), at="lab-in").reason is Reason.CREDENTIAL_LOCKOUT
    assert world.ask(card("100"), at="lab-in").reason is Reason.CREDENTIAL_LOCKOUT


@pytest.mark.parametrize("status", ["lost", "stolen", "disabled", "destroyed"])
def test_a_card_that_is_no_longer_good_is_locked_but_its_former_holder_is_not(status: str) -> None:
    world = guarded(CARD)
    cards(world, "101")
    world.change("credential", "card-101", status=status)
    for _ in range(3):
        assert world.ask(card("101")).type == "access_denied"
    assert "lockout/hq/credential/card-101" in world.state
    assert [key for key in world.state if key.startswith(("lockout/hq/cardholder", "failures/hq/cardholder"))] == []
    assert world.ask(card("100")).type == "access_granted"


def test_what_a_policy_denies_and_what_nobody_could_verify_never_count() -> None:
    world = guarded(CARD)
    world.change("permission", "of-ann", status="revoked")
    for _ in range(30):
        assert world.ask(card()).reason is Reason.NO_ACCESS_RIGHTS
    world.database = None
    for number in range(30):
        assert world.ask(card(f"7{number}")).reason is Reason.AUTHENTICATION_UNAVAILABLE
    world.change("policy", "usual", methods=(CARD_AND_PIN,))
    for _ in range(30):
        assert world.ask(card()).reason is Reason.AUTHENTICATION_FACTOR_TIMEOUT
    assert [key for key in world.state if key.startswith(("failures/", "guesses/", "lockout/"))] == []


def test_a_lock_never_blocks_the_way_out_and_nothing_is_counted_there() -> None:
    world = guarded()
    for _ in range(3):
        guess(world)
    assert decision(guess(world, at="front-out")).type == "access_granted"
    other = guarded()
    for _ in range(5):
        assert decision(guess(other, at="front-out")).type == "access_granted"
    assert [key for key in other.state if key.startswith(("failures/", "guesses/", "lockout/"))] == []


@pytest.mark.parametrize("what", ["responder", "emergency credential"])
def test_first_responders_and_emergency_credentials_are_never_locked(what: str) -> None:
    world = guarded()
    if what == "responder":
        world.change("cardholder", "ann", exempt=True)
    else:
        world.change("credential", "card-100", emergency=True)
    assert [told(guess(world)) for _ in range(10)] == [[]] * 10
    assert decision(guess(world, RIGHT)).type == "access_granted"


def test_a_lock_tells_nothing_of_what_a_controller_itself_has_matched() -> None:
    world = guarded({"kind": "all_required", "factors": ["card", "fingerprint"]})
    for _ in range(3):
        world.ask(card(), {"kind": "fingerprint", "score": 0.1})
    right, wrong = (world.ask(card(), {"kind": "fingerprint", "score": score}) for score in (0.99, 0.1))
    assert isinstance(right, AccessDenied)
    assert isinstance(wrong, AccessDenied)
    assert (right.reason, right.display, right.factors) == (wrong.reason, wrong.display, wrong.factors)
    assert right.reason is Reason.CREDENTIAL_LOCKOUT


# -- the access point -------------------------------------------------------------------------------------------------


def swipe(world: World, *numbers: str, at: str = "front-in") -> list[Any]:
    """Cards that nobody knows."""
    found = []
    for number in numbers:
        found += world.send({**_swiped(number, at)})
    return found


def _swiped(number: str, at: str) -> dict[str, Any]:
    return {
        "type": "access_requested", "site_id": "hq", "device_id": "c1", "boot": 1, "access_point_id": at,
        "occurred_at": NOW.isoformat(), "factors": [card(number)],
    }  # fmt: skip


AT_FRONT = "hq/access-point/front-in"


def test_many_numbers_guessed_at_a_door_are_told_of_first_and_then_lock_it_for_a_minute() -> None:
    world = guarded(CARD, CARD_AND_PIN)
    found = swipe(world, *(f"9{n % 5}" for n in range(19)))
    assert told(found) == [("lockout_impending", AT_FRONT)]
    (warning,) = of_type(found, "lockout_impending")
    assert (warning.failures, warning.cardholder_id, warning.credential_id) == (10, None, None)
    (lock,) = of_type(swipe(world, "94"), STARTED)
    assert (lock.lockout_key, lock.failures, lock.numbers) == (AT_FRONT, 20, 5)
    assert lock.locked_until - lock.started_at == timedelta(seconds=60)
    assert world.ask(card()).reason is Reason.ACCESS_POINT_LOCKOUT
    assert world.ask(card(), at="lab-in").type == "access_granted"
    assert world.ask(card(), pin(RIGHT)).type == "access_granted"
    assert told(world.wait(60)) == [(ENDED, AT_FRONT)]
    assert world.ask(card()).type == "access_granted"
    assert [key for key in world.state if key.startswith(("lockout/", "guesses/"))] == []


def test_a_locked_door_does_not_tell_which_cards_or_faces_exist() -> None:
    world = guarded(CARD, {"kind": "single", "factor": "face"})
    swipe(world, *(f"9{n % 5}" for n in range(20)))
    known, unknown = world.ask(card()), world.ask(card("777"))
    face = world.ask({"kind": "face", "template": [0.1, 0.2], "model": "arc"})
    for refused in (known, unknown, face):
        assert isinstance(refused, AccessDenied)
        assert (refused.reason, refused.display) == (Reason.ACCESS_POINT_LOCKOUT, Display.LOCKED)


def test_a_door_that_is_guessed_at_again_and_again_is_never_locked_for_longer() -> None:
    world = guarded(CARD)
    for _ in range(8):
        (lock,) = of_type(swipe(world, *(f"9{n % 5}" for n in range(20))), STARTED)
        assert (lock.number, lock.locked_until - lock.started_at) == (1, timedelta(seconds=60))
        world.wait(60)


@pytest.mark.parametrize(("numbers", "attempts", "pause_s"), [(1, 200, 0.1), (4, 200, 0.1), (5, 19, 0), (50, 200, 3.2)])
def test_a_stranger_with_few_cards_or_at_the_pace_of_a_person_does_not_shut_a_turnstile(
    numbers: int, attempts: int, pause_s: float
) -> None:
    world = guarded(CARD)
    found = []
    for n in range(attempts):
        found += swipe(world, f"9{n % numbers}")
        world.wait(pause_s)
    assert STARTED not in {one.type for one in found}
    assert world.ask(card()).type == "access_granted"


def test_a_turnstile_whose_policy_says_so_is_told_of_and_never_shut() -> None:
    world = guarded(CARD, access_point={"enforcement": "soft"})
    found = swipe(world, *(f"9{n}" for n in range(60)))
    assert {one.type for one in found if one.type.startswith("lockout")} == {"lockout_impending"}
    assert world.ask(card()).type == "access_granted"
    silent = guarded(CARD, access_point={"enforcement": "off"})
    assert told(swipe(silent, *(f"9{n}" for n in range(60)))) == []


def test_guesses_with_many_peoples_cards_lock_the_door_for_single_factors_and_not_the_people() -> None:
    world = guarded(CARD_AND_PIN)
    for n in range(10):
        world.person(f"p{n}", f"20{n}")
    found = [one for n in range(20) for one in guess(world, number=f"20{n % 10}")]
    assert [one.lockout_key for one in of_type(found, STARTED)] == [AT_FRONT]
    assert decision(guess(world, RIGHT)).type == "access_granted"


def test_what_is_tried_at_a_locked_door_counts_against_people_but_not_against_the_door() -> None:
    world = guarded(CARD, CARD_AND_PIN)
    swipe(world, *(f"9{n % 5}" for n in range(20)))
    swipe(world, *(f"8{n}" for n in range(20)))
    assert "guesses/front-in" not in world.state
    assert told([one for _ in range(3) for one in guess(world)]) == [(STARTED, OF_CARD), (STARTED, OF_ANN)]


# -- late and offline -------------------------------------------------------------------------------------------------


def test_requests_that_waited_lock_as_they_would_have_in_time() -> None:
    world = guarded()
    world.wait(3600)
    for _ in range(3):
        guess(world, age_s=600)
    late = decision(guess(world, RIGHT, age_s=599))
    assert (late.reason, late.timeliness) == (Reason.CREDENTIAL_LOCKOUT, "late")
    found = guess(world, RIGHT)
    assert decision(found).type == "access_granted"


def test_a_lock_over_by_the_time_of_the_next_failures_is_told_to_be_over_before_the_next_begins() -> None:
    world = guarded(cardholder=LOOSE)
    world.wait(3600)
    for _ in range(3):
        guess(world, age_s=1000)
    found = [one for _ in range(3) for one in guess(world, age_s=600)]
    assert told(found) == [(ENDED, OF_CARD), (STARTED, OF_CARD)]
    assert [one.number for one in of_type(found, STARTED)] == [2]


def offline(world: World, seconds_ago: float, digits: str = "000000") -> list[Any]:
    """What a controller decided alone, sent now."""
    moment = NOW + timedelta(milliseconds=world.now_ms - round(NOW.timestamp() * 1000)) - timedelta(seconds=seconds_ago)
    return guess(world, digits, outcome="denied", occurred_at=moment.isoformat())


def test_offline_failures_lock_from_now_on_and_only_for_what_is_left_of_the_lock() -> None:
    world = guarded()
    world.wait(3600)
    found = [one for _ in range(3) for one in offline(world, 100)]
    (of_card, _) = of_type(found, STARTED)
    now = NOW + timedelta(seconds=3600)
    assert (of_card.started_at, of_card.locked_until) == (now, now + timedelta(seconds=200))
    assert decision(guess(world, RIGHT)).reason is Reason.CREDENTIAL_LOCKOUT
    assert decision(offline(world, 50, RIGHT)).type == "access_granted"


def test_offline_failures_of_long_ago_lock_nobody_now() -> None:
    world = guarded()
    world.wait(86_400)
    assert told([one for n in range(9) for one in offline(world, 7200 - n)]) == []
    world.wait(1)
    assert [key for key in world.state if key.startswith(("failures/", "lockout/"))] == []


def test_offline_failures_do_not_replace_a_lock_that_began_since() -> None:
    world = guarded()
    world.wait(3600)
    for _ in range(3):
        guess(world)
    before = {key: value for key, value in world.state.items() if key.startswith("lockout/")}
    assert told([one for n in range(9) for one in offline(world, 60 - n)]) == []
    assert {key: value for key, value in world.state.items() if key.startswith("lockout/")} == before


def test_an_offline_record_from_the_future_counts_as_of_when_it_was_sent() -> None:
    world = guarded()
    found = [one for _ in range(3) for one in offline(world, -86_400)]
    assert [one.locked_until for one in of_type(found, STARTED)] == [NOW + timedelta(seconds=300)] * 2


# -- ended by an operator ---------------------------------------------------------------------------------------------


def end(world: World, subject: str, id_: str, **how: Any) -> list[Any]:
    """An operator's request to end a lock."""
    world.sequence += 1
    number = f"e-{world.sequence}"
    fields = {**END, "subject": subject, "subject_id": id_, "request_id": number, **how.pop("fields", {})}
    return world.operator(fields, nonce=number, **how)


@pytest.mark.branch("A4.05")
def test_an_administrator_ends_a_persons_lock_and_the_credential_can_authenticate_again() -> None:
    world = guarded()
    for _ in range(3):
        guess(world)
    found = end(world, "cardholder", "ann")
    assert found[0].type == "operator_request_accepted"
    assert sorted(told(found)) == sorted([(ENDED, OF_CARD), (ENDED, OF_ANN)])
    for one in of_type(found, ENDED):
        assert (one.cause, one.operator_id, one.reason) == ("operator", "op-7", END["reason"])
    assert decision(guess(world, RIGHT)).type == "access_granted"
    assert [told(guess(world)) for _ in range(2)] == [[], []]
    (lock, _) = of_type(guess(world), STARTED)
    assert lock.number == 1


def test_a_credentials_lock_ends_alone() -> None:
    world = guarded(cardholder=LOOSE)
    for _ in range(3):
        guess(world)
    assert told(end(world, "credential", "card-100")) == [(ENDED, OF_CARD)]
    assert decision(guess(world, RIGHT)).type == "access_granted"


def test_a_locked_door_can_be_released_early() -> None:
    world = guarded(CARD)
    swipe(world, *(f"9{n % 5}" for n in range(20)))
    assert told(end(world, "access-point", "front-in")) == [(ENDED, AT_FRONT)]
    assert world.ask(card()).type == "access_granted"


def test_a_lock_without_an_end_is_ended_by_an_administrator() -> None:
    world = guarded(cardholder=LOOSE, credential={"permanent_after": 1})
    for _ in range(2):
        for _ in range(3):
            guess(world)
        world.wait(300)
    assert decision(guess(world, RIGHT)).reason is Reason.CREDENTIAL_LOCKOUT
    assert told(end(world, "credential", "card-100")) == [(ENDED, OF_CARD)]
    assert decision(guess(world, RIGHT)).type == "access_granted"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"fields": {"reason": " "}}, "no_reason"),
        ({"fields": {"operator_id": "op-8"}, "signer": "op-8"}, "no_right"),
        ({"fields": {"operator_id": "op-9"}, "signer": "op-9"}, "unknown_operator"),
        ({"signer": "op-8"}, "invalid_signature"),
        ({"valid_s": -1}, "expired"),
        ({"fields": {"subject_id": "bob"}}, "unknown_lockout"),
    ],
)
def test_who_may_not_end_a_lock_does_not(how: dict[str, Any], code: str) -> None:
    world = guarded()
    for _ in range(3):
        guess(world)
    (answer,) = end(world, "cardholder", "ann", **how)
    assert (answer.type, answer.code) == ("operator_request_refused", code)
    assert decision(guess(world, RIGHT)).reason is Reason.CREDENTIAL_LOCKOUT


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_counters_and_locks_stay_small_at_the_highest_limits() -> None:
    limits = {"failures": 10, "window_s": 3600, "permanent_after": 10}
    world = guarded(credential=limits, cardholder=limits, access_point={"failures": 50, "numbers": 20, "window_s": 600})
    swipe(world, *(f"number-{n}" for n in range(49)))
    for lock in range(6):
        for n in range(19 if lock == 5 else 10):
            guess(world, at=("front-in", "lab-in")[n % 2])
        world.wait(3600)
    kept = {
        key: len(encode(entity)) for key, entity in world.state.items() if key.startswith(("fail", "guess", "lock"))
    }
    assert kept
    assert max(kept.values()) <= 1024
    times = tuple(range(1_772_442_000_000, 1_772_442_000_009))
    full = Failures(tuple((f"headquarters-d{n:03}-in", times) for n in range(MOST_POINTS)), times[-1])
    most = Guesses(
        tuple(range(1_772_442_000_000, 1_772_442_000_050)), tuple((2**32 - n, times[0]) for n in range(20)), 0
    )
    assert max(len(encode(full)), len(encode(most))) <= 1024


@pytest.mark.parametrize(
    "wrong",
    [
        {"credential": {"failures": 1}},
        {"cardholder": {"lock_s": 7200}},
        {"access_point": {"lock_s": 86_400}},
        {"access_point": {"numbers": 21}},
    ],
)
def test_limits_that_would_do_harm_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        guarded(**wrong)
