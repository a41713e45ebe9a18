"""Who is it, and do the factors prove it (A1)?"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.access import AccessDenied
from schemas.people import Credential
from schemas.pins import weakness
from schemas.rules import Policy
from schemas.vocabulary import FactorKind, FactorResult, Reason
from streams.core.failures import Kept
from streams.core.lockout_state import Lockout, lockout_key
from tests.core.world import World, card, outcomes_of, pin

ANN_FACE = {"templates": [[1.0, 0.0, 0.0]], "model": "arc"}
ALIKE, HALF_ALIKE = [0.9, 0.1, 0.0], [0.5, 0.9, 0.0]
PAST, FUTURE = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"


def single(*kinds: str) -> dict[str, Any]:
    return {"methods": [{"kind": "single", "factor": kind} for kind in kinds]}


def all_of(*kinds: str) -> dict[str, Any]:
    return {"methods": [{"kind": "all_required", "factors": kinds}]}


def fusion(threshold: float, **weights: float) -> dict[str, Any]:
    return {"methods": [{"kind": "fusion", "weights": weights, "threshold": threshold}]}


def a_world(policy: dict[str, Any]) -> World:
    world = World()
    world.change("policy", "usual", **policy)
    return world


def template(kind: str, vector: list[float], **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "template": vector, "model": "arc", **fields}


def score(kind: str, value: float, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "score": value, **fields}


@pytest.mark.branch("A1.03", "A1.13", "A1.21", "A2.02", "A3.02")
def test_a_known_card_is_its_cardholders_and_the_permission_is_verified_next() -> None:
    decision = World().ask()
    assert (decision.method, decision.cardholder_id, decision.credential_id) == ("card", "ann", "card-100")
    assert outcomes_of(decision)["permission"] == "passed"


@pytest.mark.branch("A1.12", "A1.22", "A2.01")
def test_a_card_that_is_not_on_file_is_unknown() -> None:
    decision = World().ask(card("999"))
    assert (decision.reason, decision.method) == (Reason.UNKNOWN_CREDENTIAL, "card")
    assert decision.factors[0].result is FactorResult.FAILED


def test_a_card_is_not_known_when_nobody_can_say_whether_it_exists() -> None:
    world = World()
    world.database = None
    assert world.ask(card("999")).reason is Reason.AUTHENTICATION_UNAVAILABLE


@pytest.mark.branch("A1.14")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "lost"}, "credential_lost"),
        ({"status": "stolen"}, "credential_stolen"),
        ({"status": "disabled"}, "credential_disabled"),
        ({"status": "destroyed"}, "credential_disabled"),
        ({"valid_until": PAST}, "credential_expired"),
        ({"valid_from": FUTURE}, "credential_not_yet_active"),
        ({"cardholder_id": None}, "credential_unassigned"),
        ({"cardholder_id": "nobody on file"}, "credential_unassigned"),
    ],
)
def test_a_card_that_does_not_hold_is_refused_by_exactly_its_reason(changes: dict[str, Any], reason: str) -> None:
    world = World()
    world.change("credential", "card-100", **changes)
    decision = world.ask()
    assert (decision.reason, decision.type) == (reason, "access_denied")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"status": "inactive"}, "credential_disabled"), ({"valid_until": PAST}, "credential_expired")],
)
def test_a_cardholder_who_is_gone_has_no_card(changes: dict[str, Any], reason: str) -> None:
    world = World()
    world.change("cardholder", "ann", **changes)
    assert world.ask().reason == reason


def test_two_cards_of_one_number_are_told_apart_by_their_facility_or_not_at_all() -> None:
    world = World()
    world.change("credential", "card-100", facility_code="12")
    twin = Credential(
        credential_id="twin", kind=FactorKind.CARD, cardholder_id="ann", card_number="100", facility_code="13"
    )
    world.references.put(twin)
    assert world.ask({**card(), "facility_code": "13"}).credential_id == "twin"
    assert world.ask({**card(), "facility_code": "14"}).reason is Reason.UNKNOWN_CREDENTIAL
    assert world.ask(card()).reason is Reason.UNKNOWN_CREDENTIAL


@pytest.mark.branch("A1.15")
@pytest.mark.parametrize(
    ("digits", "rule"),
    [("1234", "sequence"), ("9876", "sequence"), ("1111", "repeat"), ("4747", "repeat"), ("471", "4 to 12 digits")],
)
def test_a_weak_pin_is_refused_with_the_rule_that_it_breaks(digits: str, rule: str) -> None:
    assert rule in (weakness(digits) or "")


def test_a_good_pin_is_not_weak() -> None:
    assert weakness("4711") is None


@pytest.mark.branch("A1.04", "A1.16")
def test_the_right_pin_of_a_claimed_cardholder_is_enough_where_the_policy_says_so() -> None:
    world = a_world(single("pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    decision = world.ask(pin("4711", cardholder_id="ann"))
    assert (decision.type, decision.method, decision.credential_id) == ("access_granted", "pin", "pin-ann")


@pytest.mark.branch("A1.17")
def test_a_wrong_pin_is_an_incorrect_factor() -> None:
    world = a_world(single("pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    assert world.ask(pin("4712", cardholder_id="ann")).reason is Reason.INCORRECT_AUTHENTICATION_FACTOR


def test_a_pin_without_anybody_whose_it_is_proves_nothing() -> None:
    world = a_world(single("pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    assert world.ask(pin("4711")).reason is Reason.UNKNOWN_CREDENTIAL
    assert world.ask(pin("4711", cardholder_id="nobody")).reason is Reason.UNKNOWN_CREDENTIAL


def test_a_claimed_credential_counts_only_with_its_own_secret_and_validity() -> None:
    world = a_world(single("pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    world.person("bob", "200")
    world.enrol("bob", FactorKind.PIN, pin="9021")
    world.change("credential", "pin-bob", valid_until=PAST)
    assert world.ask(pin("4711", credential_id="pin-ann")).type == "access_granted"
    assert world.ask(pin("9021", credential_id="pin-bob")).reason is Reason.CREDENTIAL_EXPIRED
    theirs = world.ask(pin("9021", cardholder_id="ann", credential_id="pin-bob"))
    assert theirs.reason is Reason.INCORRECT_AUTHENTICATION_FACTOR


def test_a_plain_pin_is_not_listened_to_unless_the_site_says_so() -> None:
    world = a_world(single("pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    plain = {"kind": "pin", "pin": "4711", "cardholder_id": "ann"}
    assert world.ask(plain).reason is Reason.AUTHENTICATION_UNAVAILABLE
    world.change("site", "hq", plain_secrets=True)
    assert world.ask(plain).type == "access_granted"


def test_a_duress_pin_opens_like_any_other_and_tells_monitoring_alone() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711", duress_pin="9021")
    usual, forced = world.ask(card(), pin("4711")), world.ask(card(), pin("9021"))
    own = {"decision_id", "request_id", "sequence", "journal"}
    assert usual.model_dump(exclude=own) == forced.model_dump(exclude=own)
    assert [output.topic for output in world.sent].count("duress.events") == 1
    assert [one.topic for one in world.sent[-2:]] == ["duress.events", "duress.threats"], (
        "nothing that others see waits for it"
    )


def test_duress_is_told_also_where_the_door_stays_shut() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711", duress_pin="9021")
    world.change("permission", "of-ann", status="revoked")
    assert isinstance(world.ask(card(), pin("9021")), AccessDenied)
    assert [output.topic for output in world.sent].count("duress.events") == 1


@pytest.mark.branch("A1.01", "A1.06", "A1.07")
def test_a_face_template_is_matched_among_those_permitted_here() -> None:
    world = a_world(single("face"))
    world.change("site", "hq", plain_secrets=True)
    world.enrol("ann", FactorKind.FACE, **ANN_FACE)
    decision = world.ask(template("face", ALIKE))
    assert (decision.type, decision.method, decision.cardholder_id) == ("access_granted", "face", "ann")
    assert decision.factors[0].score == pytest.approx(0.993884)
    world.change("permission", "of-ann", zone_ids=("lab",))
    assert world.ask(template("face", ALIKE)).cardholder_id is None


@pytest.mark.branch("A1.08")
def test_a_face_below_its_threshold_is_denied_and_names_nobody() -> None:
    world = a_world(single("face"))
    world.change("site", "hq", plain_secrets=True)
    world.enrol("ann", FactorKind.FACE, **ANN_FACE)
    decision = world.ask(template("face", HALF_ALIKE))
    assert (decision.reason, decision.cardholder_id) == (Reason.VERIFICATION_FAILED, None)
    assert (decision.factors[0].kind, decision.factors[0].result) == (FactorKind.FACE, FactorResult.FAILED)


@pytest.mark.branch("A1.02", "A1.09", "A1.10")
def test_a_fingerprint_template_is_matched_with_the_cardholders_own() -> None:
    world = a_world(single("fingerprint"))
    world.change("site", "hq", plain_secrets=True)
    world.enrol("ann", FactorKind.FINGERPRINT, templates=[[0.0, 1.0]], model="arc")
    decision = world.ask(template("fingerprint", [0.1, 0.9], cardholder_id="ann"))
    assert (decision.type, decision.method) == ("access_granted", "fingerprint")
    assert decision.factors[0].score == pytest.approx(0.993884)


@pytest.mark.branch("A1.11")
def test_a_fingerprint_below_the_devices_own_threshold_is_denied() -> None:
    world = a_world(single("fingerprint"))
    assert world.ask(score("fingerprint", 0.8, cardholder_id="ann")).type == "access_granted"
    world.change("device", "c1", thresholds={"fingerprint": 0.9})
    decision = world.ask(score("fingerprint", 0.8, cardholder_id="ann"))
    assert (decision.reason, decision.factors[0].result) == (Reason.VERIFICATION_FAILED, FactorResult.FAILED)
    assert decision.factors[0].threshold == 0.9


@pytest.mark.parametrize(("value", "outcome"), [(0.75, "access_granted"), (0.749999, "access_denied")])
def test_a_score_at_the_threshold_is_enough(value: float, outcome: str) -> None:
    assert a_world(single("face")).ask(score("face", value, cardholder_id="ann")).type == outcome


def test_a_score_that_says_of_nobody_whose_it_is_proves_nothing() -> None:
    assert a_world(single("face")).ask(score("face", 0.99)).reason is Reason.UNKNOWN_CREDENTIAL


@pytest.mark.parametrize("policy", [all_of("card", "face"), fusion(0.5, card=0.5, face=0.5)])
def test_somebody_elses_face_beside_a_card_proves_nothing(policy: dict[str, Any]) -> None:
    world = a_world(policy)
    world.person("bob", "200")
    assert world.ask(card(), score("face", 0.99, cardholder_id="ann")).type == "access_granted"
    decision = world.ask(card(), score("face", 0.99, cardholder_id="bob"))
    assert decision.reason is Reason.VERIFICATION_FAILED
    assert world.ask(card(), score("face", 0.99, cardholder_id="nobody")).reason is Reason.UNKNOWN_CREDENTIAL


def test_a_face_and_a_finger_of_two_people_are_nobody() -> None:
    world = a_world(fusion(0.75, face=0.6, fingerprint=0.4))
    world.person("bob", "200")
    decision = world.ask(score("face", 0.99, cardholder_id="ann"), score("fingerprint", 0.99, cardholder_id="bob"))
    assert decision.reason is Reason.VERIFICATION_FAILED


@pytest.mark.branch("A1.05", "A1.18", "A1.19")
def test_scores_are_fused_by_their_weights_and_every_factor_is_named() -> None:
    world = a_world(fusion(0.75, face=0.6, fingerprint=0.4))
    decision = world.ask(score("face", 0.9, cardholder_id="ann"), score("fingerprint", 0.6, cardholder_id="ann"))
    assert (decision.type, decision.fused_score, decision.method) == ("access_granted", 0.78, "face+fingerprint")
    assert [(one.kind, one.score) for one in decision.factors] == [("face", 0.9), ("fingerprint", 0.6)]


@pytest.mark.branch("A1.20")
def test_a_fused_score_below_the_threshold_is_denied() -> None:
    world = a_world(fusion(0.75, face=0.6, fingerprint=0.4))
    decision = world.ask(score("face", 0.8, cardholder_id="ann"), score("fingerprint", 0.6, cardholder_id="ann"))
    assert (decision.reason, decision.fused_score) == (Reason.VERIFICATION_FAILED, 0.72)


def test_a_bad_card_fails_whatever_the_scores() -> None:
    world = a_world(fusion(0.5, face=0.5, card=0.5))
    world.change("credential", "card-100", status="stolen")
    assert world.ask(card(), score("face", 1.0)).reason is Reason.CREDENTIAL_STOLEN


@pytest.mark.branch("A1.19")
def test_all_required_factors_together_are_enough() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    decision = world.ask(pin("4711"), card())
    assert (decision.type, decision.method, decision.credential_id) == ("access_granted", "card+pin", "card-100")


@pytest.mark.branch("A1.20")
def test_a_required_factor_that_fails_or_is_absent_denies() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    assert world.ask(card(), pin("0000")).reason is Reason.INCORRECT_AUTHENTICATION_FACTOR
    absent = world.ask(card())
    assert absent.reason is Reason.AUTHENTICATION_FACTOR_TIMEOUT
    assert [factor.result for factor in absent.factors] == [FactorResult.PASSED, FactorResult.ABSENT]


def test_of_several_methods_the_one_with_the_most_presented_factors_is_run() -> None:
    both = {"methods": single("card")["methods"] + all_of("card", "pin")["methods"]}
    world = a_world(both)
    world.enrol("ann", FactorKind.PIN, pin="4711")
    assert world.ask(card()).method == "card"
    assert world.ask(card(), pin("4711")).method == "card+pin"


def test_a_factor_that_no_method_asks_for_is_no_method() -> None:
    decision = World().ask(score("face", 0.9, cardholder_id="ann"))
    assert (decision.reason, decision.method) == (Reason.AUTHENTICATION_FACTOR_TIMEOUT, None)


def test_an_access_points_own_policy_replaces_the_sites() -> None:
    world = World()
    world.references.put(Policy.model_validate({"policy_id": "strict", **all_of("card", "pin")}))
    world.change("access-point", "front-in", policy_id="strict")
    assert world.ask().reason is Reason.AUTHENTICATION_FACTOR_TIMEOUT
    world.remove("policy", "strict")
    assert world.ask().reason is Reason.OUT_OF_SERVICE


def test_a_template_whose_credential_was_removed_meanwhile_proves_nothing() -> None:
    world = a_world(single("face"))
    world.change("site", "hq", plain_secrets=True)
    world.enrol("ann", FactorKind.FACE, **ANN_FACE)
    verify = world.verifier.verify

    def slow(verification: Any) -> Any:
        answer = verify(verification)
        world.remove("credential", "face-ann")
        return answer

    world.verifier.verify = slow  # type: ignore[method-assign]
    assert world.ask(template("face", ALIKE)).reason is Reason.UNKNOWN_CREDENTIAL


def test_a_lock_tells_a_guesser_nothing_of_the_pin() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    world.outcome(Kept(lockout_key("hq", "credential", "card-100"), Lockout(None)))
    right, wrong = world.ask(card(), pin("4711")), world.ask(card(), pin("0000"))
    own = {"decision_id", "request_id", "sequence", "journal"}
    assert right.model_dump(exclude=own) == wrong.model_dump(exclude=own)
    assert (right.reason, right.failed_checks) == (Reason.CREDENTIAL_LOCKOUT, (Reason.CREDENTIAL_LOCKOUT,))
    assert outcomes_of(right)["credential"] == "skipped"


def test_a_lock_that_began_while_a_pin_was_verified_hides_the_answer_too() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    verify = world.verifier.verify

    def slow(verification: Any) -> Any:
        world.outcome(Kept(lockout_key("hq", "cardholder", "ann"), Lockout(None)))
        return verify(verification)

    world.verifier.verify = slow  # type: ignore[method-assign]
    assert world.ask(card(), pin("0000")).failed_checks == (Reason.CREDENTIAL_LOCKOUT,)


def test_a_reader_out_of_service_verifies_no_secret() -> None:
    world = a_world(all_of("card", "pin"))
    world.enrol("ann", FactorKind.PIN, pin="4711")
    world.change("access-point", "front-in", enabled=False)
    assert world.ask(card(), pin("0000")).failed_checks == (Reason.OUT_OF_SERVICE,)
