"""Raising, grouping, inhibiting, and the return to normal (M3)."""

from __future__ import annotations

import msgspec

from schemas.alerting import AlertKind, AlertRules
from schemas.alerts import (
    DURESS,
    AlertClosed,
    AlertRaised,
    AlertRepeated,
    AlertSeenAgain,
    AlertSuppressed,
)
from schemas.ids import derive
from schemas.vocabulary import Severity
from streams.core import alert_outages as outages
from streams.core.alert_course import return_to_normal, start_action
from streams.core.alert_state import (
    LED_TO_FOR_MS,
    LED_TO_KEPT,
    LOW,
    RECHECK_MS,
    Acting,
    Around,
    AtSite,
    Case,
    Led,
    Level,
    Pointer,
    Recent,
    pointer_key,
    recent_key,
    site_key,
)
from streams.core.alert_watch import explained, severity_of
from streams.core.alert_work import Work
from streams.core.troubles import NETWORK_OUTAGE, DeviceGone, Ended, Event, Trouble, led_of

MONITORING = ("monitoring",)
"""Who alone is told of duress."""

MOST_AROUND = 64
"""Alerts of one controller that are held together; a further one looks for itself whether it is inhibited."""

_replace = msgspec.structs.replace


def happen(event: Event, work: Work) -> None:
    """A trouble, the end of one, or what is known of one now."""
    if isinstance(event, Trouble):
        _trouble(event, work)
    elif isinstance(event, DeviceGone):
        _gone(event, work)
    else:
        pointer: Pointer | None = work.get(pointer_key(event.dedup_key))
        case = work.case(pointer.alert_id) if pointer is not None else None
        if case is None:
            return
        if isinstance(event, Ended):
            return_to_normal(case, work)
        elif case.active and not case.over:
            # Whoever has acknowledged it may be waiting for its recovery.
            work.tell(AlertRepeated, case, notify=not case.quiet, summary=explained(event.summary, case.raised))


def _gone(event: DeviceGone, work: Work) -> None:
    for alert_id in work.around_device(event.site_id, event.device_id).alert_ids:
        case = work.case(alert_id)
        if case is not None:
            return_to_normal(case, work)


def _trouble(trouble: Trouble, work: Work) -> None:
    shared = outages.fall_silent(trouble, work)
    if shared is not None:
        _trouble(shared, work)
    led_to = _remember(trouble, work)
    pointer: Pointer | None = work.get(pointer_key(trouble.dedup_key))
    known = work.case(pointer.alert_id) if pointer is not None else None
    if known is not None and _takes(known, work.now_ms):
        _seen_again(known, work)
    else:
        _raise(trouble, led_to, work)


def _remember(trouble: Trouble, work: Work) -> tuple[Led, ...]:
    """Remember a trouble at its place; gives what led to it, itself included. Nobody is to find duress there."""
    led = led_of(trouble, work.now_ms)
    if trouble.place is None:
        return (*trouble.before, led)
    key = recent_key(trouble.site_id, trouble.place)
    known: Recent | None = work.get(key)
    before = [one for one in known.led if one.at_ms > work.now_ms - LED_TO_FOR_MS] if known is not None else []
    if trouble.kind != DURESS:
        kept = (*before, led)[-LED_TO_KEPT:]
        work.put(key, Recent(kept, work.now_ms + LED_TO_FOR_MS))
    found = sorted([*before, *trouble.before], key=lambda one: one.at_ms)
    return (*found, led)[-LED_TO_KEPT:]


def _takes(case: Case, now_ms: int) -> bool:
    """Whether what comes again belongs to an alert: in its window or while its cause is active, and not handled.

    A low alert is closed as soon as it is recorded and still counts until its window ends.
    """
    if case.resolved_ms is not None and not (case.severity == LOW and case.closed):
        return False
    return now_ms < case.window_until_ms or (case.active and not case.closed)


def _seen_again(case: Case, work: Work) -> None:
    until_ms = case.window_until_ms if work.now_ms < case.window_until_ms else work.now_ms + case.window_ms
    case = work.keep(case, count=case.count + 1, window_until_ms=until_ms)
    if case.clears and not case.active and not case.closed:
        case = work.tell(AlertSeenAgain, outages.joined(case, work), active=True)
        outages.suppress(case, work)
        _explain(case, work)
    elif case.kind == NETWORK_OUTAGE and not case.closed:
        outages.begin(case, work)


