"""The check of the threat level (A2): who enters needs the clearance that the zone's level asks for."""

from __future__ import annotations

from schemas.access import Check
from schemas.vocabulary import Direction, Enforcement, Reason
from streams.core.lockouts import is_exempt
from streams.core.question import PASSED, Findings, Question
from streams.core.threat_state import Held, ThreatsAt, ZoneThreat, zone_threat_key

_CALM: Check = ("threat-level", PASSED, "none")


def check_threat_level(question: Question, findings: Findings) -> None:
    """The clearance of whoever enters a zone against what the levels of it, and of what it lies in, ask for.

    Nobody is kept in, and first responders pass; both are on record.
    """
    threats: ThreatsAt | None = question.state.get(question.place.threats_key)
    if threats is None:
        findings.checks.append(_CALM)
        return
    asking = [
        held for zone_id in question.place.zone_path if zone_id in threats.zones for held in _held(question, zone_id)
    ]
    if not asking:
        findings.checks.append(_CALM)
        return
    asked = max(held.clearance for held in asking)
    known = question.authentication
    clearance = known.cardholder.clearance if known.cardholder is not None and known.failure is None else 0
    level = max(asking, key=lambda held: held.clearance).level
    freely = question.point.direction is Direction.EGRESS or is_exempt(known.credential, known.cardholder)
    findings.note(
        "threat-level",
        Reason.THREAT_LEVEL if clearance < asked else None,
        f"level={level} clearance={clearance}/{asked}",
        Enforcement.SOFT if freely else Enforcement.HARD,
    )


def _held(question: Question, zone_id: str) -> list[Held]:
    """What asks for a clearance at that moment; a level that has run out asks for none."""
    zone: ZoneThreat | None = question.state.get(zone_threat_key(zone_id))
    if zone is None:
        return []
    at_ms = question.event_ms
    sources = (zone.operator, zone.assessment)
    return [held for held in sources if held is not None and (held.until_ms is None or at_ms < held.until_ms)]
