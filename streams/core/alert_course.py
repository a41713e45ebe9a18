"""The course of an alert: told again, raised, acted on, back from the shelf, resolved, closed (M3)."""

from __future__ import annotations

import msgspec

from schemas.alerting import INFORMING
from schemas.alerts import (
    AlertActionTaken,
    AlertActionVerified,
    AlertClosed,
    AlertEscalated,
    AlertRepeated,
    AlertResolved,
    AlertReturnedToNormal,
    AlertSeenAgain,
    AlertSuppressed,
    AlertUnshelved,
    AlertUnsuppressed,
)
from schemas.commands import Probe
from schemas.ids import derive
from schemas.operators import OperatorRequest
from schemas.vocabulary import Severity
from streams.core import alert_outages as outages
from streams.core.alert_state import (
    LIFETIME_MS,
    RECHECK_MS,
    Around,
    AtSite,
    Case,
    Pointer,
    alert_key,
    around_key,
    pointer_key,
    site_key,
)
from streams.core.alert_work import Work
from streams.core.times import from_ms
from streams.core.troubles import OFFLINE

_replace = msgspec.structs.replace
_ACTS = frozenset({Severity.HIGH.value, Severity.CRITICAL.value})
_MOST_STEPS = 32


def due(case: Case, work: Work) -> None:
    """All of an alert that is due by now."""
    for _ in range(_MOST_STEPS):
        found = work.case(case.alert_id)
        if found is None or found.deadline() > work.now_ms:
            return
        _step(found, work)


def _step(case: Case, work: Work) -> None:
    now_ms = work.now_ms
    if case.closed:
        _forget(case, work)
    elif now_ms >= case.raised_ms + LIFETIME_MS:
        close(case if case.over else resolve(case, work, "nobody closed it"), work)
    elif case.resolved_ms is not None and now_ms >= case.resolved_ms + case.close_after_ms:
        close(case, work)
    elif case.shelved_until_ms is not None and now_ms >= case.shelved_until_ms:
        unshelve(case, work)
    elif case.recheck_ms is not None and now_ms >= case.recheck_ms:
        _recheck(case, work)
    elif case.acting is not None and case.acting.due_ms is not None and now_ms >= case.acting.due_ms:
        verify_action(case, work)
    elif case.due_ms is not None and now_ms >= case.due_ms:
        _nobody_answered(case, work)
    else:
        work.tell(AlertSeenAgain, case)


def _nobody_answered(case: Case, work: Work) -> None:
    level, afar = case.level, work.inhibitor_afar(case)
    if afar is not None:
        work.tell(AlertSuppressed, case, suppressed_by=afar, recheck_ms=work.now_ms + RECHECK_MS)
    elif case.kind in INFORMING:
        resolve(case, work, "told")
    elif level is not None and case.told < level.repeats:
        work.tell(AlertRepeated, case, notify=True, told=case.told + 1)
    else:
        escalate(case, work)


def escalate(case: Case, work: Work) -> None:
    """Raise an alert to the next severity, if there is one."""
    names = [level.severity for level in case.levels]
    above = names[names.index(case.severity) + 1 :]
    if above:
        raised = work.tell(AlertEscalated, case, notify=not case.quiet, severity=above[0], told=0)
        start_action(raised, work)


def start_action(case: Case, work: Work) -> Case:
    """Carry an alert's action out for the first time, or go on with it, where its severity asks for it."""
    acting = case.acting
    if acting is None or acting.due_ms is not None or acting.verdict != "pending" or case.quiet:
        return case
    return _act(case, work) if case.severity in _ACTS else case


def _act(case: Case, work: Work) -> Case:
    acting = case.acting
    if acting is None or case.device_id is None:
        return case
    now = _replace(acting, attempt=acting.attempt + 1, due_ms=work.now_ms + acting.verify_ms, verdict="pending")
    case = work.tell(AlertActionTaken, case, acting=now)
    work.publish(
        Probe(
            command_id=derive("probe", case.alert_id, case.transition),
            site_id=case.site_id,
            device_id=case.device_id,
            issued_at=from_ms(work.now_ms),
        )
    )
    return case


def verify_action(case: Case, work: Work) -> None:
    """Whether the last attempt helped: the cause is gone. If not, once more; after the last one the alert is raised."""
    acting = case.acting
    if acting is None:
        return
    if not case.active:
        done = _replace(acting, due_ms=None, verdict="succeeded")
        case = work.tell(AlertActionVerified, case, acting=done)
        resolve(case, work, f"{acting.action} showed that the cause is gone")
        return
    case = work.tell(AlertActionVerified, case, acting=_replace(acting, due_ms=None, verdict="failed"))
    if acting.attempt < acting.attempts:
        _act(case, work)
    elif case.acknowledged_ms is None:
        escalate(case, work)


