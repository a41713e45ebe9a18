"""What operators do about alerts (M3): acknowledge, comment, assign, shelve, resolve, close."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas.alert_requests import (
    AcknowledgeAlert,
    AlertRequest,
    AssignAlert,
    CloseAlert,
    CommentAlert,
    ResolveAlert,
    ShelveAlert,
)
from schemas.alerts import DURESS, AlertAcknowledged, AlertAssigned, AlertCommented, AlertShelved
from streams.core import alert_course as course
from streams.core.alert_state import Case
from streams.core.alert_work import Work
from streams.core.operator_admission import Refused, accepted, need_right
from streams.core.processor import Context, Outcome, State

RIGHTS: Mapping[str, str] = {
    "alert_acknowledged": "acknowledge_alerts",
    "alert_commented": "acknowledge_alerts",
    "alert_assigned": "acknowledge_alerts",
    "alert_shelved": "shelve_alerts",
    "alert_resolved": "acknowledge_alerts",
    "alert_closed": "acknowledge_alerts",
}
"""The right that each request needs; closing what is still active needs `force_alerts` besides."""

DURESS_RIGHTS: Mapping[str, str] = dict.fromkeys(RIGHTS, "monitor_duress")
"""The same of alerts of duress."""


def handle(request: AlertRequest, state: State, context: Context) -> Iterable[Outcome]:
    """Carry out a request about an alert that everybody may know of.

    Raises:
        Refused: there is no such alert, or it is not in a state for that.
    """
    return _handle(request, Work(state, context), duress=False)


def handle_duress(request: AlertRequest, state: State, context: Context) -> Iterable[Outcome]:
    """Carry out a request about an alert of duress.

    Raises:
        Refused: there is no such alert, or it is not in a state for that.
    """
    return _handle(request, Work(state, context), duress=True)


def _handle(request: AlertRequest, work: Work, *, duress: bool) -> Iterable[Outcome]:
    case = work.case(request.alert_id)
    if case is None or case.site_id != request.site_id or case.closed or (case.kind == DURESS) != duress:
        raise Refused("unknown_alert", f"{request.site_id} has no open alert {request.alert_id}: see `alerts list`")
    _HANDLERS[type(request)](request, case, work)
    return [accepted(request, work.context, alert_id=request.alert_id), *work.outcomes()]


def _acknowledge(request: AcknowledgeAlert, case: Case, work: Work) -> None:
    if case.over:
        raise Refused("not_possible", f"it is {case.state}: there is nothing to acknowledge")
    if case.acknowledged_ms is not None:
        raise Refused("not_possible", f"{case.acknowledged_by} has acknowledged it")
    told = work.tell(AlertAcknowledged, case, request=request, shelved_until_ms=None, **_by(request, work))
    if told.clears and not told.active:
        course.resolve(told, work, "returned to normal")


def _by(request: AlertRequest, work: Work) -> dict[str, Any]:
    return {"acknowledged_ms": work.now_ms, "acknowledged_by": request.operator_id}


def _comment(request: CommentAlert, case: Case, work: Work) -> None:
    if not request.reason.strip():
        raise Refused("not_possible", "there is no comment: give it as the reason")
    work.tell(AlertCommented, case, request=request)


def _assign(request: AssignAlert, case: Case, work: Work) -> None:
    work.tell(AlertAssigned, case, request=request, assigned_to=request.assigned_to)


def _shelve(request: ShelveAlert, case: Case, work: Work) -> None:
    most_s = work.rules(case.site_id).shelve_at_most_s
    if case.kind == DURESS or case.over:
        what = "an alert of duress" if case.kind == DURESS else f"what is {case.state}"
        raise Refused("not_possible", f"{what} is not shelved")
    if request.shelve_s > most_s:
        raise Refused("not_possible", f"the policy shelves for {most_s} s at most")
    if request.shelve_s:
        until_ms = work.now_ms + request.shelve_s * 1000
        acting = case.acting and case.acting.paused()
        work.tell(AlertShelved, case, request=request, shelved_until_ms=until_ms, acting=acting)
    elif case.shelved_until_ms is None:
        raise Refused("not_possible", "it is not shelved")
    else:
        course.unshelve(case, work, request)


def _resolve(request: ResolveAlert, case: Case, work: Work) -> None:
    if case.over:
        raise Refused("not_possible", f"it is {case.state} already")
    if case.active:
        raise Refused("still_active", f"its cause is still there: {case.summary}")
    course.resolve(_known(request, case, work), work, request.result, request)


def _close(request: CloseAlert, case: Case, work: Work) -> None:
    if case.active and not request.force:
        raise Refused("still_active", f"its cause is still there: {case.summary}; who may force it can close it")
    if case.active:
        need_right(request, "force_alerts", work.context)
    result = request.result or case.result
    if not result.strip():
        raise Refused("not_possible", "say how it was handled: give a result")
    case = work.keep(_known(request, case, work), result=result)
    course.close(case, work, request, forced=case.active)


def _known(request: AlertRequest, case: Case, work: Work) -> Case:
    """Who resolves or closes an alert knows of it."""
    return work.keep(case, **_by(request, work)) if case.acknowledged_ms is None else case


_HANDLERS: Mapping[type, Callable[[Any, Case, Work], None]] = {
    AcknowledgeAlert: _acknowledge,
    CommentAlert: _comment,
    AssignAlert: _assign,
    ShelveAlert: _shelve,
    ResolveAlert: _resolve,
    CloseAlert: _close,
}
