"""Multi-modal authentication (A1): who is it, and do the presented factors prove it?

Secrets are verified before, in the resolve stage; what arrives here is only the answer: for a PIN `match`, `duress`,
`mismatch` or `unavailable`; for a template `{"score", "cardholder_id", "credential_id"}` of the best match. No answer
means that nobody knows, and unknown means denied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from schemas.access import AccessRecorded, AccessRequested, PresentedFactor
from schemas.factors import Card, Face, Fingerprint, Pin
from schemas.people import Cardholder, Credential
from schemas.places import AccessPoint, Device
from schemas.rules import AllRequired, Fusion, Method, Policy, SingleMethod
from schemas.vocabulary import FactorKind, FactorResult, Reason
from streams.core import reference, times
from streams.core.processor import Context
from streams.core.verifying import answer_name

Request = AccessRequested | AccessRecorded
Biometric = Face | Fingerprint

_STATUS = {
    "lost": Reason.CREDENTIAL_LOST,
    "stolen": Reason.CREDENTIAL_STOLEN,
    "disabled": Reason.CREDENTIAL_DISABLED,
    "destroyed": Reason.CREDENTIAL_DISABLED,
}
_PASSED = FactorResult.PASSED
_KINDS = {kind.value: kind for kind in FactorKind}
_CARD = FactorKind.CARD
_CARD_PASSED = PresentedFactor(kind=FactorKind.CARD, result=_PASSED)


class Authentication(msgspec.Struct, frozen=True, gc=False):
    """The outcome. `failure` None means that it succeeded. `method` names what was run, such as `card+pin`.

    `cardholder` and `credential` are given where they are known, also after a failure. `duress` is true only after a
    success; nothing else tells it from any other.
    """

    method: str | None
    factors: tuple[PresentedFactor, ...]
    fused_score: float | None
    cardholder: Cardholder | None
    credential: Credential | None
    failure: Reason | None
    duress: bool = False
    detail: str = ""


class _Evidence(msgspec.Struct, frozen=True, gc=False):
    """What one factor proves: its result, whom it names, and why it failed."""

    factor: PresentedFactor
    failure: Reason | None = None
    cardholder: Cardholder | None = None
    credential: Credential | None = None
    duress: bool = False


def kinds_of(method: Method) -> tuple[FactorKind, ...]:
    """The factors that a method needs."""
    if isinstance(method, SingleMethod):
        return (method.factor,)
    return method.factors if isinstance(method, AllRequired) else tuple(method.weights)


def choose_method(policy: Policy, presented: set[FactorKind]) -> tuple[Method | None, bool]:
    """The method to run, and whether all its factors were presented (see `Policy`)."""
    complete = [method for method in policy.methods if presented.issuperset(kinds_of(method))]
    if complete:
        return max(complete, key=lambda method: len(kinds_of(method))), True
    for method in policy.methods:
        if not presented.isdisjoint(kinds_of(method)):
            return method, False
    return None, False


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


def find_card(card_number: str, context: Context) -> tuple[Credential | None, bool]:
    """The credential of a card number, and whether its absence is certain."""
    found = reference.credential_by_card(context.references, card_number)
    if found is not None:
        return found, True
    if context.references.find("credential", "card_number", card_number):
        return None, True
    rows = context.resolved.get(f"credential:{card_number}")
    if rows is None:
        return None, False
    if len(rows) != 1:
        return None, True
    try:
        return Credential.model_validate_json(_value(rows[0])), True
    except ValueError:
        return None, True


def _value(row: Any) -> bytes | str:
    value: bytes | str = row["value"] if isinstance(row, Mapping) else row.value
    return value


def authenticate(
    request: Request, policy: Policy, point: AccessPoint, device: Device, context: Context, *, now_ms: int | None = None
) -> Authentication:
    """Run the method of the policy that fits what was presented.

    `now_ms` is the time that validity is judged at; the context's unless given (a backlog's is its own time).
    """
    at_ms = context.now_ms if now_ms is None else now_ms
    presented = {_KINDS[factor.kind]: index for index, factor in enumerate(request.factors)}
    method, complete = choose_method(policy, set(presented))
    if method is None:
        return Authentication(None, (), None, None, None, Reason.AUTHENTICATION_FACTOR_TIMEOUT, detail="method=none")
    kinds = kinds_of(method)
    if complete and isinstance(method, SingleMethod):
        only = _evidence(request, presented[method.factor], policy, device, None, context, at_ms)
        return _conclude_single(method.factor, only)
    name = "+".join(kinds)
    evidence: dict[FactorKind, _Evidence] = {}
    holder: Cardholder | None = None
    for kind in sorted(kinds, key=lambda k: k is not _CARD):
        if kind in presented:
            index = presented[kind]
            found = _evidence(request, index, policy, device, holder, context, at_ms)
            evidence[kind] = found
            holder = holder or found.cardholder
    del point
    return _conclude(method, name, kinds, evidence, complete=complete)


def _evidence(
    request: Request,
    index: int,
    policy: Policy,
    device: Device,
    holder: Cardholder | None,
    context: Context,
    at_ms: int,
) -> _Evidence:
    factor = request.factors[index]
    if isinstance(factor, Card):
        return _card(factor, context, at_ms)
    holder = holder or claimed(factor, context)
    if isinstance(factor, Pin):
        return _pin(index, holder, context, at_ms)
    return _biometric(factor, index, _threshold(factor.kind, policy, device), holder, context, at_ms)


def _card(factor: Card, context: Context, at_ms: int) -> _Evidence:
    credential, certain = find_card(factor.card_number, context)
    if credential is None:
        failure = Reason.UNKNOWN_CREDENTIAL if certain else Reason.AUTHENTICATION_UNAVAILABLE
        result = FactorResult.FAILED if certain else FactorResult.UNAVAILABLE
        return _Evidence(PresentedFactor(kind=FactorKind.CARD, result=result), failure)
    holder = reference.cardholder(context.references, credential.cardholder_id) if credential.cardholder_id else None
    failure_ = credential_failure(credential, holder, at_ms)
    if failure_ is None:
        return _Evidence(_CARD_PASSED, None, holder, credential)
    return _Evidence(PresentedFactor(kind=FactorKind.CARD, result=FactorResult.FAILED), failure_, holder, credential)


def claimed(factor: Pin | Biometric, context: Context) -> Cardholder | None:
    """Whom a factor says it is of, where no card says so."""
    id_ = factor.cardholder_id
    if id_ is None and factor.credential_id is not None:
        credential: Credential | None = context.references.get("credential", factor.credential_id)
        id_ = credential.cardholder_id if credential is not None else None
    return reference.cardholder(context.references, id_) if id_ is not None else None


def _own(holder: Cardholder, kind: FactorKind, context: Context) -> Credential | None:
    found = reference.credentials_of(context.references, holder.cardholder_id, kind)
    active = [credential for credential in found if credential.status == "active"]
    return next(iter(active or found), None)


def _pin(index: int, holder: Cardholder | None, context: Context, at_ms: int) -> _Evidence:
    def failed(reason: Reason, result: FactorResult = FactorResult.FAILED) -> _Evidence:
        return _Evidence(PresentedFactor(kind=FactorKind.PIN, result=result), reason, holder, credential)

    credential: Credential | None = None
    if holder is None:
        return failed(Reason.UNKNOWN_CREDENTIAL)
    credential = _own(holder, FactorKind.PIN, context)
    if credential is None:
        return failed(Reason.INCORRECT_AUTHENTICATION_FACTOR)
    failure = credential_failure(credential, holder, at_ms)
    if failure is not None:
        return failed(failure)
    answer = context.resolved.get(answer_name(index))
    if answer == "mismatch":
        return failed(Reason.INCORRECT_AUTHENTICATION_FACTOR)
    if answer not in {"match", "duress"}:
        return failed(Reason.AUTHENTICATION_UNAVAILABLE, FactorResult.UNAVAILABLE)
    factor = PresentedFactor(kind=FactorKind.PIN, result=_PASSED)
    return _Evidence(factor, None, holder, credential, duress=answer == "duress")


def _threshold(kind: str, policy: Policy, device: Device) -> float:
    own, common = getattr(device.thresholds, kind), getattr(policy.thresholds, kind)
    return float(common if own is None else own)


def _biometric(  # noqa: C901 - one factor, all its ways to fail side by side
    factor: Biometric, index: int, threshold: float, holder: Cardholder | None, context: Context, at_ms: int
) -> _Evidence:
    kind = FactorKind(factor.kind)

    def made(reason: Reason | None, result: FactorResult, who: Cardholder | None, what: Credential | None) -> _Evidence:
        shown = PresentedFactor(kind=kind, result=result, score=score, threshold=threshold)
        return _Evidence(shown, reason, who, what)

    score: float | None = factor.score
    credential = _own(holder, kind, context) if holder is not None else None
    if score is None:
        answer = context.resolved.get(answer_name(index))
        if not isinstance(answer, Mapping):
            return made(Reason.AUTHENTICATION_UNAVAILABLE, FactorResult.UNAVAILABLE, holder, credential)
        score = answer.get("score")
        if score is None:
            return made(Reason.VERIFICATION_FAILED, FactorResult.FAILED, holder, credential)
        if score >= threshold or holder is not None:
            credential = context.references.get("credential", answer["credential_id"])
            owner = reference.cardholder(context.references, answer["cardholder_id"])
            holder = holder or owner
            if holder is None or owner is None or owner.cardholder_id != holder.cardholder_id:
                return made(Reason.VERIFICATION_FAILED, FactorResult.FAILED, holder, credential)
    elif holder is None:
        return made(Reason.UNKNOWN_CREDENTIAL, FactorResult.FAILED, None, None)
    if score < threshold:
        return made(Reason.VERIFICATION_FAILED, FactorResult.FAILED, holder, credential)
    if credential is not None:
        failure = credential_failure(credential, holder, at_ms)
        if failure is not None:
            return made(failure, FactorResult.FAILED, holder, credential)
    elif holder is not None and (failure := _holder_failure(holder, at_ms)) is not None:
        return made(failure, FactorResult.FAILED, holder, None)
    return made(None, _PASSED, holder, credential)


def _holder_failure(holder: Cardholder, at_ms: int) -> Reason | None:
    if holder.status != "active":
        return Reason.CREDENTIAL_DISABLED
    if times.not_yet(holder.valid_from, at_ms):
        return Reason.CREDENTIAL_NOT_YET_ACTIVE
    return Reason.CREDENTIAL_EXPIRED if times.over(holder.valid_until, at_ms) else None


def _conclude_single(kind: FactorKind, found: _Evidence) -> Authentication:
    """What `_conclude` would say of one factor that is all that was asked for."""
    failure = found.failure
    if failure is None and found.cardholder is None:
        failure = Reason.UNKNOWN_CREDENTIAL
    duress = failure is None and found.duress
    return Authentication(
        kind, (found.factor,), None, found.cardholder, found.credential, failure, duress, f"method={kind}"
    )


def _conclude(
    method: Method, name: str, kinds: Sequence[FactorKind], evidence: dict[FactorKind, _Evidence], *, complete: bool
) -> Authentication:
    factors = tuple(
        evidence[kind].factor if kind in evidence else PresentedFactor(kind=kind, result=FactorResult.ABSENT)
        for kind in kinds
    )
    found = [evidence[kind] for kind in sorted(evidence, key=lambda k: k is not _CARD)]
    holder = next((e.cardholder for e in found if e.cardholder is not None), None)
    credential = next((e.credential for e in found if e.credential is not None), None)
    fused: float | None = None
    failure: Reason | None
    if not complete:
        failure = next((e.failure for e in found if e.failure is not None), None)
        failure = failure or Reason.AUTHENTICATION_FACTOR_TIMEOUT
    elif len({e.cardholder.cardholder_id for e in found if e.cardholder is not None}) > 1:
        failure = Reason.VERIFICATION_FAILED
    elif isinstance(method, Fusion):
        fused, failure = _fuse(method, evidence)
    else:
        failure = next((e.failure for e in found if e.failure is not None), None)
    if failure is None and holder is None:
        failure = Reason.UNKNOWN_CREDENTIAL
    duress = failure is None and any(e.duress for e in found)
    return Authentication(name, factors, fused, holder, credential, failure, duress, f"method={name}")


def _fuse(method: Fusion, evidence: dict[FactorKind, _Evidence]) -> tuple[float, Reason | None]:
    """The weighted score, and why it fails. A card or PIN counts 1 where it passes; a bad credential always fails."""
    fused = 0.0
    for kind, weight in method.weights.items():
        found = evidence[kind]
        score = found.factor.score
        if score is None:
            score = 1.0 if found.factor.result is _PASSED else 0.0
        fused += weight * score
        if found.failure not in {None, Reason.VERIFICATION_FAILED, Reason.INCORRECT_AUTHENTICATION_FACTOR}:
            return round(fused, 6), found.failure
    fused = round(fused, 6)
    return fused, None if fused >= method.threshold else Reason.VERIFICATION_FAILED
