"""Access: from a request to its decision (A1, A2), its command, and what it leaves at the door (A3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schemas.access import AccessDenied, AccessGranted, AccessRecorded, Duress, Recorded
from schemas.base import RequestNumber, trusted
from schemas.ids import derive
from schemas.record import Record
from schemas.rules import Policy
from schemas.vocabulary import Direction, Reason, Timeliness
from streams.core import reference
from streams.core.admission import BACKLOG, Admission, DeviceHeard, Keys, Verdict, admit
from streams.core.asking import Request, question_of
from streams.core.checks import check_person, is_free_egress
from streams.core.convergence import decide_heard
from streams.core.denials import classify, display_of, id_of, refusal, show
from streams.core.differences import cause_of
from streams.core.entities import Pending
from streams.core.failures import count_attempt
from streams.core.passage import await_passage, command_for, journal_position, taken
from streams.core.permission_exceptions import exception_of, updated
from streams.core.presence import lose_presence, may_accompany
from streams.core.processor import Arrival, Context, Outcome, State
from streams.core.question import Findings, Question
from streams.core.security_rules import check_rules
from streams.core.times import from_ms

_granted = trusted(AccessGranted)
_denied = trusted(AccessDenied)
_number = trusted(RequestNumber)
_ONLINE, _GRACE, _LATE = Timeliness.ONLINE, Timeliness.GRACE, Timeliness.LATE
_ENTRY = Direction.ENTRY
_ADMITTED, _DUPLICATE = Verdict.ADMITTED, Verdict.DUPLICATE
# Bound once: until Python 3.12 each look-up of a member through its class runs Python code.

ACTUATING = (Timeliness.ONLINE, Timeliness.GRACE)
_ONLY_COMPANY = {Reason.NO_ACCOMPANIMENT}


class Accompanied(msgspec.Struct, frozen=True, gc=False, tag="accompanied"):
    """Who was last let into a zone, or turned away only for lack of company."""

    zone_id: str
    cardholder_id: str
    at_ms: int
    escort: bool


def timeliness_of(record: Record, policy: Policy, context: Context) -> tuple[Timeliness, int]:
    """How late a request is, and its age in milliseconds: by the broker's append time, never a device's clock."""
    age_ms = max(0, context.now_ms - record.timestamp_ms)
    if record.topic == BACKLOG:
        return Timeliness.OFFLINE, age_ms
    if age_ms <= policy.online_s * 1000:
        return _ONLINE, age_ms
    return (_GRACE if age_ms <= policy.grace_s * 1000 else _LATE), age_ms


def decide_access(arrival: Arrival, state: State, context: Context, keys: Keys) -> Sequence[Outcome]:
    """Every outcome of a request for access, or of a record of one that a controller decided alone."""
    request: Request = arrival.message
    admission = admit(request, arrival.record, state, context, keys)
    verdict = admission.verdict
    outcomes: list[Outcome] = []
    if admission.state is not None:
        outcomes.append(DeviceHeard(request.device_id, admission.state, verdict is _DUPLICATE))
    if verdict is _ADMITTED:
        question = question_of(request, arrival.record, admission, state, context)
        if question is None:
            outcomes += _refuse_unknown(arrival, admission, context)
        else:
            _decide(request, arrival.record, question, outcomes)
        outcomes += decide_heard(request, state, context)
    elif verdict is Verdict.REFUSED or (outcomes and verdict is not _DUPLICATE):
        outcomes.append(refusal(arrival, context, admission.reason or Reason.OUT_OF_SERVICE, admission.detail))
    return outcomes


def _id(request: Request) -> str:
    return derive("decision", request.type, id_of(request))


def _refuse_unknown(arrival: Arrival, admission: Admission, context: Context) -> Iterator[Outcome]:
    timeliness = Timeliness.ONLINE
    if admission.policy is not None:
        timeliness, _ = timeliness_of(arrival.record, admission.policy, context)
    decision = refusal(
        arrival,
        context,
        Reason.UNKNOWN_ACCESS_POINT,
        "no such access point at this controller",
        decision_id=_id(arrival.message),
        timeliness=timeliness,
    )
    yield decision
    if timeliness in ACTUATING:
        yield show(decision, arrival.message)


def _decide(request: Request, record: Record, question: Question, outcomes: list[Outcome]) -> None:
    findings = Findings()
    check_person(question, findings)
    check_rules(question, findings)
    free = is_free_egress(question.point, question.door)
    if free:
        findings.soften()
    granted = not findings.denied
    timeliness, age_ms = timeliness_of(record, question.policy, question.context)
    actuates = timeliness in ACTUATING
    fields = _fields(request, question, findings, timeliness, age_ms)
    if isinstance(request, AccessRecorded):
        fields["recorded_outcome"] = request.outcome
        differs = (request.outcome == "granted") is not granted
        fields["difference"] = differs
        fields["recorded"] = Recorded(
            outcome=request.outcome,
            reason=request.reason,
            mode=request.mode,
            snapshot_version=request.snapshot_version,
            cause=cause_of(request, record, question, findings) if differs else None,
        )
    decision: AccessGranted | AccessDenied
    if granted:
        fields["actuated"] = actuates
        decision = _granted(fields)
    else:
        reason = findings.failed[0]
        drill = findings.drill and reason is Reason.LOCKDOWN
        fields |= {"reason": reason, "display": display_of(reason), "drill": drill}
        decision = _denied(fields)
    outcomes.append(decision)
    if findings.checked is not None and (update := updated(question, findings, decision)) is not None:
        outcomes.append(update)
    if actuates and isinstance(decision, AccessGranted):
        outcomes += _let_in(request, question, findings, decision)
    elif actuates and isinstance(decision, AccessDenied):
        outcomes += _turn_away(request, question, findings, decision)
    else:
        outcomes += _not_actuated(request, question, findings, decision)
    if not free:
        outcomes += count_attempt(question, decision, request)
    if question.authentication.duress:
        # Last, so that nothing that others see waits for it.
        outcomes.append(_duress(decision, question.context))


def _let_in(request: Request, question: Question, findings: Findings, decision: AccessGranted) -> Sequence[Outcome]:
    pending = _pending(request, question, findings, decision)
    number = _number({"boot": request.boot, "sequence": request.sequence})
    command = command_for(question, pending, number, override=findings.override)
    passage = await_passage(question, pending)
    holder, point = question.authentication.cardholder, question.point
    if holder is None or point.direction is not _ENTRY:
        return command, *passage
    company = Accompanied(point.zone_to, holder.cardholder_id, question.context.now_ms, may_accompany(holder))
    return command, *passage, company


def _turn_away(request: Request, question: Question, findings: Findings, decision: AccessDenied) -> Iterator[Outcome]:
    yield show(decision, request)
    holder = question.authentication.cardholder
    if holder is not None and set(findings.failed) == _ONLY_COMPANY:
        yield Accompanied(question.point.zone_to, holder.cardholder_id, question.context.now_ms, escort=False)


def _not_actuated(
    request: Request, question: Question, findings: Findings, decision: AccessGranted | AccessDenied
) -> Iterator[Outcome]:
    """What is known of somebody whom the controller answered alone: a passage, nothing any more, or nothing new."""
    state, context, who = question.state, question.context, decision.cardholder_id
    if isinstance(request, AccessRecorded):
        if request.outcome == "denied":
            return
        if isinstance(decision, AccessGranted):
            pending = _pending(request, question, findings, decision)
            yield from taken(pending, question.door.door_id, question.at_ms, "recorded", state, context)
            return
    elif isinstance(decision, AccessDenied):
        return
    if who is not None:
        yield lose_presence(question.site.site_id, who, state, context)


def _duress(decision: AccessGranted | AccessDenied, context: Context) -> Duress:
    return Duress(
        duress_id=derive("duress", decision.decision_id),
        decision_id=decision.decision_id,
        site_id=decision.site_id,
        access_point_id=decision.access_point_id,
        door_id=decision.door_id,
        zone_to=decision.zone_to,
        cardholder_id=decision.cardholder_id,
        credential_id=decision.credential_id,
        occurred_at=decision.occurred_at,
        decided_at=from_ms(context.now_ms),
    )


def _pending(request: Request, question: Question, findings: Findings, decision: AccessGranted) -> Pending:
    point, now_ms, permission = question.point, question.context.now_ms, findings.permission
    entry = point.direction is _ENTRY
    return Pending(
        site_id=decision.site_id,
        device_id=request.device_id,
        decision_id=decision.decision_id,
        request_id=decision.request_id,
        command_id=derive("command", decision.decision_id),
        access_point_id=point.access_point_id,
        zone_from=point.zone_from,
        zone_to=point.zone_to,
        direction=point.direction,
        cardholder_id=decision.cardholder_id,
        credential_id=decision.credential_id,
        permission_id=decision.permission_id,
        single_use=entry and permission is not None and permission.kind == "single_use",
        granted_ms=now_ms,
        until_ms=now_ms + question.door.grant_window_s * 1000,
        reserves=findings.reserves if entry else (),
    )


def _fields(
    request: Request, question: Question, findings: Findings, timeliness: Timeliness, age_ms: int
) -> dict[str, Any]:
    known, context, policy = question.authentication, question.context, question.policy
    asked = id_of(request)
    return {
        "decision_id": derive("decision", request.type, asked),
        "request_id": asked,
        "site_id": request.site_id,
        "device_id": request.device_id,
        "boot": request.boot,
        "sequence": request.sequence,
        "access_point_id": request.access_point_id,
        "door_id": question.door.door_id,
        "zone_from": question.point.zone_from,
        "zone_to": question.point.zone_to,
        "cardholder_id": known.cardholder.cardholder_id if known.cardholder is not None else None,
        "credential_id": known.credential.credential_id if known.credential is not None else None,
        "permission_id": findings.permission.permission_id if findings.permission is not None else None,
        "failed_checks": tuple(findings.failed),
        "soft_breaches": tuple(findings.soft),
        "direction": question.point.direction,
        "timeliness": timeliness,
        "age_ms": age_ms,
        "occurred_at": request.occurred_at,
        "decided_at": from_ms(context.now_ms),
        "method": known.method,
        "factors": known.factors,
        "fused_score": known.fused_score,
        "checks": tuple(findings.checks),
        "classification": classify(findings.failed[:1] + findings.soft),
        "exception": exception_of(findings),
        "policy_version": _version(policy, context),
        "journal": journal_position(context),
    }


def _version(policy: Policy, context: Context) -> str:
    references = context.references
    key = ("policy version", policy.policy_id)
    known: str | None = references.derived.get(key)
    if known is not None:
        return known
    return reference.remember(references, key, f"{policy.policy_id}@{references.position('policy', policy.policy_id)}")
