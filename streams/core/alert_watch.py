"""What raises alerts by one level: heightened monitoring of a zone or person (A5), and a lockdown of the zone (E2)."""

from __future__ import annotations

from typing import Any

from schemas.incidents import LockdownEscalated, LockdownReleased, LockdownReleasing, LockdownStarted
from schemas.threats import Monitoring, MonitoringEnded
from schemas.vocabulary import Severity
from streams.core.alert_state import Heightened, Locked, heightened_key, locked_key
from streams.core.alert_work import Work
from streams.core.emergency_troubles import UNCONFIRMED
from streams.core.threat_places import locus
from streams.core.threat_troubles import THREATS
from streams.core.times import to_ms
from streams.core.troubles import LONGEST_SUMMARY, Trouble

_NEXT = {
    Severity.LOW: Severity.MEDIUM,
    Severity.MEDIUM: Severity.HIGH,
    Severity.HIGH: Severity.CRITICAL,
    Severity.CRITICAL: Severity.CRITICAL,
}
_MOVES = (LockdownStarted, LockdownEscalated, LockdownReleasing, LockdownReleased)
_AS_THEY_ARE = THREATS | {UNCONFIRMED}
"""A threat is assessed with all of its circumstances, and an unconfirmed door is no event but the lockdown's own."""


def note_monitoring(message: Any, work: Work) -> None:
    """Remember what is under heightened monitoring, and until when."""
    if not isinstance(message, Monitoring):
        return
    key = heightened_key(message.site_id)
    known: Heightened | None = work.get(key)
    until = {} if known is None else {name: end for name, end in known.until.items() if end > work.now_ms}
    name = f"{message.subject}/{message.subject_id}"
    until.pop(name, None)
    if not isinstance(message, MonitoringEnded):
        until[name] = to_ms(message.until)
    work.put(key, Heightened(until) if until else None)


def note_lockdown(message: Any, work: Work) -> None:
    """Remember what is locked down; what happens during a drill is no worse for it, with or without commands."""
    if not isinstance(message, _MOVES) or message.drill:
        return
    key = locked_key(message.site_id)
    known: Locked | None = work.get(key)
    zones = {} if known is None else dict(known.zones)
    zones.pop(message.incident_id, None)
    if isinstance(message, LockdownStarted | LockdownEscalated):
        zones[message.incident_id] = message.zone_id
    work.put(key, Locked(zones) if zones else None)


def severity_of(trouble: Trouble, usual: Severity, work: Work) -> tuple[Severity, str]:
    """How severe a trouble is, as it was assessed or as usual; and why it is a level more, where it is.

    That is what happens in a zone under lockdown (E2), or to whom or what is monitored.
    """
    severity = usual if trouble.severity is None else Severity(trouble.severity)
    if trouble.kind in _AS_THEY_ARE:
        return severity, ""
    why = _locked(trouble, work) or (_monitored(trouble, work) if trouble.raisable else "")
    raised = _NEXT[severity]
    return (raised, f"raised from {severity}: {why}") if why and raised is not severity else (severity, "")


def explained(summary: str, why: str) -> str:
    """A summary that says why its alert was raised by a level."""
    return f"{summary[: LONGEST_SUMMARY - len(why) - 3]} ({why})" if why else summary


def _locked(trouble: Trouble, work: Work) -> str:
    known: Locked | None = work.get(locked_key(trouble.site_id))
    if known is None:
        return ""
    path, locked = _zones(trouble, work), set(known.zones.values())
    return next((f"{zone_id} is locked down" for zone_id in path if zone_id in locked), "")


def _monitored(trouble: Trouble, work: Work) -> str:
    known: Heightened | None = work.get(heightened_key(trouble.site_id))
    if known is None:
        return ""
    names = [("cardholder", trouble.cardholder_id), *(("zone", zone_id) for zone_id in _zones(trouble, work))]
    watched = (id_ for kind, id_ in names if known.until.get(f"{kind}/{id_}", 0) > work.now_ms)
    return next((f"{id_} is monitored" for id_ in watched), "")


def _zones(trouble: Trouble, work: Work) -> tuple[str, ...]:
    """The zones that a trouble is in, innermost first; none of what is nowhere in particular."""
    if not (trouble.access_point_id or trouble.door_id or trouble.device_id):
        return ()
    where = locus(
        work.context.references, trouble.site_id, access_point_id=trouble.access_point_id, door_id=trouble.door_id,
        device_id=trouble.device_id,
    )  # fmt: skip
    return where.path
