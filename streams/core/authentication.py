"""Multi-modal authentication (A1): who is it, and do the presented factors prove it?

Secrets are verified before, in the resolve stage; what arrives here is only the answer: for a PIN `match`, `duress`,
`mismatch` or `unavailable`; for a template `{"score", "cardholder_id", "credential_id"}` of the best match. No answer
means that nobody knows, and unknown means denied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from schemas.access import PresentedFactor
from schemas.people import Cardholder, Credential
from schemas.places import Device
from schemas.rules import AllRequired, Fusion, Method, Policy, SingleMethod
from schemas.vocabulary import FactorKind, FactorResult, Reason
from streams.core import reference
from streams.core.evidence import Evidence, Request, Setting, evidence_of
from streams.core.processor import Context, References

_KINDS = {kind.value: kind for kind in FactorKind}
_CARD = FactorKind.CARD


class Authentication(msgspec.Struct, frozen=True, gc=False):
    """The outcome. `failure` None means that it succeeded. `method` names what was run, such as `card+pin`.

    `cardholder` and `credential` are given where they are known, also after a failure. `duress`: a duress PIN was
    heard, whatever else failed; nothing else tells it from any other. `heard` is false where no secret was listened to,
    because a lock or a reader out of service refuses anyway.
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


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The method to run, its name and factors, and whether all of them were presented (see `Policy`)."""

    method: Method
    name: str
    kinds: tuple[FactorKind, ...]
    complete: bool


def choose_method(policy: Policy, presented: Collection[FactorKind]) -> Choice | None:
    """The method to run; None where no method asks for anything that was presented."""
    complete = [method for method in policy.methods if all(kind in presented for kind in kinds_of(method))]
    partial = [method for method in policy.methods if any(kind in presented for kind in kinds_of(method))]
    if complete:
        method = max(complete, key=lambda method: len(kinds_of(method)))
    elif partial:
        method = partial[0]
    else:
        return None
    kinds = kinds_of(method)
    return Choice(method, "+".join(kinds), kinds, bool(complete))


def _choice(policy: Policy, presented: tuple[FactorKind, ...], references: References) -> Choice | None:
    key = ("method", policy.policy_id, presented)
    known: Choice | None = references.derived.get(key)
    if known is not None:
        return known
    found = choose_method(policy, presented)
    return None if found is None else reference.remember(references, key, found)


def authenticate(
    request: Request, policy: Policy, device: Device, context: Context, at_ms: int, *, heard: bool = True
) -> Authentication:
    """Run the method of the policy that fits what was presented; validity is judged at `at_ms`.

    Without `heard`, PINs and templates of somebody known are not listened to.
    """
    presented = {_KINDS[factor.kind]: index for index, factor in enumerate(request.factors)}
    choice = _choice(policy, tuple(presented), context.references)
    if choice is None:
        return Authentication(None, (), None, None, None, Reason.AUTHENTICATION_FACTOR_TIMEOUT, detail="method=none")
    setting = Setting(request, policy, device, context, at_ms, heard)
    method, kinds, complete = choice.method, choice.kinds, choice.complete
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
    found_out = _conclude(method, choice.name, kinds, evidence, complete=complete)
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
    return Authentication(
        kind, (found.factor,), None, found.cardholder, found.credential, failure, found.duress, f"method={kind}"
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
    duress = any(e.duress for e in found)
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