def _raise(trouble: Trouble, led_to: tuple[Led, ...], work: Work) -> None:
    handling = work.handling(trouble.site_id)
    rules, kind = handling.rules, handling.kind(trouble.kind)
    severity, why = (Severity.CRITICAL, "") if trouble.kind == DURESS else severity_of(trouble, kind.severity, work)
    case = Case(
        alert_id=derive("alert", trouble.dedup_key, trouble.cause_id),
        site_id=trouble.site_id,
        kind=trouble.kind,
        severity=severity.value,
        dedup_key=trouble.dedup_key,
        cause_id=trouble.cause_id,
        summary=explained(trouble.summary, why),
        raised=why,
        raised_ms=work.now_ms,
        window_ms=kind.window_s * 1000,
        window_until_ms=work.now_ms + kind.window_s * 1000,
        close_after_ms=rules.close_after_s * 1000,
        door_id=trouble.door_id,
        access_point_id=trouble.access_point_id,
        device_id=trouble.device_id,
        cardholder_id=trouble.cardholder_id,
        clears=trouble.clears,
        active=trouble.clears,
        levels=_levels(handling.levels[severity], trouble.kind),
        procedure=kind.procedure,
        plan=None if trouble.kind == DURESS else trouble.plan or kind.plan,
        led_to=led_to,
        assessed=trouble.assessed,
        acting=_acting(rules, kind),
        upstream=outages.part_of(trouble.device_id, work) if trouble.upstream is None else trouble.upstream,
    )
    case = outages.joined(case, work)
    work.put(pointer_key(case.dedup_key), Pointer(case.alert_id))
    if severity is Severity.LOW:
        recorded = work.tell(AlertRaised, case)
        work.tell(AlertClosed, recorded, resolved_ms=work.now_ms, closed=True, result="recorded")
        return
    _raise_above_low(case, work)


def _raise_above_low(case: Case, work: Work) -> None:
    around, rule = work.around(case), work.inhibition(case)
    explains = rule is not None and not rule.only
    held = case.device_id is not None and case.kind != DURESS and (explains or len(around.alert_ids) < MOST_AROUND)
    # What inhibited a controller's alerts until it settles doesn't hide that it is gone again.
    settling = explains and around.until_ms is not None
    here = around.inhibitor_id if held and case.kind not in around.spares and not settling else None
    if held:
        work.put_around(case, _replace(around, alert_ids=(*around.alert_ids, case.alert_id)))
    afar = work.inhibitor_afar(case)
    if afar is not None:
        case = work.tell(AlertRaised, case, suppressed_by=afar, recheck_ms=work.now_ms + RECHECK_MS)
    elif here is not None:
        case = work.tell(AlertRaised, case, suppressed_by=here)
    else:
        case = work.tell(AlertRaised, case, notify=True)
        case = start_action(case, work)
    _explain(case, work)


def _explain(case: Case, work: Work) -> None:
    """An alert may explain the others of its controller, which wait until its cause is gone."""
    if case.kind == NETWORK_OUTAGE:
        outages.begin(case, work)
        return
    rule = work.inhibition(case)
    if rule is None:
        return
    if rule.only:
        work.put(site_key(case.site_id), AtSite(case.alert_id, tuple(rule.only)))
        outages.suppress_all(case.site_id, work)
        return
    around = work.around(case)
    if case.alert_id not in around.alert_ids:
        return
    if around.inhibitor_id is None or around.until_ms is not None:
        now = _replace(around, inhibitor_id=case.alert_id, spares=tuple(rule.spares), until_ms=None)
        work.put_around(case, now)
        _inhibit(now, around.inhibitor_id, work)


def _levels(levels: tuple[Level, ...], kind: str) -> tuple[Level, ...]:
    return tuple([_replace(level, recipients=MONITORING) for level in levels]) if kind == DURESS else levels


def _acting(rules: AlertRules, kind: AlertKind) -> Acting | None:
    if kind.action is None or kind.kind == DURESS:
        return None
    return Acting(kind.action, rules.attempts, rules.verify_within_s * 1000)


def _inhibit(around: Around, before: str | None, work: Work) -> None:
    """What the inhibitor explains waits until it is over, as does what waited for the one `before` it.

    What somebody has acknowledged is theirs.
    """
    for alert_id in around.alert_ids:
        case = work.case(alert_id)
        if case is None or alert_id == around.inhibitor_id or case.kind in around.spares:
            continue
        waits = case.suppressed_by is not None and case.suppressed_by == before != around.inhibitor_id
        if waits or (not case.quiet and case.acknowledged_ms is None):
            work.tell(
                AlertSuppressed, case, suppressed_by=around.inhibitor_id, acting=case.acting and case.acting.paused()
            )
