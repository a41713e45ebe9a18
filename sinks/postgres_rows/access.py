"""Decisions, passages, who is where, and refused messages."""

from __future__ import annotations

from schemas.access import AccessDenied, AccessGranted, AccessNotTaken, AccessTaken, Decision, MessageRefused, Passage
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, Table, json_text, newest
from sinks.reading import whole, within

DECISIONS = Table(
    "decisions",
    {
        "decision_id": "uuid",
        "request_id": "uuid",
        "site_id": "text",
        "device_id": "text",
        "access_point_id": "text",
        "door_id": "text",
        "zone_from": "text",
        "zone_to": "text",
        "cardholder_id": "text",
        "credential_id": "text",
        "permission_id": "text",
        "outcome": "text",
        "reason": "text",
        "direction": "text",
        "timeliness": "text",
        "classification": "text",
        "age_ms": "bigint",
        "actuated": "boolean",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
        "value": "jsonb",
    },
    ("decision_id", "incarnation"),
)
PASSAGES = Table(
    "passages",
    {
        "decision_id": "uuid",
        "site_id": "text",
        "door_id": "text",
        "zone_from": "text",
        "zone_to": "text",
        "cardholder_id": "text",
        "direction": "text",
        "outcome": "text",
        "evidence": "text",
        "granted_at": "timestamptz",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
    },
    ("decision_id", "incarnation"),
)
PRESENCE = newest(
    "presence",
    {
        "site_id": "text",
        "cardholder_id": "text",
        "zone_id": "text",
        "since": "timestamptz",
        "decision_id": "uuid",
        "position": "bigint",
    },
    ("site_id", "cardholder_id"),
)
REFUSALS = Table(
    "refusals",
    {
        "refusal_id": "uuid",
        "site_id": "text",
        "device_id": "text",
        "message_type": "text",
        "topic": "text",
        "partition": "integer",
        "position": "bigint",
        "reason": "text",
        "detail": "text",
        "decided_at": "timestamptz",
    },
    ("refusal_id", "incarnation"),
)


def _granted(message: Decision, record: Record) -> Row:
    return _decision(message, "granted", record)


def _denied(message: Decision, record: Record) -> Row:
    return _decision(message, "denied", record)


def _decision(message: Decision, outcome: str, record: Record) -> Row:
    return (
        message.decision_id,
        message.request_id,
        message.site_id,
        message.device_id,
        message.access_point_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id,
        message.credential_id,
        message.permission_id,
        outcome,
        message.reason,
        message.direction,
        message.timeliness,
        message.classification,
        whole(message.age_ms),
        message.actuated,
        within(message.occurred_at),
        within(message.decided_at),
        json_text(message, record),
    )


def _taken(message: AccessTaken, _record: Record) -> Row:
    return _passage(message, "taken", message.evidence)


def _not_taken(message: AccessNotTaken, _record: Record) -> Row:
    return _passage(message, "not_taken", None)


def _passage(message: Passage, outcome: str, evidence: str | None) -> Row:
    return (
        message.decision_id,
        message.site_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id,
        message.direction,
        outcome,
        evidence,
        within(message.granted_at),
        within(message.occurred_at),
        within(message.decided_at),
    )


def _presence(message: AccessTaken, record: Record) -> Row | None:
    if message.cardholder_id is None:
        return None
    where = (message.site_id, message.cardholder_id, message.zone_to)
    return (*where, within(message.decided_at), message.decision_id, record.offset)


def _refusal(message: MessageRefused, _record: Record) -> Row:
    where = (message.topic, message.partition, whole(message.offset))
    who = (message.refusal_id, message.site_id, message.device_id, message.message_type)
    return (*who, *where, message.reason, message.detail, within(message.decided_at))


TABLES = (DECISIONS, PASSAGES, PRESENCE, REFUSALS)
MAKERS: dict[type, tuple[Maker, ...]] = {
    AccessGranted: ((DECISIONS, _granted),),
    AccessDenied: ((DECISIONS, _denied),),
    AccessTaken: ((PASSAGES, _taken), (PRESENCE, _presence)),
    AccessNotTaken: ((PASSAGES, _not_taken),),
    MessageRefused: ((REFUSALS, _refusal),),
}
