"""Access: from a request to its decision (A1, A2), its command, and what it leaves at the door (A3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.access import AccessDenied, AccessGranted, AccessRecorded, AccessRequested, Duress
from schemas.base import RequestNumber, trusted
from schemas.commands import ShowDisplay
from schemas.ids import derive, request_id
from schemas.record import Record
from schemas.rules import Policy
from schemas.vocabulary import Classification, Direction, Display, Reason, Timeliness
from streams.core import reference
from streams.core.admission import Admission, DeviceHeard, Keys, Verdict, admit
from streams.core.authentication import authenticate
from streams.core.checks import Findings, Question, check_person
from streams.core.entities import Pending
from streams.core.passage import PresenceLost, await_passage, command_for, journal_position, taken
from streams.core.processor import Arrival, Context, Outcome, State
from streams.core.schedules import local
from streams.core.security_rules import check_rules, is_free_egress, soften
from streams.core.times import from_ms, to_ms

Request = AccessRequested | AccessRecorded

_granted = trusted(AccessGranted)
_denied = trusted(AccessDenied)
_ONLINE, _GRACE, _LATE = Timeliness.ONLINE, Timeliness.GRACE, Timeliness.LATE
_ENTRY = Direction.ENTRY
_NORMAL = Classification.NORMAL
_ADMITTED, _DUPLICATE = Verdict.ADMITTED, Verdict.DUPLICATE
# Bound once: until Python 3.12 each look-up of a member through its class runs Python code.

ACTUATING = (Timeliness.ONLINE, Timeliness.GRACE)
_ONLY_COMPANY = {Reason.NO_ACCOMPANIMENT}

DISPLAYS: dict[Reason, Display] = {
    Reason.UNKNOWN_CREDENTIAL: Display.NOT_RECOGNISED,
    Reason.CREDENTIAL_UNASSIGNED: Display.NOT_RECOGNISED,
    Reason.INCORRECT_AUTHENTICATION_FACTOR: Display.TRY_AGAIN,
    Reason.VERIFICATION_FAILED: Display.TRY_AGAIN,
    Reason.AUTHENTICATION_FACTOR_TIMEOUT: Display.TRY_AGAIN,
    Reason.AUTHENTICATION_UNAVAILABLE: Display.TRY_AGAIN,
    Reason.CREDENTIAL_LOCKOUT: Display.LOCKED,
    Reason.ACCESS_POINT_LOCKOUT: Display.LOCKED,
    Reason.LOCKDOWN: Display.LOCKED,
    Reason.THREAT_LEVEL: Display.LOCKED,
    Reason.OUT_OF_TIME_RANGE: Display.NOT_NOW,
    Reason.PASSBACK: Display.NOT_NOW,
    Reason.OCCUPANCY_LIMIT: Display.WAIT,
    Reason.NO_ACCOMPANIMENT: Display.WAIT,
    Reason.INCORRECT_ACCOMPANIMENT: Display.WAIT,
    Reason.INTERLOCK: Display.WAIT,
    Reason.FIRST_PERSON_ABSENT: Display.WAIT,
    Reason.OUT_OF_SERVICE: Display.OUT_OF_SERVICE,
    Reason.UNKNOWN_ACCESS_POINT: Display.OUT_OF_SERVICE,
    Reason.INVALID_SIGNATURE: Display.OUT_OF_SERVICE,
    Reason.REPLAYED_REQUEST: Display.OUT_OF_SERVICE,
    Reason.STALE_REQUEST: Display.OUT_OF_SERVICE,
}
"""What the reader shows; every other reason is a lack of permission."""

AUTHENTICATION_FAILURES = frozenset(
    {
        Reason.UNKNOWN_CREDENTIAL,
        Reason.INCORRECT_AUTHENTICATION_FACTOR,
        Reason.VERIFICATION_FAILED,
        Reason.AUTHENTICATION_FACTOR_TIMEOUT,
        Reason.AUTHENTICATION_UNAVAILABLE,
    }
)
_SECURITY = frozenset(
    {
        Reason.CREDENTIAL_LOST,
        Reason.CREDENTIAL_STOLEN,
        Reason.LOCKDOWN,
        Reason.INVALID_SIGNATURE,
        Reason.REPLAYED_REQUEST,
    }
)


class Accompanied(msgspec.Struct, frozen=True, gc=False, tag="accompanied"):
    """Who was last let into a zone, or turned away only for lack of company."""

    zone_id: str
    cardholder_id: str
    at_ms: int
    escort: bool


def display_of(reason: Reason) -> Display:
    """What the reader shows for a reason."""
    return DISPLAYS.get(reason, Display.NO_PERMISSION)


def classify(reason: Reason | None, *, soft: bool) -> Classification:
    """M2's class of a decision."""
    if reason is None and not soft:
        return _NORMAL
    if reason in _SECURITY:
        return Classification.SECURITY
    if reason in AUTHENTICATION_FAILURES or soft:
        return Classification.ABNORMAL
    return Classification.ABNORMAL


