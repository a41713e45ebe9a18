"""Security rules and risk (A2), driven by messages alone; what no message sets yet is set by a marker message."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.base import Message
from schemas.doors import RequestToExit
from schemas.places import AccessPoint, Accompaniment, FirstPersonIn, Interlock, Occupancy, Passback, Zone
from schemas.vocabulary import Direction, Enforcement
from streams.core.entities import Risk
from streams.core.evolution import RiskSet
from streams.core.failures import Kept
from streams.core.lockout_state import Lockout, lockout_key
from streams.core.processor import Arrival, Cause, Context, Outcome, State
from streams.core.site import SiteProcessor
from tests.core.given import ADA, BOB, DOOR, HALL, MASTER, POINT, House, Json, card, checks, person

HARD, SOFT, OFF = Enforcement.HARD, Enforcement.SOFT, Enforcement.OFF
SWITCHED = DOOR.model_copy(update={"has_dps": True})


def hall(**rules: object) -> Message:
    """The hall under rules."""
    return HALL.model_copy(update=rules)


def mantrap(enforcement: Enforcement) -> tuple[Message, ...]:
    """Two doors to the hall, of which one opens only while the other is shut."""
    rule = Interlock(group="trap", enforcement=enforcement)
    point = AccessPoint.model_validate(
        POINT.model_dump() | {"access_point_id": "side-in", "door_id": "side", "direction": Direction.ENTRY}
    )
    lobby = SWITCHED.model_copy(update={"interlock": rule})
    return lobby, lobby.model_copy(update={"door_id": "side"}), point


def breach(rule: str, enforcement: Enforcement, **ada: object) -> tuple[Json, list[Json]]:
    """Ada's request that breaks a rule, and the alerts of all that was decided."""
    people = (*person("ada", **ada), *BOB)
    match rule:
        case "passback":
            records: tuple[Message, ...] = (hall(passback=Passback(enforcement=enforcement)),)
            before: Sequence[str] = ("ada",)
        case "occupancy":
            records, before = (hall(occupancy=Occupancy(enforcement=enforcement, limit=1)),), ("bob",)
        case "two-person":
            records, before = (hall(two_person=Accompaniment(enforcement=enforcement)),), ()
        case "escort":
            people = (*person("ada", needs_escort=True, **ada), *BOB)
            records, before = (hall(escort=Accompaniment(enforcement=enforcement)),), ()
        case "interlock":
            records, before = mantrap(enforcement), ("bob",)
        case _:
            records, before = (hall(first_person_in=FirstPersonIn(enforcement=enforcement)),), ()
    with House(*people, *records) as house:
        for name in before:
            assert house.ask(card(name))["type"] == "access_granted"
        decision = house.ask(card("ada"), point="side-in" if rule == "interlock" else "lobby-in")
        return decision, house.alerts()


RULES = [
    ("passback", "passback"),
    ("occupancy", "occupancy_limit"),
    ("two-person", "no_accompaniment"),
    ("escort", "no_accompaniment"),
    ("interlock", "interlock"),
    ("first-person-in", "first_person_absent"),
]


@pytest.mark.branch("A2.12")
@pytest.mark.parametrize(("rule", "reason"), RULES)
def test_a_hard_rule_that_is_broken_denies_and_is_named(rule: str, reason: str) -> None:
    decision, _ = breach(rule, HARD)
    assert (decision["type"], decision["reason"], decision["failed_checks"]) == ("access_denied", reason, [reason])
    assert checks(decision)[rule] == "failed"


@pytest.mark.branch("A2.13")
@pytest.mark.parametrize(("rule", "reason"), RULES)
def test_a_soft_rule_that_is_broken_grants_and_raises_an_alert(rule: str, reason: str) -> None:
    decision, alerts = breach(rule, SOFT)
    assert (decision["type"], decision["soft_breaches"]) == ("access_granted", [reason])
    assert checks(decision)[rule] == "soft"
    assert [alert["kind"] for alert in alerts] == ["abnormal_passage" if rule == "passback" else "soft_breach"]
    assert reason in alerts[0]["summary"]


@pytest.mark.branch("A2.13")
@pytest.mark.parametrize(("rule", "reason"), RULES)
def test_a_rule_that_is_off_holds_nobody_up(rule: str, reason: str) -> None:
    decision, alerts = breach(rule, OFF)
    assert (decision["type"], decision["soft_breaches"], alerts) == ("access_granted", [], [])
    assert reason not in decision["failed_checks"]


@pytest.mark.branch("A2.13")
@pytest.mark.parametrize(("rule", "reason"), RULES)
def test_who_is_exempt_breaks_a_hard_rule_softly(rule: str, reason: str) -> None:
    decision, alerts = breach(rule, HARD, exempt=True)
    assert (decision["type"], decision["soft_breaches"]) == ("access_granted", [reason])
    assert [alert["kind"] for alert in alerts] == ["abnormal_passage" if rule == "passback" else "soft_breach"]


