"""Heightened monitoring as alerts see it: what it is of has its alerts raised by one level (A5)."""

from __future__ import annotations

from typing import Any

from schemas.threats import Monitoring, MonitoringEnded
from schemas.vocabulary import Severity
from streams.core.alert_state import Heightened, heightened_key
from streams.core.alert_work import Work
from streams.core.threat_places import locus
from streams.core.threat_troubles import THREATS
from streams.core.times import to_ms
from streams.core.troubles import Trouble

_NEXT = {
    Severity.LOW: Severity.MEDIUM,
    Severity.MEDIUM: Severity.HIGH,
    Severity.HIGH: Severity.CRITICAL,
    Severity.CRITICAL: Severity.CRITICAL,
}


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


def severity_of(trouble: Trouble, usual: Severity, work: Work) -> Severity:
    """How severe a trouble is: as it was assessed or as usual, and a level more of what is monitored."""
    severity = usual if trouble.severity is None else Severity(trouble.severity)
    if trouble.kind in THREATS or not trouble.raisable:
        return severity
    known: Heightened | None = work.get(heightened_key(trouble.site_id))
    if known is None:
        return severity
    names = [f"cardholder/{trouble.cardholder_id}"]
    if trouble.access_point_id or trouble.door_id or trouble.device_id:
        where = locus(
            work.context.references, trouble.site_id, access_point_id=trouble.access_point_id,
            door_id=trouble.door_id, device_id=trouble.device_id,
        )  # fmt: skip
        names += [f"zone/{zone_id}" for zone_id in where.path]
    watched = any(known.until.get(name, 0) > work.now_ms for name in names)
    return _NEXT[severity] if watched else severity