def timeliness_of(record: Record, policy: Policy, context: Context) -> tuple[Timeliness, int]:
    """How late a request is, and its age in milliseconds: by the broker's append time, never a device's clock."""
    age_ms = max(0, context.now_ms - record.timestamp_ms)
    if record.topic == "access.backlog":
        return Timeliness.OFFLINE, age_ms
    if age_ms <= policy.online_s * 1000:
        return _ONLINE, age_ms
    return (_GRACE if age_ms <= policy.grace_s * 1000 else _LATE), age_ms


def decide_access(arrival: Arrival, state: State, context: Context, keys: Keys) -> Iterator[Outcome]:
    """Every outcome of a request for access, or of a record of one that a controller decided alone."""
    request: Request = arrival.message
    admission = admit(request, arrival.record, state, context, keys)
    if admission.state is not None:
        yield DeviceHeard(request.device_id, admission.state, admission.verdict is _DUPLICATE)
    if admission.verdict is _DUPLICATE:
        return
    if admission.verdict is not _ADMITTED:
        if admission.verdict is Verdict.REFUSED or admission.state is not None:
            yield refusal(arrival, context, admission.reason or Reason.OUT_OF_SERVICE, admission.detail)
        return
    question = _question(request, arrival.record, admission, state, context)
    if question is None:
        detail = "no such access point at this controller"
        decision = _id(request)
        yield refusal(arrival, context, Reason.UNKNOWN_ACCESS_POINT, detail, decision_id=decision)
        return
    yield from _decide(request, arrival.record, question)


def _id(request: Request) -> str:
    return derive("decision", request.type, request_id(request.device_id, request.boot, request.sequence))


def _question(
    request: Request, record: Record, admission: Admission, state: State, context: Context
) -> Question | None:
    place = reference.place(context.references, request.access_point_id)
    site, device, policy = admission.site, admission.device, admission.policy
    if place is None or site is None or device is None or policy is None:
        return None
    point, door = place.point, place.door
    if door.device_id != device.device_id or not point.site_id == door.site_id == site.site_id:
        return None
    policy = place.policy or policy
    at_ms = to_ms(request.occurred_at) if record.topic == "access.backlog" else context.now_ms
    return Question(
        site=site,
        policy=policy,
        device=device,
        door=door,
        point=point,
        authentication=authenticate(request, policy, point, device, context, now_ms=at_ms),
        at_ms=at_ms,
        local=local(at_ms, site.time_zone),
        zone_path=place.zone_path,
        state=state,
        context=context,
    )


def _decide(request: Request, record: Record, question: Question) -> Iterator[Outcome]:
    findings = Findings()
    check_person(question, findings)
    check_rules(question, findings)
    granted = not findings.failed
    if not granted and is_free_egress(question):
        soften(findings)
        granted = True
    timeliness, age_ms = timeliness_of(record, question.policy, question.context)
    fields = _fields(request, question, findings, timeliness, age_ms)
    if isinstance(request, AccessRecorded):
        fields["recorded_outcome"] = request.outcome
        fields["difference"] = (request.outcome == "granted") is not granted
    if granted:
        yield from _grant(request, question, findings, fields, actuates=timeliness in ACTUATING)
    else:
        yield from _deny(request, question, findings, fields, shown=timeliness in ACTUATING)


