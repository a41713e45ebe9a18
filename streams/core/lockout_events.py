"""What is told of locks: their start, their end, and that one is near."""

from __future__ import annotations

from typing import Any, Literal

from schemas.lockouts import EVERYWHERE, LockoutEnded, LockoutImpending, LockoutStarted
from schemas.operators import OperatorRequest
from schemas.vocabulary import Reason
from streams.core.lockout_state import LockCause, Lockout
from streams.core.passage import journal_position
from streams.core.processor import Context
from streams.core.times import from_ms

Scope = Literal["site", "everywhere"]


def impending(cause: LockCause, context: Context) -> LockoutImpending:
    """An access point is being guessed at."""
    return LockoutImpending(**_facts(cause, "access-point", "site", context))


def started(lock: Lockout, subject: str, scope: Scope, context: Context) -> LockoutStarted:
    """A lock has begun."""
    return LockoutStarted(**_lock(lock, subject, scope, context))


def expired(lock: Lockout, subject: str, scope: Scope, context: Context) -> LockoutEnded:
    """A lock ran out."""
    ended_ms = context.now_ms if lock.until_ms is None else lock.until_ms
    return LockoutEnded(**_lock(lock, subject, scope, context), ended_at=from_ms(ended_ms), cause="expired")


def ended(lock: Lockout, subject: str, scope: Scope, request: Any, context: Context) -> LockoutEnded:
    """An operator ended a lock; `request` names the operator, the request and the reason."""
    asked: OperatorRequest = request
    return LockoutEnded(
        **_lock(lock, subject, scope, context),
        ended_at=from_ms(context.now_ms),
        cause="operator",
        request_id=asked.request_id,
        operator_id=asked.operator_id,
        reason=asked.reason,
    )


def _lock(lock: Lockout, subject: str, scope: Scope, context: Context) -> dict[str, Any]:
    if lock.cause is None:
        raise ValueError("nobody knows any more what led to this lock")
    return {
        **_facts(lock.cause, subject, scope, context),
        "started_at": from_ms(lock.since_ms),
        "locked_until": None if lock.until_ms is None else from_ms(lock.until_ms),
        "number": max(1, len(lock.starts)),
    }


def _facts(cause: LockCause, subject: str, scope: Scope, context: Context) -> dict[str, Any]:
    where = cause.site_id if scope == "site" else EVERYWHERE
    return {
        "lockout_id": cause.lockout_id,
        "lockout_key": f"{where}/{subject}/{cause.subject_id}",
        "site_id": cause.site_id,
        "scope": scope,
        "subject": subject,
        "subject_id": cause.subject_id,
        "cardholder_id": cause.cardholder_id,
        "credential_id": cause.credential_id,
        "access_point_id": cause.access_point_id,
        "door_id": cause.door_id,
        "failures": cause.failures,
        "numbers": cause.numbers,
        "window_s": cause.window_s,
        "first_failed_at": from_ms(cause.first_ms),
        "last_failed_at": from_ms(cause.last_ms),
        "last_reason": Reason(cause.reason),
        "decision_id": cause.decision_id,
        "decided_at": from_ms(context.now_ms),
        "journal": journal_position(context),
    }
