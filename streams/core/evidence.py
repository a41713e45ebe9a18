"""What one presented factor proves: a card, a PIN or a biometric, and why it fails (A1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.access import AccessRecorded, AccessRequested, PresentedFactor
from schemas.factors import Card, Face, Fingerprint, Pin
from schemas.people import Cardholder, Credential
from schemas.places import Device
from schemas.rules import Policy
from schemas.vocabulary import FactorKind, FactorResult, Reason
from streams.core import reference, times
from streams.core.answers import answer_name, claimed_id
from streams.core.processor import Context

Request = AccessRequested | AccessRecorded
Biometric = Face | Fingerprint

_STATUS = {
    "lost": Reason.CREDENTIAL_LOST,
    "stolen": Reason.CREDENTIAL_STOLEN,
    "disabled": Reason.CREDENTIAL_DISABLED,
    "destroyed": Reason.CREDENTIAL_DISABLED,
}
_PASSED = FactorResult.PASSED
_CARD_PASSED = PresentedFactor(kind=FactorKind.CARD, result=_PASSED)


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What one factor proves: its result, whom it names, and why it failed."""

    factor: PresentedFactor
    failure: Reason | None = None
    cardholder: Cardholder | None = None
    credential: Credential | None = None
    duress: bool = False


def credential_failure(credential: Credential, holder: Cardholder | None, now_ms: int) -> Reason | None:
    """Why a credential does not hold, whatever else was presented; None where it does."""
    if credential.status != "active":
        return _STATUS[credential.status]
    if credential.cardholder_id is None or holder is None:
        return Reason.CREDENTIAL_UNASSIGNED
    if holder.status != "active":
        return Reason.CREDENTIAL_DISABLED
    if times.not_yet(credential.valid_from, now_ms) or times.not_yet(holder.valid_from, now_ms):
        return Reason.CREDENTIAL_NOT_YET_ACTIVE
    if times.over(credential.valid_until, now_ms) or times.over(holder.valid_until, now_ms):
        return Reason.CREDENTIAL_EXPIRED
    return None


def find_card(card: Card, context: Context) -> tuple[Credential | None, bool]:
    """The credential of a card, and whether its absence is certain."""
    found = reference.credential_by_card(context.references, card.card_number, card.facility_code)
    if found is not None:
        return found, True
    if context.references.find("credential", "card_number", card.card_number):
        return None, True
    rows = context.resolved.get(f"credential:{card.card_number}")
    if rows is None:
        return None, False
    try:
        return reference.the_card(
            [Credential.model_validate_json(_value(row)) for row in rows], card.facility_code
        ), True
    except ValueError:
        return None, True


def _value(row: Any) -> bytes | str:
    value: bytes | str = row["value"] if isinstance(row, Mapping) else row.value
    return value


class Setting(msgspec.Struct, frozen=True, gc=False):
    """What every factor of a request is judged in: `at_ms` is the time of validity."""

    request: Request
    policy: Policy
    device: Device
    context: Context
    at_ms: int
    heard: bool

    def answer(self, index: int) -> Any:
        """What was found out about the factor at that place; None where nobody knows."""
        return self.context.resolved.get(answer_name(index)) if self.heard else None


def evidence_of(setting: Setting, index: int, holder: Cardholder | None) -> Evidence:
    """What the factor at that place proves; `holder` is who the factors before it are of."""
    factor = setting.request.factors[index]
    if isinstance(factor, Card):
        return _card(factor, setting.context, setting.at_ms)
    named = claimed_id(factor, setting.context)
    if named is not None and (holder is None or holder.cardholder_id != named):
        of = reference.cardholder(setting.context.references, named)
        if holder is not None or of is None:
            # Somebody else's factor beside this card proves nothing of either.
            failure = Reason.UNKNOWN_CREDENTIAL if of is None else Reason.VERIFICATION_FAILED
            return Evidence(PresentedFactor(kind=FactorKind(factor.kind), result=FactorResult.FAILED), failure, of)
        holder = of
    if isinstance(factor, Pin):
        return _pin(setting, factor, index, holder)
    return _biometric(setting, factor, index, holder)


def _card(factor: Card, context: Context, at_ms: int) -> Evidence:
    """What a card proves; where that is the same at any time, it is worked out once."""
    references = context.references
    key = ("card", factor.card_number, factor.facility_code)
    lasting: Evidence | None = references.derived.get(key)
    if lasting is not None:
        return lasting
    found = _card_at(factor, context, at_ms)
    credential, holder = found.credential, found.cardholder
    if credential is None or holder is None or factor.facility_code not in {None, credential.facility_code}:
        return found
    bounds = {credential.valid_from, credential.valid_until, holder.valid_from, holder.valid_until}
    on_file = references.get("credential", credential.credential_id) is credential
    return reference.remember(references, key, found) if on_file and bounds == {None} else found


def _card_at(factor: Card, context: Context, at_ms: int) -> Evidence:
    credential, certain = find_card(factor, context)
    if credential is None:
        failure = Reason.UNKNOWN_CREDENTIAL if certain else Reason.AUTHENTICATION_UNAVAILABLE
        result = FactorResult.FAILED if certain else FactorResult.UNAVAILABLE
        return Evidence(PresentedFactor(kind=FactorKind.CARD, result=result), failure)
    holder = reference.cardholder(context.references, credential.cardholder_id) if credential.cardholder_id else None
    failure_ = credential_failure(credential, holder, at_ms)
    if failure_ is None:
        return Evidence(_CARD_PASSED, None, holder, credential)
    return Evidence(PresentedFactor(kind=FactorKind.CARD, result=FactorResult.FAILED), failure_, holder, credential)