@pytest.mark.branch("A2.12")
def test_a_full_zone_that_only_reports_hides_no_full_zone_around_it_that_refuses() -> None:
    site = Zone(
        zone_id="hq", site_id="hq", kind="site", name="Headquarters", occupancy=Occupancy(enforcement=HARD, limit=1)
    )
    with House(*ADA, *BOB, site, hall(occupancy=Occupancy(enforcement=SOFT, limit=1))) as house:
        assert house.ask(card("bob"))["type"] == "access_granted"
        assert house.ask(card("ada"))["reason"] == "occupancy_limit"


@pytest.mark.branch("A2.13")
def test_the_second_of_two_people_is_let_in_and_then_the_first() -> None:
    with House(*ADA, *BOB, hall(two_person=Accompaniment(enforcement=HARD, window_s=30))) as house:
        turned_away, second, first = (house.ask(card(name)) for name in ("ada", "bob", "ada"))
    assert turned_away["reason"] == "no_accompaniment"
    assert (second["type"], first["type"]) == ("access_granted", "access_granted")


@pytest.mark.branch("A2.12")
def test_one_person_twice_is_not_two_people_nor_are_two_who_come_too_far_apart() -> None:
    with House(*ADA, *BOB, hall(two_person=Accompaniment(enforcement=HARD, window_s=30))) as house:
        again = [house.ask(card("ada")) for _ in range(2)]
        house.harness.advance(31)
        late = house.ask(card("bob"))
    assert [one["reason"] for one in (*again, late)] == ["no_accompaniment"] * 3


@pytest.mark.branch("A2.13")
def test_behind_an_escort_a_visitor_is_let_in() -> None:
    people = (*person("ada", needs_escort=True), *person("bob", escort=True))
    with House(*people, hall(escort=Accompaniment(enforcement=HARD))) as house:
        house.ask(card("bob"))
        decision = house.ask(card("ada"))
    assert (decision["type"], checks(decision)["escort"]) == ("access_granted", "passed")


@pytest.mark.branch("A2.13")
def test_the_first_person_opens_the_zone_for_the_others_until_the_day_ends() -> None:
    people = (*ADA, *person("bob", first_person=True))
    with House(*people, hall(first_person_in=FirstPersonIn(enforcement=HARD)), at="2026-03-02T23:59:00+08:00") as house:
        before, first, after = (house.ask(card(name)) for name in ("ada", "bob", "ada"))
        house.harness.advance(61)
        tomorrow = house.ask(card("ada"))
    assert (before["reason"], first["type"], after["type"]) == (
        "first_person_absent",
        "access_granted",
        "access_granted",
    )
    assert tomorrow["reason"] == "first_person_absent"


@pytest.mark.branch("A2.13")
def test_a_presence_that_timed_out_breaks_no_passback() -> None:
    with House(*ADA, hall(passback=Passback(enforcement=HARD, presence_timeout_s=60))) as house:
        first, soon = house.ask(card("ada")), house.ask(card("ada"))
        house.harness.advance(60)
        later = house.ask(card("ada"))
    assert (first["type"], soon["reason"], later["type"]) == ("access_granted", "passback", "access_granted")


class Assessing(SiteProcessor):
    """A site whose request to exit stands for an assessment made elsewhere."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(MASTER)
        self.outcome = outcome

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """As the site's, and the assessment where the marker arrives."""
        found = super().decide(state, cause, context)
        marked = isinstance(cause, Arrival) and isinstance(cause.message, RequestToExit)
        return [*found, self.outcome] if marked else found


def before_and_after(outcome: Outcome, **ada: object) -> tuple[Json, Json]:
    """Ada's decisions before and after an assessment."""
    with House(*person("ada", **ada), processor=Assessing(outcome)) as house:
        before = house.ask(card("ada"))
        house.send("door.events", "request_to_exit", door_id="lobby")
        return before, house.ask(card("ada"))


@pytest.mark.branch("A2.18")
def test_a_risk_over_its_limit_denies() -> None:
    before, after = before_and_after(RiskSet("hq", "ada", Risk(0.81, 0.8)))
    assert before["type"] == "access_granted"
    assert (after["type"], after["reason"], checks(after)["risk"]) == ("access_denied", "risk", "failed")


@pytest.mark.branch("A2.18")
def test_a_risk_at_its_limit_denies_nobody_and_one_over_it_is_soft_for_who_is_exempt() -> None:
    _, at_limit = before_and_after(RiskSet("hq", "ada", Risk(0.8, 0.8)))
    _, exempt = before_and_after(RiskSet("hq", "ada", Risk(0.81, 0.8)), exempt=True)
    assert (at_limit["type"], checks(at_limit)["risk"]) == ("access_granted", "passed")
    assert (exempt["type"], exempt["soft_breaches"]) == ("access_granted", ["risk"])


@pytest.mark.branch("A2.17")
@pytest.mark.parametrize(
    ("subject", "id_", "reason"),
    [
        ("credential", "ada-card", "credential_lockout"),
        ("cardholder", "ada", "credential_lockout"),
        ("access-point", "lobby-in", "access_point_lockout"),
    ],
)
def test_what_is_locked_out_stays_out(subject: str, id_: str, reason: str) -> None:
    before, after = before_and_after(Kept(lockout_key("hq", subject, id_), Lockout(None)))
    assert before["type"] == "access_granted"
    assert (after["type"], after["reason"], after["display"]) == ("access_denied", reason, "locked")
