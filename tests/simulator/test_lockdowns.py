"""The oracle on lockdowns: who is refused between their start and their all-clear, by the journal's order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.lockdown_plans import LockdownPlan
from schemas.people import Cardholder
from schemas.rules import Policy, SingleMethod
from schemas.vocabulary import FactorKind
from streams.simulator.book import Asked, Book, RequestKey
from streams.simulator.factors import CardShown
from streams.simulator.judge import Judge
from tests.simulator.small import NOON, World, campus

ANN, EVE = CardShown("1"), CardShown("3")
PLANS = (LockdownPlan(plan_id="usual", clearance=6), LockdownPlan(plan_id="strict"))
POLICY = Policy(policy_id="card", methods=(SingleMethod(factor=FactorKind.CARD),), lockdowns=PLANS)
CHIEF = Cardholder(cardholder_id="ann", name="ann", clearance=6, escort=True)


class Court:
    """A judge who hears of decisions and of lockdowns, each on its own topic."""

    def __init__(self) -> None:
        self.world, self.book = World(campus(POLICY, CHIEF)), Book()
        self.judge = Judge(self.world.oracle, self.world.people, self.world.places, self.book)
        self._asked = 0

    def decides(self, number: int, *failed: str, point: str = "main-in", card: CardShown = EVE, **fields: Any) -> None:
        """Somebody asks, and is let in or refused in that entry of the journal."""
        self._asked += 1
        key, place = RequestKey("c1", 7, self._asked), self.world.places.points[point]
        self.book.asks(key, Asked(place, (card,), NOON))
        granted = not failed
        decision = {
            "type": "access_granted" if granted else "access_denied",
            "decision_id": f"d{self._asked}",
            "device_id": key.device_id,
            "boot": key.boot,
            "sequence": key.sequence,
            "site_id": "s",
            "access_point_id": point,
            "door_id": place.door_id,
            "cardholder_id": {"1": "ann", "3": "eve"}[card.card_number],
            "permission_id": None,
            "timeliness": "late",
            "actuated": False,
            "recorded_outcome": None,
            "decided_at": NOON.isoformat(),
            "journal": {"partition": 0, "number": number},
            "reason": None if granted else failed[0],
            "failed_checks": list(failed),
            "zone_to": place.zone_to,
            "direction": place.direction.value,
        }
        self.judge.read(decision | fields)

    def lockdown(self, number: int, type_: str = "started", **fields: Any) -> None:
        """A message about a lockdown."""
        given: dict[str, Any] = {"type": f"lockdown_{type_}", "incident_id": "i", "site_id": "s", "zone_id": "hall"}
        given |= {
            "plan_id": "usual",
            "drill": False,
            "unconfirmed": [],
            "cause": "operator",
            "started_at": NOON.isoformat(),
            "decided_at": NOON.isoformat(),
            "journal": {"partition": 0, "number": number},
        }
        ends = {"releasing_at": "now" if "releas" in type_ else None, "released_at": None}
        self.world.oracle.lockdowns.told(given | ends | fields)

    def mode(self, number: int, mode: str) -> None:
        """A message about a door."""
        told = {"door_id": "main", "mode": mode, "unconfirmed": None, "journal": {"partition": 0, "number": number}}
        self.world.oracle.lockdowns.mode(told)

    @property
    def differences(self) -> list[str]:
        self.judge.conclude()
        return self.judge.differences


def test_entry_is_refused_from_the_entry_of_the_start_to_that_of_the_all_clear_whichever_is_read_first() -> None:
    court = Court()
    court.decides(9)
    court.decides(10, "lockdown")
    court.lockdown(10)
    court.lockdown(20, "releasing")
    court.decides(19, "lockdown")
    court.decides(20)
    assert court.differences == []


@pytest.mark.parametrize(("number", "failed"), [(9, ["lockdown"]), (10, []), (19, []), (20, ["lockdown"])])
def test_a_grant_in_a_lockdown_and_a_refusal_outside_it_are_findings(number: int, failed: list[str]) -> None:
    court = Court()
    court.lockdown(10)
    court.lockdown(20, "releasing")
    court.decides(number, *failed)
    assert len(court.differences) == 1
    assert "locked down at" in court.differences[0]


def test_a_drill_with_commands_refuses_like_a_real_one_until_a_real_one_is_there() -> None:
    court = Court()
    court.lockdown(10, incident_id="practice", plan_id="strict", drill=True, drill_commands=True)
    court.decides(11, "lockdown", card=ANN)
    court.lockdown(20)
    court.decides(21, card=ANN)
    court.decides(22, "lockdown")
    court.lockdown(30, "releasing")
    court.decides(31, "lockdown", card=ANN)
    assert court.differences == []


@pytest.mark.parametrize(
    ("seconds", "failed", "right"),
    [(-60, [], True), (-60, ["lockdown"], False), (60, ["lockdown"], True), (60, [], False), (0.5, [], True)],
)
def test_what_a_controller_decided_alone_is_judged_by_when_that_was(
    seconds: float, failed: list[str], right: bool
) -> None:
    court = Court()
    court.lockdown(10)
    at = NOON + timedelta(seconds=seconds)
    key, place = RequestKey("c1", 7, 1, backlog=True), court.world.places.points["main-in"]
    court.book.asks(key, Asked(place, (EVE,), at, "granted", "facility_code"))
    court.decides(11, *failed, sequence=1, timeliness="offline", recorded_outcome="granted")
    claimed = [one for one in court.differences if "locked down at" in one]
    assert (claimed == []) is right


def test_it_is_refused_for_that_first_and_for_what_else_is_wrong_after_it() -> None:
    court = Court()
    court.lockdown(10)
    court.decides(11, "lockdown", "no_accompaniment", point="main-in")
    assert "expected lockdown to fail" in court.differences[0]


@pytest.mark.parametrize(
    ("plan", "card", "refused"), [("usual", ANN, False), ("usual", EVE, True), ("strict", ANN, True)]
)
def test_a_responder_passes_by_clearance_and_nobody_where_the_plan_names_none(
    plan: str, card: CardShown, refused: bool
) -> None:
    court = Court()
    court.lockdown(10, plan_id=plan)
    court.decides(11, *(["lockdown"] if refused else []), card=card)
    assert court.differences == []
    court.decides(12, *([] if refused else ["lockdown"]), card=card)
    assert len(court.differences) == 1


def test_of_two_lockdowns_each_must_let_a_responder_pass() -> None:
    court = Court()
    court.lockdown(10)
    court.lockdown(12, incident_id="j", zone_id="s", plan_id="strict")
    court.decides(11, card=ANN)
    court.decides(12, "lockdown", card=ANN)
    assert court.differences == []


def test_nobody_is_refused_by_a_drill_nor_outside_the_zone_nor_on_the_way_out() -> None:
    court = Court()
    court.lockdown(10, drill=True)
    court.lockdown(10, incident_id="j", zone_id="lab")
    court.decides(11)
    court.decides(11, point="main-out")
    assert court.differences == []
    court.decides(11, "lockdown", point="lab-out", type="access_granted", reason=None)
    assert "kept in by a lockdown" in court.differences[-1]


def test_a_drill_with_commands_refuses_as_if_it_were_real() -> None:
    court = Court()
    court.lockdown(10, drill=True, drill_commands=True)
    court.decides(11, "lockdown")
    assert court.differences == []


def test_one_that_is_escalated_refuses_in_its_larger_scope_from_that_entry_on() -> None:
    court = Court()
    court.lockdown(10, zone_id="lab")
    court.lockdown(20, "escalated", zone_id="s")
    court.lockdown(30, "releasing", zone_id="s")
    court.decides(19)
    court.decides(19, "lockdown", point="lab-in")
    court.decides(20, "lockdown")
    court.decides(29, "lockdown", point="lab-in")
    court.decides(30, point="lab-in")
    assert [one for one in court.differences if "locked down at" in one] == []
    assert court.world.oracle.lockdowns.standing
    court.lockdown(31, "released", zone_id="s", released_at="later")
    assert not court.world.oracle.lockdowns.standing
    court.decides(19, "lockdown")
    assert "hall is not locked down at 19 of the journal" in court.differences[-1]


def test_a_lockdown_that_a_threat_began_may_or_may_not_concern_the_entry_that_it_began_in() -> None:
    court = Court()
    court.lockdown(10, cause="threat")
    court.decides(10)
    court.decides(10, "lockdown")
    court.decides(11, "lockdown")
    assert court.differences == []


def test_a_door_that_is_blocked_is_out_of_service_and_one_that_is_not_is_not() -> None:
    court = Court()
    court.mode(10, "blocked")
    court.mode(20, "locked")
    court.decides(9)
    court.decides(10, "out_of_service")
    court.decides(20)
    assert court.differences == []
    court.decides(11)
    court.decides(21, "out_of_service")
    assert [one.partition(": ")[2] for one in court.differences] == [
        "main is blocked at 11 of the journal",
        "main is not blocked at 21 of the journal",
    ]


def test_a_lockdown_stands_until_it_is_released_to_its_end() -> None:
    court = Court()
    lockdowns = court.world.oracle.lockdowns
    assert not lockdowns.standing
    court.lockdown(10)
    court.lockdown(20, "releasing")
    assert lockdowns.standing
    court.lockdown(30, "released", released_at="later")
    assert not lockdowns.standing