def _pin(setting: Setting, pin: Pin, index: int, holder: Cardholder | None) -> Evidence:
    def failed(reason: Reason, result: FactorResult = FactorResult.FAILED) -> Evidence:
        # Who types a duress PIN needs help, whether or not it would still open a door.
        forced = credential is not None and setting.answer(index) == "duress"
        return Evidence(PresentedFactor(kind=FactorKind.PIN, result=result), reason, holder, credential, forced)

    credential: Credential | None = None
    if holder is None:
        return failed(Reason.UNKNOWN_CREDENTIAL)
    references = setting.context.references
    credential = reference.own_credential(references, holder.cardholder_id, FactorKind.PIN, pin.credential_id)
    if credential is None:
        return failed(Reason.INCORRECT_AUTHENTICATION_FACTOR)
    failure = credential_failure(credential, holder, setting.at_ms)
    if failure is not None:
        return failed(failure)
    answer = setting.answer(index)
    if answer == "mismatch":
        return failed(Reason.INCORRECT_AUTHENTICATION_FACTOR)
    if answer not in {"match", "duress"}:
        return failed(Reason.AUTHENTICATION_UNAVAILABLE, FactorResult.UNAVAILABLE)
    factor = PresentedFactor(kind=FactorKind.PIN, result=_PASSED)
    return Evidence(factor, None, holder, credential, duress=answer == "duress")


def _threshold(kind: str, policy: Policy, device: Device) -> float:
    own, common = getattr(device.thresholds, kind), getattr(policy.thresholds, kind)
    return float(common if own is None else own)


class _Match(msgspec.Struct, frozen=True, gc=False):
    """How like somebody's enrolled templates a biometric is; `failure` where it could not be compared or is not his."""

    score: float | None
    cardholder: Cardholder | None
    credential: Credential | None
    failure: Reason | None = None


def _biometric(setting: Setting, factor: Biometric, index: int, holder: Cardholder | None) -> Evidence:
    threshold = _threshold(factor.kind, setting.policy, setting.device)
    match = _measured(setting, factor, holder) if factor.score is not None else _matched(setting, index, holder)
    who, what, failure = match.cardholder, match.credential, match.failure
    if failure is None and (match.score or 0.0) < threshold:
        failure = Reason.VERIFICATION_FAILED
    if failure is None and what is not None:
        failure = credential_failure(what, who, setting.at_ms)
    elif failure is None and who is not None:
        failure = _holder_failure(who, setting.at_ms)
    unavailable = failure is Reason.AUTHENTICATION_UNAVAILABLE
    result = FactorResult.UNAVAILABLE if unavailable else _PASSED if failure is None else FactorResult.FAILED
    shown = PresentedFactor(kind=FactorKind(factor.kind), result=result, score=match.score, threshold=threshold)
    return Evidence(shown, failure, who, what)


def _measured(setting: Setting, factor: Biometric, holder: Cardholder | None) -> _Match:
    """The controller's own match: it must say whose, unless a card has. What it has enrolled need not be on file."""
    if holder is None:
        return _Match(factor.score, None, None, Reason.UNKNOWN_CREDENTIAL)
    references, kind = setting.context.references, FactorKind(factor.kind)
    own = reference.own_credential(references, holder.cardholder_id, kind, factor.credential_id)
    if not setting.heard:
        # What the controller's match says must not be told from the outside either.
        return _Match(None, holder, own, Reason.AUTHENTICATION_UNAVAILABLE)
    return _Match(factor.score, holder, own)


def _matched(setting: Setting, index: int, holder: Cardholder | None) -> _Match:
    """The best of those who were compared; nobody is named by a match below the threshold, unless known already."""
    factor, references = setting.request.factors[index], setting.context.references
    answer = setting.answer(index) if holder is not None else setting.context.resolved.get(answer_name(index))
    if not isinstance(answer, Mapping):
        return _Match(None, holder, None, Reason.AUTHENTICATION_UNAVAILABLE)
    score = answer.get("score")
    if score is None:
        return _Match(None, holder, None, Reason.VERIFICATION_FAILED)
    if holder is None and score < _threshold(factor.kind, setting.policy, setting.device):
        return _Match(score, None, None, Reason.VERIFICATION_FAILED)
    credential: Credential | None = references.get("credential", answer["credential_id"])
    owner = reference.cardholder(references, answer["cardholder_id"])
    if credential is None or owner is None or credential.cardholder_id != owner.cardholder_id:
        # Removed or given to somebody else since it was compared.
        return _Match(score, holder, None, Reason.UNKNOWN_CREDENTIAL)
    return _Match(score, owner, credential)


def _holder_failure(holder: Cardholder, at_ms: int) -> Reason | None:
    if holder.status != "active":
        return Reason.CREDENTIAL_DISABLED
    if times.not_yet(holder.valid_from, at_ms):
        return Reason.CREDENTIAL_NOT_YET_ACTIVE
    return Reason.CREDENTIAL_EXPIRED if times.over(holder.valid_until, at_ms) else None
