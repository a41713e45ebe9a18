"""Denials: what the reader shows, how M2 classes them, and those of messages that are not evaluated at all."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.access import AccessDenied, AccessRecorded, AccessRequested, Decision
from schemas.base import RequestNumber
from schemas.commands import ShowDisplay
from schemas.ids import derive, request_id
from schemas.vocabulary import CheckOutcome, Classification, Display, Reason, Timeliness
from streams.core.passage import journal_position
from streams.core.permission_exceptions import refusal_exception
from streams.core.processor import Arrival, Context
from streams.core.times import from_ms

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

_SECURITY = frozenset(
    {
        Reason.CREDENTIAL_LOST,
        Reason.CREDENTIAL_STOLEN,
        Reason.LOCKDOWN,
        Reason.INVALID_SIGNATURE,
        Reason.REPLAYED_REQUEST,
    }
)


def display_of(reason: Reason) -> Display:
    """What the reader shows for a reason."""
    return DISPLAYS.get(reason, Display.NO_PERMISSION)


def classify(broken: Iterable[Reason]) -> Classification:
    """M2's class of a decision, from its reason and what was broken without being enforced."""
    reasons = set(broken)
    if not reasons:
        return Classification.NORMAL
    if not reasons.isdisjoint(_SECURITY):
        return Classification.SECURITY
    return Classification.ABNORMAL


def authentication_failed(decision: Decision) -> bool:
    """Whether a decision was denied because nobody was authenticated (A1), not for what they may do (A2)."""
    first = next((name for name, outcome, _ in decision.checks if outcome is CheckOutcome.FAILED), None)
    return first == "credential"


def show(decision: AccessDenied, request: AccessRequested | AccessRecorded) -> ShowDisplay:
    """The command that tells the reader of a denial; the controller needs no time-out to know that it stays shut."""
    return ShowDisplay(
        command_id=derive("display", decision.decision_id),
        decision_id=decision.decision_id,
        site_id=decision.site_id,
        device_id=decision.device_id,
        access_point_id=decision.access_point_id,
        issued_at=decision.decided_at,
        code=decision.display,
        request=RequestNumber(boot=request.boot, sequence=request.sequence),
    )


def id_of(request: AccessRequested | AccessRecorded) -> str:
    """The request's id."""
    recorded = isinstance(request, AccessRecorded)
    return request_id(request.device_id, request.boot, request.sequence, recorded=recorded)


def refusal(
    arrival: Arrival,
    context: Context,
    reason: Reason,
    detail: str,
    *,
    decision_id: str | None = None,
    timeliness: Timeliness = Timeliness.ONLINE,
) -> AccessDenied:
    """A denial of a message that was not evaluated.

    Its id comes from where the record lies, so that it never takes the place of the decision of the request whose
    number it claims.
    """
    request: AccessRequested | AccessRecorded = arrival.message
    record = arrival.record
    return AccessDenied(
        decision_id=decision_id or derive("refusal", record.topic, record.partition, record.offset),
        request_id=id_of(request),
        site_id=request.site_id,
        device_id=request.device_id,
        boot=request.boot,
        sequence=request.sequence,
        access_point_id=request.access_point_id,
        reason=reason,
        failed_checks=(reason,),
        timeliness=Timeliness.OFFLINE if isinstance(request, AccessRecorded) else timeliness,
        age_ms=max(0, context.now_ms - record.timestamp_ms),
        occurred_at=request.occurred_at,
        decided_at=from_ms(context.now_ms),
        checks=(("admission", CheckOutcome.FAILED, detail),),
        classification=classify([reason]),
        exception=refusal_exception(reason),
        recorded_outcome=request.outcome if isinstance(request, AccessRecorded) else None,
        difference=isinstance(request, AccessRecorded) and request.outcome == "granted",
        policy_version="none",
        journal=journal_position(context),
        display=display_of(reason),
    )