def unshelve(case: Case, work: Work, request: OperatorRequest | None = None) -> None:
    """Take an alert from the shelf. What nobody has acknowledged is told of again."""
    inhibited = case.suppressed_by is not None
    notify = case.acknowledged_ms is None and not inhibited
    shown = work.tell(AlertUnshelved, case, notify=notify, request=request, shelved_until_ms=None)
    start_action(shown, work)


def resolve(case: Case, work: Work, result: str, request: OperatorRequest | None = None) -> Case:
    """An alert is handled."""
    acting = None if case.acting is None else case.acting.paused()
    return work.tell(
        AlertResolved,
        case,
        request=request,
        resolved_ms=work.now_ms,
        result=result,
        acting=acting,
        shelved_until_ms=None,
        suppressed_by=None,
        recheck_ms=None,
    )


def return_to_normal(case: Case, work: Work) -> None:
    """The cause of an alert is gone. Who had acknowledged it need do no more."""
    if not case.active:
        return
    root = outages.leave(case, work)
    case = work.keep(case, active=False, outage=None)
    if not case.over:
        acting = case.acting
        if acting is not None and acting.due_ms is not None:
            verify_action(case, work)
        elif case.acknowledged_ms is not None:
            told = work.tell(AlertReturnedToNormal, case)
            resolve(told, work, "returned to normal")
        else:
            work.tell(AlertReturnedToNormal, case)
    release(case, work, back=case.kind == OFFLINE)
    if root is not None:
        return_to_normal(root, work)


def release(inhibitor: Case, work: Work, *, back: bool = False) -> None:
    """Let go of what an alert inhibited: what is still there is told of.

    `back`: a controller was offline and is not. Its doors may have closed meanwhile: it is left the time to say so.
    """
    at_site: AtSite | None = work.get(site_key(inhibitor.site_id))
    if at_site is not None and at_site.inhibitor_id == inhibitor.alert_id:
        # There may be thousands: each looks for itself, at its own time.
        work.put(site_key(inhibitor.site_id), None)
    outages.end(inhibitor, work)
    around = work.around(inhibitor)
    if around.inhibitor_id != inhibitor.alert_id or around.until_ms is not None:
        return
    if back:
        work.put_around(inhibitor, _replace(around, until_ms=work.now_ms + work.settle_ms(inhibitor)))
    else:
        settle(around_key(inhibitor.site_id, inhibitor.device_id or ""), work)


def settle(key: str, work: Work) -> None:
    """What was inhibited at a controller is told of now, if it is still there."""
    around: Around = work.get(key) or Around()
    left = _replace(around, inhibitor_id=None, spares=(), until_ms=None)
    work.put(key, left if left.alert_ids else None)
    for alert_id in around.alert_ids:
        case = work.case(alert_id)
        if case is not None and case.suppressed_by is not None and case.suppressed_by == around.inhibitor_id:
            _come_back(case, work)


def _come_back(case: Case, work: Work) -> None:
    """Nothing inhibits an alert any longer."""
    if case.clears and not case.active:
        close(resolve(work.keep(case, suppressed_by=None), work, "returned to normal while suppressed"), work)
        return
    notify = case.shelved_until_ms is None and case.acknowledged_ms is None
    shown = work.tell(AlertUnsuppressed, case, notify=notify, suppressed_by=None, recheck_ms=None)
    start_action(shown, work)


def _recheck(case: Case, work: Work) -> None:
    """Whether what inhibits an alert at the whole site is over."""
    if case.suppressed_by is None:
        work.keep(case, recheck_ms=None)
        return
    by, again_ms = work.inhibitor_afar(case), work.now_ms + RECHECK_MS
    if by is None or not case.active:
        _come_back(case, work)
    elif by == case.suppressed_by:
        work.keep(case, recheck_ms=again_ms)
    else:
        work.tell(AlertSuppressed, case, suppressed_by=by, recheck_ms=again_ms)


def close(case: Case, work: Work, request: OperatorRequest | None = None, *, forced: bool = False) -> None:
    """An alert is over."""
    case = work.tell(AlertClosed, case, request=request, closed=True, forced=forced)
    release(case, work)
    _leave(case, work)
    _forget(case, work)


def _leave(case: Case, work: Work) -> None:
    around = work.around(case)
    kept = tuple(alert_id for alert_id in around.alert_ids if alert_id != case.alert_id)
    work.put_around(case, _replace(around, alert_ids=kept))


def _forget(case: Case, work: Work) -> None:
    """Drop an alert that is closed; what was seen of a low one meanwhile is told."""
    if case.count != case.seen:
        case = work.tell(AlertSeenAgain, case)
    root = outages.leave(case, work) if case.active else None
    work.put(alert_key(case.alert_id), None)
    pointer: Pointer | None = work.get(pointer_key(case.dedup_key))
    if pointer is not None and pointer.alert_id == case.alert_id:
        work.put(pointer_key(case.dedup_key), None)
    if root is not None:
        return_to_normal(root, work)
