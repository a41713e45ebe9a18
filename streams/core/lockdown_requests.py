"""Operators' requests about lockdowns (E2): start one, and give the all-clear."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from schemas.incidents import LockdownReleaseApproved, LockdownReleaseRequested, LockdownRequested
from streams.core.lockdown_state import Lockdown, lockdown_key
from streams.core.lockdown_telling import kept, tell
from streams.core.lockdowns import Order, release, start
from streams.core.operator_admission import Refused, accepted
from streams.core.processor import Context, Outcome, State

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
    )
    outcomes = start(order, state, context)
    yield accepted(request, context, incident_id=outcomes[0].incident_id)
    yield from outcomes


def request_release(request: LockdownReleaseRequested, state: State, context: Context) -> Iterator[Outcome]:
    """An operator's all-clear."""
    found: Lockdown | None = state.get(lockdown_key(request.incident_id))
    if found is None or found.site_id != request.site_id:
        raise Refused(
            "unknown_incident", f"{request.incident_id} is no lockdown in force: `doorstream lockdown status`"
        )
    if found.releasing_ms:
        raise Refused("not_possible", f"{request.incident_id} is being released already")
    if not request.reason.strip():
        raise Refused("no_reason", "a lockdown is released for a reason: give one")
    if request.operator_id in found.approved:
        raise Refused("same_person", "this plan asks for two people: somebody else must release it, too")
    yield accepted(request, context, incident_id=request.incident_id)
    approved = (*found.approved, request.operator_id)
    if found.two_person and len(approved) < 2:  # noqa: PLR2004 - two people
        told, event = tell(LockdownReleaseApproved, _replace(found, approved=approved), state, context)
        yield event
        yield from kept(told, state)
    else:
        yield from release(found, request.reason, approved, state, context)
