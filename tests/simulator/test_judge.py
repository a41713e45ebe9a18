"""The judge names everything that was decided otherwise than the oracle expects, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.vocabulary import Reason
from streams.simulator.book import Asked, Book, RequestKey
from streams.simulator.factors import CardShown, PinTyped, Shown
from streams.simulator.judge import Judge
from streams.simulator.oracle import Expected
from tests.simulator.small import HARD_PASSBACK, NOON, World, campus

KEY = RequestKey("c1", 7, 1)
ANN = CardShown("1")


class Court:
    """A judge over a small campus, with requests that were made."""

    def __init__(self, *shown: Shown, point: str = "main-in", key: RequestKey = KEY, **zone_rules: Any) -> None:
        self.world = World(campus(**zone_rules))
        self.book = Book()
        self.judge = Judge(self.world.oracle, self.world.people, self.world.places, self.book)
        self.ask(*(shown or (ANN,)), point=point, key=key)

    def ask(self, *shown: Shown, point: str = "main-in", key: RequestKey) -> None:
        recorded = "granted" if key.backlog else None
        self.book.asks(key, Asked(self.world.places.points[point], shown, NOON, recorded))  # type: ignore[arg-type]

    def hears(self, type_: str, key: RequestKey = KEY, **fields: Any) -> None:
        point = self.book.asked[key].point
        granted = type_ == "access_granted"
        decision: dict[str, Any] = {
            "type": type_,
            "decision_id": f"d{key.sequence}{key.backlog}",
            "device_id": key.device_id,
            "boot": key.boot,
            "sequence": key.sequence,
            "site_id": "s",
            "access_point_id": point.access_point_id,
            "door_id": point.door_id,
            "cardholder_id": "ann",
            "permission_id": "ann-p",
            "timeliness": "offline" if key.backlog else "online",
            "actuated": granted and not key.backlog,
            "recorded_outcome": "granted" if key.backlog else None,
            "decided_at": NOON.isoformat(),
            "journal": {"partition": 0, "number": 10},
            "reason": None,
            "failed_checks": [],
            "zone_to": point.zone_to,
            "direction": "entry",
        }
        decision |= fields
        if decision["reason"] is not None and "failed_checks" not in fields:
            decision["failed_checks"] = [decision["reason"]]
        self.judge.read(decision)

    @property
    def findings(self) -> list[str]:
        return [*self.judge.differences, *self.book.doubled]


def passed(court: Court) -> None:
    court.book.asked[KEY].passed = True
    court.hears("access_taken", evidence="door_opened")


def test_a_right_grant_with_its_passage_is_no_finding() -> None:
    court = Court()
    court.hears("access_granted")
    assert court.judge.open_ends == 1
    passed(court)
    court.judge.conclude()
    assert (court.findings, court.judge.open_ends, court.book.waiting) == ([], 0, 0)


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("access_denied", {"reason": "passback"}),
        ("access_granted", {"cardholder_id": "bob"}),
        ("access_granted", {"actuated": False}),
        ("access_granted", {"timeliness": "late"}),
    ],
)
def test_a_wrong_decision_is_a_finding(type_: str, fields: dict[str, Any]) -> None:
    court = Court()
    court.hears(type_, **fields)
    assert len(court.findings) == 1


def test_a_grant_of_what_should_be_denied_and_a_denial_for_another_reason_are_findings() -> None:
    for type_, reason in (("access_granted", None), ("access_denied", "no_access_rights")):
        court = Court(CardShown("nobody's"))
        court.hears(type_, reason=reason)
        assert len(court.judge.differences) == 1
        assert "expected unknown_credential" in court.judge.differences[0]


def test_a_reason_that_is_not_the_first_failed_check_is_a_finding() -> None:
    court = Court(CardShown("nobody's"))
    court.hears("access_denied", reason="unknown_credential", failed_checks=["passback", "unknown_credential"])
    assert len(court.findings) == 1


def test_a_second_decision_of_a_request_is_doubled() -> None:
    court = Court()
    court.hears("access_granted")
    court.hears("access_granted", decision_id="another")
    assert len(court.book.doubled) == 1


def test_a_grant_without_a_passage_and_a_passage_that_nobody_made_are_findings() -> None:
    court = Court()
    court.hears("access_granted")
    court.judge.conclude()
    assert len(court.findings) == 1
    court = Court()
    court.hears("access_granted")
    court.hears("access_taken", evidence="door_opened")
    assert len(court.findings) == 1
    court = Court()
    court.hears("access_granted")
    court.book.asked[KEY].passed = True
    court.hears("access_not_taken")
    assert len(court.findings) == 1


def test_foul_play_must_be_refused_for_its_reason_and_honest_requests_must_not() -> None:
    court = Court()
    court.judge.expect_refusal(KEY, Reason.REPLAYED_REQUEST)
    assert court.judge.open_ends == 1
    court.hears("access_denied", reason="replayed_request", decision_id="foul")
    court.judge.conclude()
    assert court.findings == []
    court.hears("access_denied", reason="invalid_signature", decision_id="foul-2")
    assert len(court.findings) == 1
    court = Court()
    court.judge.expect_refusal(KEY, Reason.INVALID_SIGNATURE)
    court.judge.conclude()
    assert len(court.findings) == 1


def test_a_duress_pin_must_give_a_duress_event_and_a_calm_one_must_not() -> None:
    court = Court(ANN, PinTyped("8302"), point="lab-in")
    court.hears("access_granted")
    passed(court)
    court.judge.conclude()
    assert len(court.findings) == 1
    court = Court(ANN, PinTyped("4711"), point="lab-in")
    court.hears("access_granted")
    passed(court)
    court.judge.duress({"decision_id": "d1False"})
    court.judge.conclude()
    assert len(court.findings) == 1


def test_a_passage_moves_people_so_that_the_next_request_is_judged_by_it() -> None:
    court = Court(hall=HARD_PASSBACK)
    court.hears("access_granted")
    passed(court)
    again = RequestKey("c1", 7, 2)
    court.ask(ANN, key=again)
    court.hears("access_denied", key=again, reason="passback")
    assert court.findings == []


def test_what_happened_before_the_run_moves_people_and_is_not_judged() -> None:
    court = Court(hall=HARD_PASSBACK)
    court.judge.read(
        {
            "type": "access_taken",
            "decision_id": "old",
            "site_id": "s",
            "cardholder_id": "ann",
            "permission_id": "ann-p",
            "zone_to": "hall",
            "direction": "entry",
            "decided_at": NOON.isoformat(),
        },
        before=True,
    )
    court.hears("access_denied", reason="passback")
    assert court.findings == []


def test_a_record_of_the_backlog_is_judged_on_its_own_beside_the_request_with_the_same_numbers() -> None:
    court = Court()
    backlog = KEY._replace(backlog=True)
    court.ask(ANN, key=backlog)
    court.hears("access_granted")
    court.hears("access_granted", key=backlog)
    passed(court)
    court.judge.conclude()
    assert court.findings == []


def test_nobody_knows_is_a_right_answer_and_is_counted() -> None:
    court = Court()
    court.hears("access_denied", reason="authentication_unavailable")
    assert (court.findings, court.book.counts["unavailable"]) == ([], 1)


def test_two_commands_of_one_request_are_doubled_and_a_repeated_record_is_not() -> None:
    court = Court()
    court.book.asked[KEY].sent_s = 1.0
    assert court.book.commanded(KEY, "a", 1.5)
    assert not court.book.commanded(KEY, "a", 1.6)
    assert court.book.doubled == []
    court.book.commanded(KEY, "b", 1.7)
    assert len(court.book.doubled) == 1
    assert court.book.times.quantile_ms(0.0) == 500.0


@pytest.mark.parametrize("who", ["ann", None])
def test_a_passback_that_an_operator_forgave_to_one_or_to_all_is_forgotten(who: str | None) -> None:
    court = Court(hall=HARD_PASSBACK)
    court.world.enters("ann", "hall")
    fields = {"type": "operator_request_accepted", "request_type": "passback_forgiven", "site_id": "s"}
    court.judge.read({**fields, "cardholder_id": who, "decided_at": NOON.isoformat()})
    court.hears("access_granted")
    assert court.findings == []


def test_every_failed_check_is_compared_not_only_the_first() -> None:
    court = Court(CardShown("nobody's"))
    court.hears("access_denied", reason="unknown_credential", failed_checks=["unknown_credential", "passback"])
    assert len(court.findings) == 1
    assert "expected unknown_credential to fail, got unknown_credential, passback" in court.findings[0]
    court = Court(CardShown("nobody's"), point="main-out")
    court.hears("access_granted", cardholder_id=None, failed_checks=[])
    assert "expected unknown_credential to fail, got nothing" in court.findings[0]


def test_a_check_that_may_go_either_way_may_be_missing() -> None:
    either: frozenset[Reason | None] = frozenset({Reason.INTERLOCK, None})
    passback: frozenset[Reason | None] = frozenset({Reason.PASSBACK})
    expected = Expected(passback, None, None, duress=False, failed=(passback, either))
    assert expected.accounts_for([Reason.PASSBACK, Reason.INTERLOCK])
    assert expected.accounts_for([Reason.PASSBACK])
    assert not expected.accounts_for([Reason.INTERLOCK])
    assert not expected.accounts_for([])
