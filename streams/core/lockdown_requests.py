"""Operators' requests about lockdowns (E2): start one, escalate it, declare it effective, and give the all-clear."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from schemas.incidents import (
    Incident,
    LockdownEffective,
    LockdownEffectiveRequested,
    LockdownEscalationRequested,
    LockdownReleaseApproved,
    LockdownReleaseRequested,
    LockdownRequested,
)
from streams.core.lockdown_escalation import escalate
from streams.core.lockdown_state import Lockdown, lockdown_key
from streams.core.lockdown_telling import kept, observed, tell
from streams.core.lockdowns import Order, release, start
from streams.core.operator_admission import Refused, accepted
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

_replace = msgspec.structs.replace


def request_start(request: LockdownRequested, state: State, context: Context) -> Iterator[Outcome]:
    """An operator's lockdown."""
    threat = request.threat_id
    order = Order(
        request.site_id,
        request.zone_id,
        request.threat_level,
        request.reason,
        "operator" if threat is None else "threat",
        request.request_id if threat is None else threat,
        request.operator_id,
        request.plan_id,
        request.auto_release_s,
        request.drill,
        request.drill_commands,
    )
    outcomes = start(order, state, context)
    yield accepted(request, context, incident_id=outcomes[0].incident_id)
    yield from outcomes


def request_release(request: LockdownReleaseRequested, state: State, context: Context) -> Iterator[Outcome]:
    """An operator's all-clear."""
    found = _in_force(request, state, "released")
    if request.operator_id in found.approved:
        raise Refused("same_person", "this plan asks for two people: somebody else must release it, too")
    yield accepted(request, context, incident_id=request.incident_id)
    approved = (*found.approved, request.operator_id)
    if found.two_person and len(approved) < 2:  # noqa: PLR2004 - two people
        yield from _told(LockdownReleaseApproved, _replace(found, approved=approved), state, context)
    else:
        yield from release(found, request.reason, approved, state, context)


def request_escalation(request: LockdownEscalationRequested, state: State, context: Context) -> Iterator[Outcome]:
    """An operator's extension of a lockdown to a larger scope."""
    found = _in_force(request, state, "escalated")
    outcomes = escalate(found, request.threat_level, request.operator_id, request.reason, state, context)
    yield accepted(request, context, incident_id=request.incident_id)
    yield from outcomes


def request_effective(request: LockdownEffectiveRequested, state: State, context: Context) -> Iterator[Outcome]:
    """An operator's word that a lockdown is formally effective."""
    found = _in_force(request, state, "declared effective")
    if found.effective_ms:
        raise Refused("not_possible", f"{request.incident_id} has been effective since {from_ms(found.effective_ms)}")
    yield accepted(request, context, incident_id=request.incident_id)
    declared = _replace(
        found, effective_ms=context.now_ms, effective_by=request.operator_id, effective_reason=request.reason
    )
    yield from _told(LockdownEffective, declared, state, context)


def _told(model: type[Incident], lockdown: Lockdown, state: State, context: Context) -> Iterator[Outcome]:
    looked_at, seen = observed(lockdown, state, context)
    after, event = tell(model, looked_at, state, context, seen)
    yield event
    yield from kept(after, state)


def _in_force(
    request: LockdownReleaseRequested | LockdownEffectiveRequested | LockdownEscalationRequested,
    state: State,
    what: str,
) -> Lockdown:
    found: Lockdown | None = state.get(lockdown_key(request.incident_id))
    if found is None or found.site_id != request.site_id:
        raise Refused(
            "unknown_incident", f"{request.incident_id} is no lockdown in force: `doorstream lockdown status`"
        )
    if found.releasing_ms:
        raise Refused("not_possible", f"{request.incident_id} is being released already")
    if not request.reason.strip():
        raise Refused("no_reason", f"a lockdown is {what} for a reason: give one")
    return found
