"""Exceptions of devices (A5) as messages, and what operators ask about their repair (D3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from schemas.base import JournalPosition
from schemas.envelope import event_headers
from schemas.exceptions import DeviceException
from schemas.ids import derive
from schemas.operators import OperatorRequestAccepted, OperatorRequestRefused
from schemas.record import Output
from schemas.repair_requests import RepairRequest
from streams.core import reference
from streams.core.device_telling import DeviceKept
from streams.core.hearing import Rules
from streams.core.operator_admission import Refused, accepted, need_right
from streams.core.processor import Context, Outcome, State
from streams.core.repairs import NotPossible, Step, handle
from streams.core.times import from_ms, rfc3339
from streams.core.watched import Watched, watched_key

RIGHTS: Mapping[str, str] = {
    "repair_assign_requested": "repair_devices",
    "repair_done_requested": "repair_devices",
    "repair_close_requested": "repair_devices",
}
"""The right that each request needs; closing while the fault is there needs `force_repairs` besides."""

_ENDED = frozenset({"recovered", "closed"})


def exceptions(device_id: str, site_id: str, steps: Iterable[Step], context: Context) -> list[DeviceException]:
    """What is told of a device's exceptions."""
    found = reference.device(context.references, device_id)
    model = found.model if found is not None else ""
    return [_message(device_id, site_id, model, step, context) for step in steps]


def _message(device_id: str, site_id: str, model: str, step: Step, context: Context) -> DeviceException:
    case, request = step.case, step.request
    state: Any = step.name if step.name in _ENDED else case.stage
    nature: Any = case.nature
    return DeviceException(
        case_id=case.case_id,
        transition=case.transition,
        step=step.name,
        state=state,
        site_id=site_id,
        device_id=device_id,
        model=model,
        cause=step.cause,
        detail=case.detail,
        nature=nature,
        remedy=case.remedy,
        active=step.active,
        began_at=from_ms(case.began_ms),
        recover_by=_moment(case.recover_by_ms),
        due_at=_moment(case.due_ms),
        opened_at=_moment(case.opened_ms),
        repaired_at=_moment(case.repaired_ms),
        assigned_to=case.assigned_to or None,
        result=case.result,
        forced=step.forced,
        operator_id=request.operator_id if request is not None else None,
        request_id=request.request_id if request is not None else None,
        comment=request.reason if request is not None else "",
        decided_at=from_ms(context.now_ms),
        journal=JournalPosition(partition=context.partition, number=context.number),
    )


def _moment(milliseconds: int) -> datetime | None:
    return from_ms(milliseconds) if milliseconds else None


def carry_out(request: RepairRequest, state: State, context: Context, rules: Rules) -> list[Outcome]:
    """What comes of an operator's request.

    Raises:
        Refused: there is no such case, or it is not in a state for that.
    """
    device: Watched | None = state.get(watched_key(request.device_id))
    if device is None or not device.monitored or device.site_id != request.site_id:
        raise Refused("unknown_repair", f"{request.site_id} has no device {request.device_id} that is watched")
    try:
        after, steps = handle(device, request, context.now_ms, rules)
    except NotPossible as refused:
        raise Refused(refused.code, refused.detail) from None
    if any(step.forced for step in steps):
        need_right(request, "force_repairs", context)
    told = exceptions(request.device_id, after.site_id, steps, context)
    return [accepted(request, context, case_id=request.case_id), *told, DeviceKept(request.device_id, after)]


def told_at_site(
    message: DeviceException | OperatorRequestAccepted | OperatorRequestRefused, source: str, context: Context
) -> Output:
    """The record of an exception, or of an answer to an operator."""
    topic = "exceptions"
    if isinstance(message, DeviceException):
        id_ = derive(message.type, message.case_id, message.transition)
    else:
        topic, id_ = "access.decisions", derive(message.type, message.site_id, message.request_id)
    headers = event_headers(id_, source, message.type, rfc3339(message.decided_at))
    return Output(topic, message.site_id.encode(), message.to_json(), headers, context.partition)
