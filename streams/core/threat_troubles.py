"""What somebody is told of threats and abnormal passages, with how they were assessed (M2).

A threat's alert is of the kind of its level and stands as long as what it began: heightened monitoring, or the zone's
level. A high one carries the plan that is proposed, and the command that starts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.threats import AbnormalPassage, Assessment, MonitoringEnded, ThreatAssessed, ThreatLevelCleared
from schemas.vocabulary import Severity, ThreatLevel
from streams.core.alert_state import Assessed
from streams.core.troubles import LONGEST_SUMMARY, Ended, Event, Tellers, Trouble

ABNORMAL = "abnormal_passage"
LOW, MEDIUM, HIGH = "threat_low", "threat_medium", "threat_high"
THREATS = frozenset({LOW, MEDIUM, HIGH})
_SEVERITIES = {
    ThreatLevel.LOW: Severity.LOW,
    ThreatLevel.MEDIUM: Severity.MEDIUM,
    ThreatLevel.HIGH: Severity.HIGH,
    ThreatLevel.EXTREME: Severity.CRITICAL,
}


def _threat(message: ThreatAssessed) -> Iterator[Event]:
    kind, where, clears = LOW, f"{message.kind}/{message.zone_id}", False
    if message.scope_zone_id is not None:
        kind, where, clears = HIGH, f"zone/{message.scope_zone_id}", True
    elif message.monitored_until is not None:
        kind, where, clears = MEDIUM, message.monitoring_of or f"zone/{message.zone_id}", True
    elif message.assessment.level is not ThreatLevel.LOW:
        kind = MEDIUM
    yield Trouble(
        kind=kind,
        where=where,
        cause_id=message.threat_id,
        summary=f"{message.summary}: a {message.assessment.level} threat ({message.assessment.score} points)"[
            :LONGEST_SUMMARY
        ],
        clears=clears,
        assessed=_assessed(message.assessment, message.threat_id, message.response, message.confirm),
        plan=message.plan_proposed,
        **_at(message),
    )


def _passage(message: AbnormalPassage) -> Iterator[Event]:
    if message.kind == "soft_breach" and message.assessment.level is ThreatLevel.LOW:
        # It is only recorded, and the decision tells of it.
        return
    yield Trouble(
        kind=ABNORMAL,
        where=_about(message),
        cause_id=message.event_id,
        summary=message.summary[:LONGEST_SUMMARY],
        assessed=_assessed(message.assessment),
        severity=_SEVERITIES[message.assessment.level].value,
        raisable=message.kind != "monitored_passage",
        **_at(message),
    )


def _monitoring_ended(message: MonitoringEnded) -> Iterator[Event]:
    yield Ended(message.site_id, MEDIUM, f"{message.subject}/{message.subject_id}")


def _level_cleared(message: ThreatLevelCleared) -> Iterator[Event]:
    if message.source == "assessment":
        yield Ended(message.site_id, HIGH, f"zone/{message.zone_id}")


def _about(message: AbnormalPassage) -> str:
    """What is one alert; passages like any other in a monitored zone are counted on one of the zone."""
    personal = any(factor.name == "monitored_person" for factor in message.assessment.factors)
    if message.kind == "monitored_passage" and message.zone_id is not None and not personal:
        return f"{message.kind}/{message.site_id}/zone/{message.zone_id}"
    return f"{message.kind}/{message.threat_key}"


def _at(message: ThreatAssessed | AbnormalPassage) -> dict[str, Any]:
    """Where and who; under no controller, so that its silence does not hide a threat."""
    names = ("site_id", "type", "door_id", "access_point_id", "cardholder_id")
    found = {name: getattr(message, name) for name in names}
    return {**found, "place": message.door_id or message.access_point_id}


def _assessed(found: Assessment, threat_id: str | None = None, response: str = "", confirm: str = "") -> Assessed:
    factors = tuple((factor.name, factor.points, factor.detail) for factor in found.factors)
    return Assessed(found.level.value, found.score, factors, threat_id, response, confirm)


TELLERS: Tellers = {
    ThreatAssessed: _threat,
    AbnormalPassage: _passage,
    MonitoringEnded: _monitoring_ended,
    ThreatLevelCleared: _level_cleared,
}
"""What is told of threats and abnormal passages."""