def _grant(
    request: Request, question: Question, findings: Findings, fields: dict[str, Any], *, actuates: bool
) -> Iterator[Outcome]:
    decision = _granted(**fields, actuated=actuates)
    yield decision
    known, context = question.authentication, question.context
    if known.duress:
        yield _duress(decision, context)
    pending = _pending(request, question, findings, decision)
    if actuates:
        number = RequestNumber(boot=request.boot, sequence=request.sequence)
        yield command_for(question, pending, number, override=findings.override)
        yield from await_passage(question, pending)
        if known.cardholder is not None and question.point.direction is _ENTRY:
            holder = known.cardholder
            yield Accompanied(question.point.zone_to, holder.cardholder_id, context.now_ms, holder.escort)
    elif isinstance(request, AccessRecorded) and request.outcome == "granted":
        yield from taken(pending, question.door.door_id, question.at_ms, "recorded", question.state, context)
    elif known.cardholder is not None:
        yield _lose_presence(question)


def _deny(
    request: Request, question: Question, findings: Findings, fields: dict[str, Any], *, shown: bool
) -> Iterator[Outcome]:
    reason = findings.failed[0]
    decision = _denied(**fields, reason=reason, display=display_of(reason))
    yield decision
    holder = question.authentication.cardholder
    if shown:
        yield ShowDisplay(
            command_id=derive("display", decision.decision_id),
            decision_id=decision.decision_id,
            site_id=decision.site_id,
            device_id=decision.device_id,
            access_point_id=decision.access_point_id,
            issued_at=decision.decided_at,
            code=decision.display,
            request=RequestNumber(boot=request.boot, sequence=request.sequence),
        )
        if holder is not None and set(findings.failed) == _ONLY_COMPANY:
            yield Accompanied(question.point.zone_to, holder.cardholder_id, question.context.now_ms, escort=False)
    elif isinstance(request, AccessRecorded) and request.outcome == "granted" and holder is not None:
        yield _lose_presence(question)


def _lose_presence(question: Question) -> PresenceLost:
    holder = question.authentication.cardholder
    who = holder.cardholder_id if holder is not None else None
    return lose_presence(question.site.site_id, who, question.state, question.context)


def lose_presence(site_id: str, cardholder_id: str | None, state: State, context: Context) -> PresenceLost:
    """Forget where a cardholder is; the zones counted down with it."""
    found = state.get(f"presence/{site_id}/{cardholder_id}")
    inside = reference.zone_path(context.references, found.zone_id) if found is not None and found.zone_id else ()
    escort = found is not None and found.escort
    return PresenceLost(site_id, cardholder_id, context.now_ms, inside, escort)


def _duress(decision: AccessGranted, context: Context) -> Duress:
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
        single_use=permission is not None and permission.kind == "single_use",
        granted_ms=now_ms,
        until_ms=now_ms + question.door.grant_window_s * 1000,
    )


def _fields(
    request: Request, question: Question, findings: Findings, timeliness: Timeliness, age_ms: int
) -> dict[str, Any]:
    known, context, policy = question.authentication, question.context, question.policy
    reason = findings.failed[0] if findings.failed else None
    asked = request_id(request.device_id, request.boot, request.sequence)
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
        "classification": classify(reason, soft=bool(findings.soft)),
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


def refusal(
    arrival: Arrival, context: Context, reason: Reason, detail: str, *, decision_id: str | None = None
) -> AccessDenied:
    """A denial of a message that was not evaluated.

    Its id comes from where the record lies, so that it never takes the place of the decision of the request whose
    number it claims.
    """
    request, record = arrival.message, arrival.record
    offline = record.topic == "access.backlog"
    return AccessDenied(
        decision_id=decision_id or derive("refusal", record.topic, record.partition, record.offset),
        request_id=request_id(request.device_id, request.boot, request.sequence),
        site_id=request.site_id,
        device_id=request.device_id,
        boot=request.boot,
        sequence=request.sequence,
        access_point_id=request.access_point_id,
        reason=reason,
        failed_checks=(reason,),
        timeliness=Timeliness.OFFLINE if offline else Timeliness.ONLINE,
        age_ms=max(0, context.now_ms - record.timestamp_ms),
        occurred_at=request.occurred_at,
        decided_at=from_ms(context.now_ms),
        checks=(("admission", "failed", detail),),
        classification=classify(reason, soft=False),
        recorded_outcome=request.outcome if isinstance(request, AccessRecorded) else None,
        policy_version="none",
        journal=journal_position(context),
        display=display_of(reason),
    )
