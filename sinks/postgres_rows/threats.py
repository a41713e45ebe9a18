"""Threats with their assessment, and all that followed; those of duress in a table of their own."""

from __future__ import annotations

from typing import Any

from schemas.alerts import DURESS
from schemas.base import part_to_json
from schemas.record import Record
from schemas.threats import ThreatAssessed, ThreatEvent
from sinks.postgres_rows.table import Maker, Row, Table, json_text
from sinks.reading import within

THREATS = Table(
    "threats",
    {
        "threat_id": "text",
        "site_id": "text",
        "kind": "text",
        "level": "text",
        "score": "bigint",
        "factors": "jsonb",
        "response": "text",
        "summary": "text",
        "zone_id": "text",
        "door_id": "text",
        "access_point_id": "text",
        "device_id": "text",
        "cardholder_id": "text",
        "cause_type": "text",
        "cause_id": "text",
        "plan_proposed": "text",
        "scope_zone_id": "text",
        "monitored_until": "timestamptz",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
    },
    ("threat_id", "incarnation"),
)
DURESS_THREATS = THREATS._replace(name="duress_threats")
THREAT_EVENTS = Table(
    "threat_events",
    {
        "event_id": "text",
        "type": "text",
        "site_id": "text",
        "threat_key": "text",
        "threat_id": "text",
        "zone_id": "text",
        "cardholder_id": "text",
        "level": "text",
        "source": "text",
        "until": "timestamptz",
        "cause": "text",
        "operator_id": "text",
        "request_id": "text",
        "reason": "text",
        "decided_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("event_id", "incarnation"),
)


def _threat(message: ThreatAssessed, _record: Record) -> Row:
    found = message.assessment
    factors = b"[" + b",".join(part_to_json(factor) for factor in found.factors) + b"]"
    what = (message.threat_id, message.site_id, message.kind, found.level, found.score, factors.decode())
    where = (message.zone_id, message.door_id, message.access_point_id, message.device_id, message.cardholder_id)
    until = None if message.monitored_until is None else within(message.monitored_until)
    plan = (message.cause_type, message.cause_id, message.plan_proposed, message.scope_zone_id, until)
    when = (within(message.occurred_at), within(message.decided_at))
    return (*what, message.response, message.summary, *where, *plan, *when)


def _openly(message: ThreatAssessed, record: Record) -> Row | None:
    return None if message.kind == DURESS else _threat(message, record)


def _silently(message: ThreatAssessed, record: Record) -> Row | None:
    return _threat(message, record) if message.kind == DURESS else None


def _event(message: ThreatEvent, record: Record) -> Row:
    given: Any = message
    until, assessment = getattr(given, "until", None), getattr(given, "assessment", None)
    level = assessment.level if assessment is not None else getattr(given, "level", None)
    subject = getattr(given, "subject", None)
    zone_id = given.subject_id if subject == "zone" else getattr(given, "zone_id", None)
    cardholder_id = given.subject_id if subject == "cardholder" else getattr(given, "cardholder_id", None)
    return (
        given.event_id,
        given.type,
        given.site_id,
        given.threat_key,
        getattr(given, "threat_id", None),
        zone_id,
        cardholder_id,
        level,
        getattr(given, "source", None),
        None if until is None else within(until),
        getattr(given, "cause", None),
        getattr(given, "operator_id", None),
        getattr(given, "request_id", None),
        getattr(given, "reason", ""),
        within(given.decided_at),
        json_text(given, record),
        record.offset,
    )


TABLES = (THREATS, DURESS_THREATS, THREAT_EVENTS)
MAKERS: dict[type, tuple[Maker, ...]] = {
    ThreatAssessed: ((THREATS, _openly), (DURESS_THREATS, _silently)),
    ThreatEvent: ((THREAT_EVENTS, _event),),
}
