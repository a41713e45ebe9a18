"""The oracle's own picture of who is locked out (A4), and the judge that keeps it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from schemas.vocabulary import Reason
from streams.simulator.book import RequestKey
from streams.simulator.factors import CardShown, PinTyped, Shown
from tests.simulator.small import NOON, World, campus
from tests.simulator.test_judge import ANN, Court

RIGHT, WRONG = PinTyped("4711"), PinTyped("4712")


def tries(world: World, pin: PinTyped, seconds: float = 0, point: str = "lab-in", **how: Any) -> Reason | None:
    """An attempt at the lab, expected and counted; the one right outcome."""
    moment = NOON + timedelta(seconds=seconds)
    decided = moment + timedelta(seconds=how.get("later", 0))
    shown: list[Shown] = [ANN, pin]
    expected = world.oracle.expect(world.places.points[point], shown, decided, moment, moment, live="later" not in how)
    (outcome,) = expected.outcomes
    world.oracle.lockouts.attempted(expected.attempt, shown, outcome)
    return outcome


def test_three_wrong_pins_lock_and_the_right_one_comes_too_late() -> None:
    world = World(campus())
    assert [tries(world, WRONG, second) for second in range(3)] == [Reason.INCORRECT_AUTHENTICATION_FACTOR] * 3
    assert tries(world, RIGHT, 3) is Reason.CREDENTIAL_LOCKOUT
    assert tries(world, RIGHT, 301.9) is Reason.CREDENTIAL_LOCKOUT
    assert tries(world, RIGHT, 312.1) is None


def test_a_success_clears_the_card_and_not_its_holder() -> None:
    world = World(campus())
    assert [tries(world, pin, n) for n, pin in enumerate((WRONG, WRONG, RIGHT, WRONG))][-1] is not None
    assert tries(world, RIGHT, 5) is Reason.CREDENTIAL_LOCKOUT


def test_what_a_controller_kept_for_hours_locks_nobody_now() -> None:
    world = World(campus())
    for second in range(5):
        tries(world, WRONG, second, later=7200)
    assert tries(world, RIGHT, 7201) is None


def test_an_operators_end_begins_afresh() -> None:
    world = World(campus())
    for second in range(3):
        tries(world, WRONG, second)
    world.oracle.lockouts.ended("s", "cardholder", "ann")
    assert [tries(world, WRONG, second) for second in (4, 5)] == [Reason.INCORRECT_AUTHENTICATION_FACTOR] * 2
    assert tries(world, RIGHT, 6) is None


def test_many_numbers_lock_a_reader_for_cards_alone() -> None:
    world = World(campus())
    point = world.places.points["main-in"]
    for number in range(20):
        shown = [CardShown(f"guess-{number}")]
        expected = world.oracle.expect(point, shown, NOON, NOON)
        world.oracle.lockouts.attempted(expected.attempt, shown, Reason.UNKNOWN_CREDENTIAL)
    assert world.expect("main-in", ANN) == {"access_point_lockout"}
    assert world.expect("main-in", ANN, at=NOON + timedelta(seconds=60)) == {"granted"}


def test_the_judge_counts_what_it_reads_and_finds_a_lock_that_is_missing() -> None:
    court = Court(ANN, WRONG, point="lab-in")
    for sequence in range(1, 5):
        key = RequestKey("c1", 7, sequence)
        court.ask(ANN, WRONG, point="lab-in", key=key)
        court.hears("access_denied", key, reason="incorrect_authentication_factor", age_ms=0)
    (difference,) = court.judge.differences
    assert "expected credential_lockout, got incorrect_authentication_factor" in difference


def test_what_failed_before_the_run_counts_too() -> None:
    court = Court(ANN, RIGHT, point="lab-in")
    for sequence in range(3):
        court.judge.read(
            {
                "type": "access_denied", "decision_id": f"old-{sequence}", "device_id": "c1", "boot": 6,
                "sequence": sequence, "site_id": "s", "access_point_id": "lab-in", "door_id": "lab",
                "cardholder_id": "ann", "credential_id": None, "timeliness": "online", "actuated": False,
                "decided_at": NOON.isoformat(), "reason": "incorrect_authentication_factor", "method": "card+pin",
                "failed_checks": ["incorrect_authentication_factor"], "age_ms": 0, "zone_to": "lab",
                "direction": "entry",
            },
            before=True,
        )  # fmt: skip
    court.hears("access_denied", reason="credential_lockout", age_ms=0)
    assert court.judge.differences == []
