"""Decisions, passages and refused messages."""

from __future__ import annotations

from schemas.access import AccessDenied, AccessGranted, AccessNotTaken, AccessTaken, Decision, MessageRefused, Passage
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, WORDS, Columns, Maker, Row, ms, number
from sinks.reading import whole

DECISIONS: dict[str, str] = {
    "decision_id": "UUID",
    "request_id": "UUID",
    "site_id": WORD,
    "device_id": WORD,
    "access_point_id": WORD,
    "door_id": WORD,
    "zone_from": WORD,
    "zone_to": WORD,
    "cardholder_id": "String",
    "credential_id": "String",
    "permission_id": "String",
    "outcome": WORD,
    "reason": WORD,
    "failed_checks": WORDS,
    "soft_breaches": WORDS,
    "method": WORD,
    "fused_score": "Nullable(Float64)",
    "direction": WORD,
    "timeliness": WORD,
    "classification": WORD,
    "actuated": "Bool",
    "difference": "Bool",
    "age_ms": "Int64",
    "occurred_at": TIME,
    "decided_at": TIME,
    "policy_version": WORD,
    "recorded_outcome": WORD,
    "recorded_reason": WORD,
    "recorded_mode": WORD,
    "snapshot_version": "String",
    "difference_cause": WORD,
    "exception": WORD,
    "permission_state": WORD,
    "retried": "Bool",
    "drill": "Bool",
}
PASSAGES: dict[str, str] = {
    "decision_id": "UUID",
    "site_id": WORD,
    "door_id": WORD,
    "zone_from": WORD,
    "zone_to": WORD,
    "cardholder_id": "String",
    "direction": WORD,
    "outcome": WORD,
    "evidence": WORD,
    "granted_at": TIME,
    "occurred_at": TIME,
    "decided_at": TIME,
}
REFUSALS: dict[str, str] = {
    "refusal_id": "UUID",
    "site_id": "String",
    "device_id": "String",
    "message_type": WORD,
    "topic": WORD,
    "partition": "UInt32",
    "position": "UInt64",
    "reason": WORD,
    "decided_at": TIME,
}


def _granted(message: AccessGranted, _record: Record) -> Row:
    return _decision(message, "granted", drill=False)


def _denied(message: AccessDenied, _record: Record) -> Row:
    return _decision(message, "denied", drill=message.drill)


def _decision(message: Decision, outcome: str, *, drill: bool) -> Row:
    exception = message.exception
    judged = ("", "", False)
    if exception is not None:
        judged = (exception.kind, exception.permission_state or "", exception.retried)
    return (
        number(message.decision_id),
        number(message.request_id),
        message.site_id,
        message.device_id,
        message.access_point_id,
        message.door_id or "",
        message.zone_from or "",
        message.zone_to or "",
        message.cardholder_id or "",
        message.credential_id or "",
        message.permission_id or "",
        outcome,
        message.reason or "",
        message.failed_checks,
        message.soft_breaches,
        message.method or "",
        message.fused_score,
        message.direction or "",
        message.timeliness,
        message.classification,
        message.actuated,
        message.difference,
        whole(message.age_ms),
        ms(message.occurred_at),
        ms(message.decided_at),
        message.policy_version,
        *_recorded(message),
        *judged,
        drill,
    )


def _recorded(message: Decision) -> Row:
    """What a controller had decided alone."""
    alone = message.recorded
    if alone is None:
        return (message.recorded_outcome or "", "", "", "", "")
    return (alone.outcome, alone.reason or "", alone.mode, alone.snapshot_version or "", alone.cause or "")


def _taken(message: AccessTaken, _record: Record) -> Row:
    return _passage(message, "taken", message.evidence)


def _not_taken(message: AccessNotTaken, _record: Record) -> Row:
    return _passage(message, "not_taken", "")


def _passage(message: Passage, outcome: str, evidence: str) -> Row:
    return (
        number(message.decision_id),
        message.site_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id or "",
        message.direction,
        outcome,
        evidence,
        ms(message.granted_at),
        ms(message.occurred_at),
        ms(message.decided_at),
    )


def _refusal(message: MessageRefused, _record: Record) -> Row:
    where = (message.topic, message.partition, message.offset)
    who = (number(message.refusal_id), message.site_id, message.device_id or "", message.message_type)
    return (*who, *where, message.reason, ms(message.decided_at))


TABLES: dict[str, Columns] = {"decisions_rows": DECISIONS, "passages_rows": PASSAGES, "refusals_rows": REFUSALS}
MAKERS: dict[type, Maker] = {
    AccessGranted: ("decisions_rows", _granted),
    AccessDenied: ("decisions_rows", _denied),
    AccessTaken: ("passages_rows", _taken),
    AccessNotTaken: ("passages_rows", _not_taken),
    MessageRefused: ("refusals_rows", _refusal),
}
