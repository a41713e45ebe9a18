"""Every threat, everything that followed, and every abnormal passage; nothing of duress."""

from __future__ import annotations

from typing import Any

from schemas.alerts import DURESS
from schemas.record import Record
from schemas.threats import ThreatEvent
from sinks.clickhouse_rows.table import TIME, WORD, WORDS, Columns, Maker, Row, ms, number
from sinks.reading import whole

THREAT_EVENTS: dict[str, str] = {
    "event_id": "UUID",
    "type": WORD,
    "site_id": WORD,
    "threat_key": "String",
    "threat_id": "String",
    "kind": WORD,
    "level": WORD,
    "score": "Int64",
    "factors": WORDS,
    "response": WORD,
    "source": WORD,
    "zone_id": WORD,
    "door_id": WORD,
    "access_point_id": WORD,
    "device_id": WORD,
    "cardholder_id": "String",
    "cause": WORD,
    "operator_id": "String",
    "until": f"Nullable({TIME})",
    "at": TIME,
}


def _event(message: ThreatEvent, _record: Record) -> Row | None:
    given: Any = message
    if getattr(given, "kind", "") == DURESS:
        # Everybody who may ask here would learn of it.
        return None
    assessment = getattr(given, "assessment", None)
    subject, until = getattr(given, "subject", None), getattr(given, "until", None)
    zone_id = given.subject_id if subject == "zone" else getattr(given, "zone_id", None)
    cardholder_id = given.subject_id if subject == "cardholder" else getattr(given, "cardholder_id", None)
    what = (
        number(given.event_id),
        given.type,
        given.site_id,
        given.threat_key,
        getattr(given, "threat_id", None) or "",
    )
    level = assessment.level if assessment is not None else getattr(given, "level", "")
    score = whole(assessment.score) if assessment is not None else 0
    factors = [factor.name for factor in assessment.factors] if assessment is not None else []
    how = (getattr(given, "kind", ""), level, score, factors, getattr(given, "response", ""))
    where = [getattr(given, name, None) or "" for name in ("door_id", "access_point_id", "device_id")]
    who = (cardholder_id or "", getattr(given, "cause", ""), getattr(given, "operator_id", None) or "")
    end = None if until is None else ms(until)
    return (*what, *how, getattr(given, "source", ""), zone_id or "", *where, *who, end, ms(given.decided_at))


TABLES: dict[str, Columns] = {"threat_events_rows": THREAT_EVENTS}
MAKERS: dict[type, Maker] = {ThreatEvent: ("threat_events_rows", _event)}
