"""Which message becomes which row of which ClickHouse table.

UUIDs are written as numbers and times as Unix milliseconds: what the driver takes without looking at each value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from schemas.access import AccessDenied, AccessGranted, AccessNotTaken, AccessTaken, Decision, MessageRefused, Passage
from schemas.alerts import DURESS, Alert
from schemas.base import DeviceMessage
from schemas.canonical import model_of
from schemas.commands import Command
from schemas.device_states import DeviceState
from schemas.devices import CommandResult
from schemas.lockouts import LockoutEnded, LockoutEvent, LockoutStarted
from schemas.notifications import Notification
from schemas.record import Record
from schemas.registry import MODELS
from sinks.commands import state_of
from sinks.reading import is_uuid, whole, within

Row = tuple[Any, ...]

WORD = "LowCardinality(String)"
TIME = "DateTime64(3, 'UTC')"
WORDS = f"Array({WORD})"

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
COMMAND_EVENTS: dict[str, str] = {
    "command_id": "UUID",
    "type": WORD,
    "state": WORD,
    "site_id": WORD,
    "device_id": WORD,
    "door_id": WORD,
    "decision_id": "Nullable(UUID)",
    "failure": WORD,
    "at": TIME,
    "topic": WORD,
    "partition": "UInt32",
    "position": "UInt64",
}
DEVICE_MESSAGES: dict[str, str] = {
    "device_id": WORD,
    "boot": "UInt64",
    "sequence": "UInt64",
    "site_id": WORD,
    "type": WORD,
    "door_id": WORD,
    "occurred_at": TIME,
    "received_at": TIME,
    "topic": WORD,
    "partition": "UInt32",
    "position": "UInt64",
}
ALERT_TRANSITIONS: dict[str, str] = {
    "alert_id": "String",
    "type": WORD,
    "site_id": WORD,
    "kind": WORD,
    "severity": WORD,
    "state": WORD,
    "count": "Int64",
    "door_id": WORD,
    "access_point_id": WORD,
    "device_id": WORD,
    "cardholder_id": "String",
    "raised_at": TIME,
    "updated_at": TIME,
    "active": "Bool",
    "step": "UInt32",
    "operator_id": "String",
    "acknowledged_at": "Nullable(DateTime64(3, 'UTC'))",
    "transition": "UInt64",
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
DEVICE_STATE_EVENTS: dict[str, str] = {
    "event_id": "UUID",
    "event": WORD,
    "condition": WORD,
    "code": WORD,
    "detail": "String",
    "site_id": WORD,
    "device_id": WORD,
    "connection": WORD,
    "since": TIME,
    "last_seen": f"Nullable({TIME})",
    "tamper": "Bool",
    "power_failure": "Bool",
    "battery_low": "Bool",
    "faults": WORDS,
    "clock_wrong": "Bool",
    "clock_offset_ms": "Nullable(Int64)",
    "flapping": WORDS,
    "site_offline": "UInt32",
    "site_devices": "UInt32",
    "decided_at": TIME,
}
LOCKOUT_TRANSITIONS: dict[str, str] = {
    "lockout_id": "UUID",
    "type": WORD,
    "site_id": WORD,
    "scope": WORD,
    "subject": WORD,
    "subject_id": "String",
    "cardholder_id": "String",
    "credential_id": "String",
    "access_point_id": WORD,
    "door_id": WORD,
    "failures": "UInt32",
    "numbers": "UInt32",
    "last_reason": WORD,
    "decision_id": "UUID",
    "number": "UInt32",
    "started_at": f"Nullable({TIME})",
    "locked_until": f"Nullable({TIME})",
    "cause": WORD,
    "operator_id": "String",
    "at": TIME,
}
NOTIFICATION_OUTCOMES: dict[str, str] = {
    "notification_id": "String",
    "outcome": WORD,
    "alert_id": "String",
    "site_id": WORD,
    "step": "UInt32",
    "severity": WORD,
    "recipient_id": WORD,
    "asked_for": WORD,
    "channel": WORD,
    "instead_of": WORD,
    "attempts": "UInt32",
    "error": "String",
    "digest_id": "String",
    "demanded_at": TIME,
    "updated_at": TIME,
}
TABLES: dict[str, dict[str, str]] = {
    "decisions_rows": DECISIONS,
    "passages_rows": PASSAGES,
    "command_events_rows": COMMAND_EVENTS,
    "device_messages_rows": DEVICE_MESSAGES,
    "alert_transitions_rows": ALERT_TRANSITIONS,
    "refusals_rows": REFUSALS,
    "device_state_events_rows": DEVICE_STATE_EVENTS,
    "lockout_transitions_rows": LOCKOUT_TRANSITIONS,
    "notification_outcomes_rows": NOTIFICATION_OUTCOMES,
}
"""The columns of each table with their types, in the order of its rows; `incarnation` comes before them."""


def row_of(message: Any, record: Record) -> tuple[str, Row] | None:
    """The table and row that a message becomes; None for what has no history here.

    Raises:
        ValueError: an id is not a UUID where the column wants one.
    """
    kind: Any = type(message)
    found = _maker_of(kind)
    if found is None:
        return None
    table, make = found
    row = make(message, record)
    return None if row is None else (table, row)


def _number(uuid: str) -> int:
    digits = uuid.replace("-", "")
    if len(digits) != 32 or len(uuid) != 36:  # noqa: PLR2004 - the text form of RFC 9562
        raise ValueError("an id that is no UUID")
    return int(digits, 16)


def _ms(moment: datetime) -> int:
    return round(within(moment).timestamp() * 1000)


def _granted(message: Decision, _record: Record) -> Row:
    return _decision(message, "granted")


def _denied(message: Decision, _record: Record) -> Row:
    return _decision(message, "denied")


def _decision(message: Decision, outcome: str) -> Row:
    return (
        _number(message.decision_id),
        _number(message.request_id),
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
        _ms(message.occurred_at),
        _ms(message.decided_at),
        message.policy_version,
    )


def _taken(message: AccessTaken, _record: Record) -> Row:
    return _passage(message, "taken", message.evidence)


def _not_taken(message: AccessNotTaken, _record: Record) -> Row:
    return _passage(message, "not_taken", "")


def _passage(message: Passage, outcome: str, evidence: str) -> Row:
    return (
        _number(message.decision_id),
        message.site_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id or "",
        message.direction,
        outcome,
        evidence,
        _ms(message.granted_at),
        _ms(message.occurred_at),
        _ms(message.decided_at),
    )


def _command(message: Command, record: Record) -> Row:
    door = getattr(message, "door_id", "")
    decision = getattr(message, "decision_id", None)
    return (
        _number(message.command_id),
        getattr(message, "type", "?"),
        "sent",
        message.site_id,
        message.device_id,
        door,
        _number(decision) if decision else None,
        "",
        _ms(message.issued_at),
        record.topic,
        record.partition,
        record.offset,
    )


def _result(message: CommandResult, record: Record) -> Row | None:
    if not is_uuid(message.command_id):
        return None
    state, failure = state_of(message)
    what = (_number(message.command_id), getattr(message, "type", "?"), state, message.site_id, message.device_id)
    return (*what, "", None, failure, record.timestamp_ms, record.topic, record.partition, record.offset)


def _device_message(message: DeviceMessage, record: Record) -> Row:
    return (
        message.device_id,
        message.boot,
        message.sequence,
        message.site_id,
        getattr(message, "type", "?"),
        getattr(message, "door_id", ""),
        _ms(message.occurred_at),
        record.timestamp_ms,
        record.topic,
        record.partition,
        record.offset,
    )


def _alert(message: Alert, _record: Record) -> Row | None:
    if message.kind == DURESS:
        # Everybody who may ask here would learn of it.
        return None
    return (
        message.alert_id,
        getattr(message, "type", "?"),
        message.site_id,
        message.kind,
        message.severity,
        message.state,
        whole(message.count),
        message.door_id or "",
        message.access_point_id or "",
        message.device_id or "",
        message.cardholder_id or "",
        _ms(message.raised_at),
        _ms(message.updated_at),
        message.active,
        message.notify.step if message.notify is not None else 0,
        message.operator_id or "",
        _ms(message.acknowledged_at) if message.acknowledged_at is not None else None,
        message.transition,
    )


def _refusal(message: MessageRefused, _record: Record) -> Row:
    where = (message.topic, message.partition, message.offset)
    who = (_number(message.refusal_id), message.site_id, message.device_id or "", message.message_type)
    return (*who, *where, message.reason, _ms(message.decided_at))


def _device_state(message: DeviceState, _record: Record) -> Row:
    what = (_number(message.event_id), message.event, message.condition or "", message.code or "", message.detail)
    seen = (_ms(message.since), None if message.last_seen is None else _ms(message.last_seen))
    wrong = (message.tamper, message.power_failure, message.battery_low, [fault.code for fault in message.faults])
    offset_ms = None if message.clock_offset_ms is None else whole(message.clock_offset_ms)
    counts = (message.site_offline, message.site_devices, _ms(message.decided_at))
    who = (message.site_id, message.device_id, message.connection)
    return (*what, *who, *seen, *wrong, message.clock_wrong, offset_ms, message.flapping, *counts)


def _lockout(message: LockoutEvent, _record: Record) -> Row:
    what = (_number(message.lockout_id), getattr(message, "type", "?"), message.site_id, message.scope)
    who = (message.subject, message.subject_id, message.cardholder_id or "", message.credential_id or "")
    where = (message.access_point_id, message.door_id or "")
    failed = (message.failures, message.numbers or 0, message.last_reason, _number(message.decision_id))
    number, started, until, cause, operator = 0, None, None, "", ""
    if isinstance(message, LockoutStarted | LockoutEnded):
        number, started = message.number, _ms(message.started_at)
        until = None if message.locked_until is None else _ms(message.locked_until)
    if isinstance(message, LockoutEnded):
        cause, operator = message.cause, message.operator_id or ""
    return (*what, *who, *where, *failed, number, started, until, cause, operator, _ms(message.decided_at))


def _notification(message: Notification, _record: Record) -> Row:
    outcome = str(getattr(message, "type", "?")).removeprefix("notification_")
    what = (message.notification_id, outcome, message.alert_id, message.site_id, message.step, message.severity)
    who = (message.recipient_id, message.asked_for, message.channel, message.instead_of or "")
    how = (message.attempts, message.error, message.digest_id or "")
    return (*what, *who, *how, _ms(message.demanded_at), _ms(message.updated_at))


_Maker = tuple[str, Callable[[Any, Record], Row | None]]


def _maker(model: type) -> _Maker | None:
    if issubclass(model, Command):
        return "command_events_rows", _command
    if issubclass(model, CommandResult):
        return "command_events_rows", _result
    if issubclass(model, DeviceMessage):
        return "device_messages_rows", _device_message
    if issubclass(model, Alert):
        return "alert_transitions_rows", _alert
    if issubclass(model, Notification):
        return "notification_outcomes_rows", _notification
    if issubclass(model, LockoutEvent):
        return "lockout_transitions_rows", _lockout
    return None


# By exact type: asking each model's abstract base class in turn costs more than all the rest.
_MAKERS: dict[type, _Maker] = {model: maker for model in MODELS.values() if (maker := _maker(model)) is not None} | {
    AccessGranted: ("decisions_rows", _granted),
    AccessDenied: ("decisions_rows", _denied),
    AccessTaken: ("passages_rows", _taken),
    AccessNotTaken: ("passages_rows", _not_taken),
    MessageRefused: ("refusals_rows", _refusal),
    DeviceState: ("device_state_events_rows", _device_state),
}


@cache
def _maker_of(kind: type) -> _Maker | None:
    return _MAKERS.get(model_of(kind))
