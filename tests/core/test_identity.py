"""Who is it, and do the presented factors prove it (A1)? Driven by messages, with real hashes, templates and seals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from schemas.people import Cardholder, Credential
from tests.core.gate import (
    ANN_FACE,
    ANN_FINGER,
    BOB_FACE,
    CARD,
    CARD_AND_PIN,
    FACE_AND_FINGER,
    SINGLES,
    Gate,
    Rows,
    card,
    checks,
    face,
    finger,
    pin,
)

MakeGate = Callable[..., Gate]
Status = Literal["active", "disabled", "lost", "stolen", "destroyed"]


@pytest.fixture
def make() -> Iterator[MakeGate]:
    gates: list[Gate] = []

    def build(*changes: Any, **options: Any) -> Gate:
        gates.append(Gate(*changes, **options))
        return gates[-1]

    yield build
    for gate in gates:
        gate.close()


def factor(decision: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [one for one in decision["factors"] if one["kind"] == kind]
    return dict(found)


@pytest.mark.branch("A1.01", "A1.06", "A1.07")
def test_a_face_like_the_enrolled_one_is_matched_and_its_score_told(make: MakeGate) -> None:
    decision = make().ask(face((0.95, 0.05, 0.0, 0.0)))
    assert (decision["type"], decision["method"], decision["cardholder_id"]) == ("access_granted", "face", "ann")
    assert factor(decision, "face")["result"] == "passed"
    assert factor(decision, "face")["score"] == pytest.approx(0.95 / (0.95**2 + 0.05**2) ** 0.5, abs=1e-4)


@pytest.mark.branch("A1.08", "A1.22")
def test_a_face_below_the_threshold_is_denied_and_recorded_with_its_method_and_reason(make: MakeGate) -> None:
    decision = make().ask(face((0.7, 0.0, 0.7, 0.1)))
    assert (decision["type"], decision["method"], decision["reason"]) == (
        "access_denied",
        "face",
        "verification_failed",
    )
    assert factor(decision, "face")["result"] == "failed"
    assert factor(decision, "face")["score"] < factor(decision, "face")["threshold"] == 0.8


def test_the_face_of_another_one_than_the_card_says_is_denied(make: MakeGate) -> None:
    decision = make().ask(face(BOB_FACE, of="ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "verification_failed")


@pytest.mark.branch("A1.02", "A1.09", "A1.10")
def test_a_fingerprint_like_the_enrolled_one_is_matched_and_its_score_told(make: MakeGate) -> None:
    decision = make().ask(finger(ANN_FINGER, of="ann"))
    assert (decision["type"], decision["method"]) == ("access_granted", "fingerprint")
    assert (factor(decision, "fingerprint")["result"], factor(decision, "fingerprint")["score"]) == ("passed", 1.0)


@pytest.mark.branch("A1.11")
def test_a_fingerprint_below_the_threshold_is_denied(make: MakeGate) -> None:
    decision = make().ask(finger((0.5, 0.5, 0.5, 0.5), of="ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "verification_failed")
    assert factor(decision, "fingerprint")["result"] == "failed"


@pytest.mark.branch("A1.03", "A1.13", "A1.21")
def test_a_good_card_proves_its_cardholder_and_permission_is_verified_next(make: MakeGate) -> None:
    decision = make().ask(card("ann"))
    assert (decision["type"], decision["method"], decision["cardholder_id"]) == ("access_granted", "card", "ann")
    assert factor(decision, "card")["result"] == "passed"
    assert {"credential", "permission", "validity", "schedule", "device-permission"} <= checks(decision).keys()


@pytest.mark.branch("A1.12", "A1.22")
def test_a_card_that_is_not_on_file_is_an_unknown_credential(make: MakeGate) -> None:
    decision = make(lookups=Rows({})).ask(card("nobody"))
    assert (decision["type"], decision["reason"], decision["method"]) == ("access_denied", "unknown_credential", "card")


@pytest.mark.branch("A1.14")
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("lost", "credential_lost"),
        ("stolen", "credential_stolen"),
        ("disabled", "credential_disabled"),
        ("destroyed", "credential_disabled"),
    ],
)
def test_a_card_that_was_reported_is_denied_with_that_reason(make: MakeGate, status: Status, reason: str) -> None:
    gone = Credential(credential_id="ann-card", kind=CARD, cardholder_id="ann", card_number="ann", status=status)
    decision = make(gone).ask(card("ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", reason)


@pytest.mark.branch("A1.14")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cardholder_id": None}, "credential_unassigned"),
        ({"valid_from": datetime(2099, 1, 1, tzinfo=UTC)}, "credential_not_yet_active"),
        ({"valid_until": datetime(2001, 1, 1, tzinfo=UTC)}, "credential_expired"),
    ],
)
def test_a_card_of_nobody_too_early_or_too_late_is_denied(make: MakeGate, changes: Any, reason: str) -> None:
    plain = Credential(credential_id="ann-card", kind=CARD, cardholder_id="ann", card_number="ann")
    decision = make(plain.model_copy(update=changes)).ask(card("ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", reason)


def test_an_inactive_cardholders_card_is_disabled(make: MakeGate) -> None:
    decision = make(Cardholder(cardholder_id="ann", name="Ann", status="inactive")).ask(card("ann"))
    assert decision["reason"] == "credential_disabled"


@pytest.mark.branch("A1.04", "A1.16")
def test_the_right_pin_authenticates(make: MakeGate) -> None:
    decision = make().ask(pin("4711"))
    assert (decision["type"], decision["method"], decision["cardholder_id"]) == ("access_granted", "pin", "ann")


@pytest.mark.branch("A1.17", "A1.22")
def test_a_wrong_pin_is_denied(make: MakeGate) -> None:
    decision = make().ask(pin("4712"))
    assert (decision["reason"], decision["method"]) == ("incorrect_authentication_factor", "pin")
    assert factor(decision, "pin")["result"] == "failed"


def test_a_duress_pin_opens_like_any_other_and_only_monitoring_learns_of_it(make: MakeGate) -> None:
    gate = make()
    decision, ordinary = gate.ask(pin("9922")), gate.ask(pin("4711"))
    own = {"decision_id", "request_id", "sequence", "occurred_at", "decided_at", "journal", "age_ms"}
    assert {k: v for k, v in decision.items() if k not in own} == {k: v for k, v in ordinary.items() if k not in own}
    (told,) = gate.harness.values("duress.events")
    assert told is not None
    assert decision["decision_id"].encode() in told


@pytest.mark.branch("A1.05", "A1.19")
def test_all_required_factors_together_authenticate_and_are_named(make: MakeGate) -> None:
    decision = make(methods=(*SINGLES, CARD_AND_PIN)).ask(card("ann"), pin("4711", of=None))
    assert (decision["type"], decision["method"]) == ("access_granted", "card+pin")
    assert {one["kind"]: one["result"] for one in decision["factors"]} == {"card": "passed", "pin": "passed"}


@pytest.mark.branch("A1.20")
def test_a_required_factor_that_failed_or_is_absent_is_denied(make: MakeGate) -> None:
    gate = make(methods=(CARD_AND_PIN,))
    wrong = gate.ask(card("ann"), pin("4712", of=None))
    assert (wrong["type"], wrong["reason"]) == ("access_denied", "incorrect_authentication_factor")
    absent = gate.ask(card("ann"))
    assert (absent["type"], absent["reason"]) == ("access_denied", "authentication_factor_timeout")
    assert factor(absent, "pin")["result"] == "absent"


@pytest.mark.branch("A1.05", "A1.18", "A1.19")
def test_scores_are_fused_by_the_configured_weights(make: MakeGate) -> None:
    gate = make(methods=(FACE_AND_FINGER,))
    decision = gate.ask(face(ANN_FACE, of="ann"), finger((0.0, 0.0, 0.5, 0.866025), of="ann"))
    assert (decision["type"], decision["method"]) == ("access_granted", "face+fingerprint")
    assert decision["fused_score"] == pytest.approx(0.6 * 1.0 + 0.4 * 0.5, abs=1e-3)


@pytest.mark.branch("A1.18", "A1.20")
def test_a_fused_score_below_the_threshold_is_denied(make: MakeGate) -> None:
    gate = make(methods=(FACE_AND_FINGER,))
    decision = gate.ask(face(ANN_FACE, of="ann"), finger((0.0, 0.0, 0.3, 0.953939), of="ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "verification_failed")
    assert decision["fused_score"] == pytest.approx(0.72, abs=1e-3)


def test_no_secret_leaves_with_any_output(make: MakeGate) -> None:
    gate = make(methods=(*SINGLES, CARD_AND_PIN))
    gate.ask(card("ann"), pin("4711", of=None))
    gate.ask(pin("8305"))
    gate.ask(face((0.123456789, 0.9, 0.1, 0.1)))
    for topic in (
        "access.decisions",
        "device.commands",
        "duress.events",
        "access.requests.dead",
        "doorstream.site.journal",
    ):
        for record in gate.harness.outputs(topic, marked=False):
            text = (record.value or b"") + repr(record.headers).encode()
            assert not any(secret in text for secret in (b'"4711"', b"8305", b"0.123456789", b"argon2"))
