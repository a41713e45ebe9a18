"""Multi-modal authentication (A1), driven by messages alone."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.people import Cardholder
from schemas.rules import AllRequired, Fusion, Method, SingleMethod
from schemas.vocabulary import FactorKind
from tests.core.given import (
    ADA,
    BOB,
    DEVICE,
    SITE,
    Database,
    House,
    Json,
    card,
    card_of,
    checks,
    permission_of,
    pin_of,
    policy,
    sealed_box,
    template_of,
)

CARD, PIN, FACE, FINGERPRINT = FactorKind.CARD, FactorKind.PIN, FactorKind.FACE, FactorKind.FINGERPRINT
ANY = policy(*(SingleMethod(factor=kind) for kind in FactorKind))
BOTH = policy(AllRequired(factors=(CARD, PIN)))
FUSED = policy(Fusion(weights={FACE: 0.6, FINGERPRINT: 0.4}, threshold=0.8))
ENROLLED = (
    *ADA,
    *pin_of("ada", "2580", "8520"),
    *template_of("ada", FACE, (1.0, 0.0)),
    *template_of("ada", FINGERPRINT, (1.0, 0.0)),
)
CLOSE = {"template": [0.8, 0.6], "model": "m1"}
"""A template whose cosine with the enrolled one is 0.8; the threshold is 0.75."""
FAR = {"template": [0.6, 0.8], "model": "m1"}
"""The same with 0.6."""


def pin(value: str, **more: Any) -> Json:
    return {"kind": "pin", "pin": value, **more}


def factor_of(decision: Json, kind: str) -> Json:
    (found,) = [factor for factor in decision["factors"] if factor["kind"] == kind]
    return dict(found)


@pytest.mark.branch("A1.01", "A1.02", "A1.03", "A1.04")
@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        ("face", {"kind": "face", **CLOSE}),
        ("fingerprint", {"kind": "fingerprint", **CLOSE}),
        ("card", card("ada")),
        ("pin", pin("2580", cardholder_id="ada")),
    ],
)
def test_the_presented_factor_chooses_the_method_and_the_decision_names_it(kind: str, factor: Json) -> None:
    with House(ANY, *ENROLLED) as house:
        decision = house.ask(factor)
    assert (decision["type"], decision["method"]) == ("access_granted", kind)
    assert [(f["kind"], f["result"]) for f in decision["factors"]] == [(kind, "passed")]


@pytest.mark.branch("A1.05")
def test_several_factors_under_a_multi_modal_policy_are_all_named_with_the_policy() -> None:
    with House(BOTH, *ENROLLED) as house:
        decision = house.ask(card("ada"), pin("2580"))
    assert (decision["type"], decision["method"]) == ("access_granted", "card+pin")
    assert decision["policy_version"].startswith("normal@")
    assert [(f["kind"], f["result"]) for f in decision["factors"]] == [("card", "passed"), ("pin", "passed")]


@pytest.mark.branch("A1.06", "A1.07", "A1.09", "A1.10")
@pytest.mark.parametrize("kind", ["face", "fingerprint"])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_template_near_the_enrolled_one_succeeds_with_its_score(kind: str, sealed: bool) -> None:
    shown = {"sealed": sealed_box(CLOSE)} if sealed else CLOSE
    with House(ANY, *ENROLLED, *BOB, *template_of("bob", FactorKind(kind), (0.0, -1.0))) as house:
        decision = house.ask({"kind": kind, **shown})
    assert (decision["type"], decision["cardholder_id"]) == ("access_granted", "ada")
    assert factor_of(decision, kind) == {"kind": kind, "result": "passed", "score": 0.8, "threshold": 0.75}


@pytest.mark.branch("A1.07", "A1.10")
@pytest.mark.parametrize("kind", ["face", "fingerprint"])
@pytest.mark.parametrize(("score", "type_"), [(0.75, "access_granted"), (0.7499, "access_denied")])
def test_a_controllers_score_at_the_threshold_succeeds_and_one_below_fails(kind: str, score: float, type_: str) -> None:
    with House(ANY, *ENROLLED) as house:
        decision = house.ask({"kind": kind, "score": score, "cardholder_id": "ada"})
    assert (decision["type"], factor_of(decision, kind)["score"]) == (type_, score)


@pytest.mark.branch("A1.08", "A1.11", "A1.22")
@pytest.mark.parametrize("kind", ["face", "fingerprint"])
def test_a_template_below_the_threshold_is_denied_with_its_factor_failed(kind: str) -> None:
    with House(ANY, *ENROLLED) as house:
        decision = house.ask({"kind": kind, **FAR})
    assert (decision["type"], decision["reason"]) == ("access_denied", "verification_failed")
    assert factor_of(decision, kind) == {"kind": kind, "result": "failed", "score": 0.6, "threshold": 0.75}
    assert (decision["method"], decision["display"]) == (kind, "try_again")


@pytest.mark.branch("A1.08")
def test_a_controllers_own_threshold_counts_instead_of_the_policys() -> None:
    strict = DEVICE.model_copy(update={"thresholds": DEVICE.thresholds.model_copy(update={"face": 0.9})})
    with House(ANY, *ENROLLED, strict) as house:
        decision = house.ask({"kind": "face", **CLOSE})
    assert decision["reason"] == "verification_failed"
    assert factor_of(decision, "face")["threshold"] == 0.9


@pytest.mark.branch("A1.12", "A1.22")
def test_a_card_that_is_not_on_file_is_unknown() -> None:
    database = Database()
    with House(*ADA, lookups=database) as house:
        decision = house.ask(card("stranger"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "unknown_credential")
    assert decision["cardholder_id"] is None
    assert [(asked.entity, asked.value) for asked in database.asked] == [("credential", "stranger-no")]


def test_a_card_that_nobody_can_look_up_is_not_called_unknown_and_denied_all_the_same() -> None:
    with House(*ADA, lookups=Database(up=False)) as house:
        decision = house.ask(card("stranger"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "authentication_unavailable")
    assert factor_of(decision, "card")["result"] == "unavailable"


@pytest.mark.branch("A1.13")
def test_a_valid_card_of_an_active_cardholder_succeeds() -> None:
    with House(*ADA) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["cardholder_id"], decision["credential_id"]) == (
        "access_granted",
        "ada",
        "ada-card",
    )
    assert checks(decision)["credential"] == "passed"


@pytest.mark.branch("A1.14", "A1.22")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "lost"}, "credential_lost"),
        ({"status": "stolen"}, "credential_stolen"),
        ({"status": "disabled"}, "credential_disabled"),
        ({"status": "destroyed"}, "credential_disabled"),
        ({"valid_until": "2026-03-02T09:00:00+08:00"}, "credential_expired"),
        ({"valid_from": "2026-03-02T09:00:00.001+08:00"}, "credential_not_yet_active"),
        ({"cardholder_id": None}, "credential_unassigned"),
    ],
)
def test_a_card_that_does_not_hold_is_denied_with_exactly_that_reason(change: Json, reason: str) -> None:
    with House(*ADA, card_of("ada", **change)) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"], decision["method"]) == ("access_denied", reason, "card")
    assert decision["credential_id"] == "ada-card"


@pytest.mark.branch("A1.14")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "inactive"}, "credential_disabled"),
        ({"valid_until": "2026-03-02T09:00:00+08:00"}, "credential_expired"),
        ({"valid_from": "2026-03-03T00:00:00+08:00"}, "credential_not_yet_active"),
    ],
)
def test_a_card_holds_no_longer_than_its_cardholder(change: Json, reason: str) -> None:
    with House(*ADA, Cardholder(cardholder_id="ada", name="ada", **change)) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", reason)


@pytest.mark.branch("A1.16")
@pytest.mark.parametrize("sealed", [False, True])
def test_the_right_pin_succeeds(sealed: bool) -> None:
    shown = {"kind": "pin", "sealed": sealed_box({"pin": "2580"})} if sealed else pin("2580")
    with House(ANY, *ENROLLED) as house:
        decision = house.ask({**shown, "cardholder_id": "ada"})
    assert (decision["type"], decision["cardholder_id"]) == ("access_granted", "ada")
    assert factor_of(decision, "pin")["result"] == "passed"


@pytest.mark.branch("A1.17", "A1.22")
def test_a_wrong_pin_is_an_incorrect_factor() -> None:
    with House(ANY, *ENROLLED) as house:
        decision = house.ask(pin("2581", cardholder_id="ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "incorrect_authentication_factor")
    assert (decision["method"], decision["cardholder_id"]) == ("pin", "ada")


@pytest.mark.branch("A1.17")
def test_a_plain_pin_counts_for_nothing_where_secrets_have_to_be_sealed() -> None:
    with House(ANY, *ENROLLED, SITE.model_copy(update={"plain_secrets": False})) as house:
        decision = house.ask(pin("2580", cardholder_id="ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "authentication_unavailable")


@pytest.mark.branch("A1.16")
def test_a_duress_pin_opens_like_any_other_and_tells_monitoring_alone() -> None:
    with House(ANY, *ENROLLED) as house:
        plain = house.ask(pin("2580", cardholder_id="ada"))
        forced = house.ask(pin("8520", cardholder_id="ada"))
        told = house.harness.outputs("duress.events")
    differing = {name for name in plain if plain[name] != forced[name]}
    assert forced["type"] == "access_granted"
    assert differing <= {"decision_id", "request_id", "sequence", "journal"}
    assert len(told) == 1
    assert forced["decision_id"].encode() in (told[0].value or b"")


@pytest.mark.parametrize(
    ("others", "changed", "reason"),
    [
        ((card("ada"),), card_of("ada", status="lost"), "credential_lost"),
        (({"kind": "face", **FAR, "cardholder_id": "ada"},), None, "verification_failed"),
        ((card("ada"),), Cardholder(cardholder_id="ada", name="Ada", status="inactive"), "credential_disabled"),
        ((), None, "authentication_factor_timeout"),
    ],
)
def test_a_duress_pin_is_heard_where_another_factor_fails_and_the_denial_looks_like_any_other(
    others: tuple[Json, ...], changed: Any, reason: str
) -> None:
    kinds = (PIN, FACE) if others and others[0]["kind"] == "face" else (CARD, PIN)
    more = () if changed is None else (changed,)
    with House(policy(AllRequired(factors=kinds)), *ENROLLED, *more) as house:
        plain = house.ask(*others, pin("2580", cardholder_id="ada"))
        forced = house.ask(*others, pin("8520", cardholder_id="ada"))
        told = house.harness.outputs("duress.events")
    assert (plain["type"], forced["reason"]) == ("access_denied", reason)
    assert {name for name in plain if plain[name] != forced[name]} <= {
        "decision_id", "request_id", "sequence", "journal"
    }  # fmt: skip
    assert [forced["decision_id"].encode() in (one.value or b"") for one in told] == [True]


@pytest.mark.branch("A1.18", "A1.19")
def test_scores_are_fused_by_their_weights_and_one_at_the_threshold_succeeds() -> None:
    with House(FUSED, *ENROLLED) as house:
        decision = house.ask(
            {"kind": "face", "score": 0.9, "cardholder_id": "ada"},
            {"kind": "fingerprint", "score": 0.65, "cardholder_id": "ada"},
        )
    assert decision["fused_score"] == pytest.approx(0.6 * 0.9 + 0.4 * 0.65)
    assert (decision["type"], decision["method"]) == ("access_granted", "face+fingerprint")
    assert factor_of(decision, "fingerprint")["result"] == "failed"


@pytest.mark.branch("A1.18", "A1.20")
def test_a_fused_score_below_the_threshold_is_denied() -> None:
    with House(FUSED, *ENROLLED) as house:
        decision = house.ask(
            {"kind": "face", "score": 0.8, "cardholder_id": "ada"},
            {"kind": "fingerprint", "score": 0.76, "cardholder_id": "ada"},
        )
    assert decision["fused_score"] == pytest.approx(0.6 * 0.8 + 0.4 * 0.76)
    assert (decision["type"], decision["reason"]) == ("access_denied", "verification_failed")


@pytest.mark.branch("A1.20", "A1.22")
@pytest.mark.parametrize(
    ("factors", "reason", "result"),
    [
        ((card("ada"), pin("0000")), "incorrect_authentication_factor", "failed"),
        ((card("ada"),), "authentication_factor_timeout", "absent"),
    ],
)
def test_a_required_factor_that_failed_or_is_absent_is_denied(
    factors: tuple[Json, ...], reason: str, result: str
) -> None:
    with House(BOTH, *ENROLLED) as house:
        decision = house.ask(*factors)
    assert (decision["type"], decision["reason"], decision["method"]) == ("access_denied", reason, "card+pin")
    assert (factor_of(decision, "card")["result"], factor_of(decision, "pin")["result"]) == ("passed", result)


@pytest.mark.branch("A1.20")
def test_factors_of_two_people_prove_nobody() -> None:
    method: Method = AllRequired(factors=(CARD, FACE))
    with House(policy(method), *ENROLLED, *BOB) as house:
        decision = house.ask(card("bob"), {"kind": "face", **CLOSE, "cardholder_id": "ada"})
    assert (decision["type"], decision["reason"]) == ("access_denied", "verification_failed")


@pytest.mark.branch("A1.21")
def test_after_authentication_the_permission_is_verified_and_its_checks_are_told() -> None:
    with House(*ADA, permission_of("ada", zone_ids=("elsewhere",))) as house:
        decision = house.ask(card("ada"))
    found = checks(decision)
    assert decision["type"] == "access_denied"
    assert (found["credential"], found["permission"], found["device-permission"]) == ("passed", "passed", "failed")
