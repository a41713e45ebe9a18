"""Multi-modal authentication (A1): who is it, and do the presented factors prove it?

Secrets are verified before, in the resolve stage; what arrives here is only the answer: for a PIN `match`, `duress`,
`mismatch` or `unavailable`; for a template `{"score", "cardholder_id", "credential_id"}` of the best match. No answer
means that nobody knows, and unknown means denied.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.access import PresentedFactor
from schemas.people import Cardholder, Credential
from schemas.places import Device
from schemas.rules import AllRequired, Fusion, Method, Policy, SingleMethod
from schemas.vocabulary import FactorKind, FactorResult, Reason
from streams.core.evidence import Evidence, Request, Setting, evidence_of
from streams.core.processor import Context

_KINDS = {kind.value: kind for kind in FactorKind}
_CARD = FactorKind.CARD


class Authentication(msgspec.Struct, frozen=True, gc=False):
    """The outcome. `failure` None means that it succeeded. `method` names what was run, such as `card+pin`.

    `cardholder` and `credential` are given where they are known, also after a failure. `duress` is true only after a
    success; nothing else tells it from any other. `heard` is false where no secret was listened to, because a lock or
    a reader out of service refuses anyway.
    """

    method: str | None
    factors: tuple[PresentedFactor, ...]
    fused_score: float | None
    cardholder: Cardholder | None
    credential: Credential | None
    failure: Reason | None
    duress: bool = False
    detail: str = ""
    heard: bool = True


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


def authenticate(
    request: Request, policy: Policy, device: Device, context: Context, at_ms: int, *, heard: bool = True
) -> Authentication:
    """Run the method of the policy that fits what was presented; validity is judged at `at_ms`.

    Without `heard`, PINs and templates of somebody known are not listened to.
    """
    setting = Setting(request, policy, device, context, at_ms, heard)
    presented = {_KINDS[factor.kind]: index for index, factor in enumerate(request.factors)}
    method, complete = choose_method(policy, set(presented))
    if method is None:
        return Authentication(None, (), None, None, None, Reason.AUTHENTICATION_FACTOR_TIMEOUT, detail="method=none")
    kinds = kinds_of(method)
    if complete and isinstance(method, SingleMethod):
        only = evidence_of(setting, presented[method.factor], None)
        return _listened(_conclude_single(method.factor, only), heard=heard)
    evidence: dict[FactorKind, Evidence] = {}
    holder: Cardholder | None = None
    for kind in sorted(kinds, key=lambda k: k is not _CARD):
        if kind in presented:
            found = evidence_of(setting, presented[kind], holder)
            evidence[kind] = found
            holder = holder or found.cardholder
    found_out = _conclude(method, "+".join(kinds), kinds, evidence, complete=complete)
    return _listened(found_out, heard=heard)


def _listened(found: Authentication, *, heard: bool) -> Authentication:
    if heard or found.failure is not Reason.AUTHENTICATION_UNAVAILABLE:
        return found
    return msgspec.structs.replace(found, heard=False)


def _conclude_single(kind: FactorKind, found: Evidence) -> Authentication:
    """What `_conclude` would say of one factor that is all that was asked for."""
    failure = found.failure
    if failure is None and found.cardholder is None:
        failure = Reason.UNKNOWN_CREDENTIAL
    duress = failure is None and found.duress
    return Authentication(
        kind, (found.factor,), None, found.cardholder, found.credential, failure, duress, f"method={kind}"
    )


def _conclude(
    method: Method, name: str, kinds: Sequence[FactorKind], evidence: dict[FactorKind, Evidence], *, complete: bool
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


def _fuse(method: Fusion, evidence: dict[FactorKind, Evidence]) -> tuple[float, Reason | None]:
    """The weighted score, and why it fails. A card or PIN counts 1 where it passes; a bad credential always fails."""
    fused = 0.0
    for kind, weight in method.weights.items():
        found = evidence[kind]
        score = found.factor.score
        if score is None:
            score = 1.0 if found.factor.result is FactorResult.PASSED else 0.0
        fused += weight * score
        if found.failure not in {None, Reason.VERIFICATION_FAILED, Reason.INCORRECT_AUTHENTICATION_FACTOR}:
            return round(fused, 6), found.failure
    fused = round(fused, 6)
    return fused, None if fused >= method.threshold else Reason.VERIFICATION_FAILED
