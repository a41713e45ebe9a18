"""Which message becomes which row of which ClickHouse table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from schemas.access import AccessTaken, Decision, MessageRefused, Passage
from schemas.alerts import Alert
from schemas.base import DeviceMessage
from schemas.commands import AccessDoor, Command
from schemas.devices import CommandResult
from sinks.reading import Stored

Row = tuple[Any, ...]

TABLES: dict[str, list[str]] = {
    "decisions_rows": [
        "decision_id",
        "request_id",
        "site_id",
        "device_id",
        "access_point_id",
        "door_id",
        "zone_from",
        "zone_to",
        "cardholder_id",
        "credential_id",
        "permission_id",
        "outcome",
        "reason",
        "failed_checks",
        "soft_breaches",
        "method",
        "fused_score",
        "direction",
        "timeliness",
        "classification",
        "actuated",
        "difference",
        "age_ms",
        "occurred_at",
        "decided_at",
        "policy_version",
    ],
    "passages_rows": [
        "decision_id",
        "site_id",
        "door_id",
        "zone_from",
        "zone_to",
        "cardholder_id",
        "direction",
        "outcome",
        "evidence",
        "granted_at",
        "occurred_at",
        "decided_at",
    ],
    "command_events_rows": [
        "command_id",
        "type",
        "site_id",
        "device_id",
        "door_id",
        "decision_id",
        "failure",
        "at",
    ],
    "device_messages_rows": [
        "device_id",
        "boot",
        "sequence",
        "site_id",
        "type",
        "door_id",
        "occurred_at",
        "received_at",
    ],
    "alert_transitions_rows": [
        "alert_id",
        "type",
        "site_id",
        "kind",
        "severity",
        "state",
        "count",
        "raised_at",
        "updated_at",
    ],
    "refusals_rows": ["refusal_id", "site_id", "device_id", "message_type", "reason", "decided_at"],
}
"""The columns of each table, in the order of its rows."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def rows_of(stored: Stored) -> tuple[str, Row] | None:
    """The table and row that a message becomes; None for what has no history here."""
    message = stored.message
    if isinstance(message, Decision):
        return "decisions_rows", _decision(message)
    if isinstance(message, Passage):
        return "passages_rows", _passage(message)
    if isinstance(message, Command):
        return "command_events_rows", _command(message)
    if isinstance(message, CommandResult):
        return _result(message)
    if isinstance(message, DeviceMessage):
        return "device_messages_rows", _device_message(message, stored.record.timestamp_ms)
    if isinstance(message, Alert):
        what = (message.alert_id, _type(message), message.site_id, message.kind, message.severity.value)
        return "alert_transitions_rows", (*what, message.state, message.count, message.raised_at, message.updated_at)
    if isinstance(message, MessageRefused):
        whose = (UUID(message.refusal_id), message.site_id, message.device_id or "", message.message_type)
        return "refusals_rows", (*whose, message.reason.value, message.decided_at)
    return None


def _type(message: Any) -> str:
    return str(message.type)


def _within(moment: datetime) -> datetime:
    """A device's clock may say anything; the column holds 1970 to 2200."""
    return min(max(moment, _EARLIEST), _LATEST)


def _decision(message: Decision) -> Row:
    return (
        UUID(message.decision_id),
        UUID(message.request_id),
        message.site_id,
        message.device_id,
        message.access_point_id,
        message.door_id or "",
        message.zone_from or "",
        message.zone_to or "",
        message.cardholder_id or "",
        message.credential_id or "",
        message.permission_id or "",
        "granted" if _type(message) == "access_granted" else "denied",
        message.reason.value if message.reason else "",
        [reason.value for reason in message.failed_checks],
        [reason.value for reason in message.soft_breaches],
        message.method or "",
        message.fused_score,
        message.direction.value if message.direction else "",
        message.timeliness.value,
        message.classification.value,
        message.actuated,
        message.difference,
        message.age_ms,
        _within(message.occurred_at),
        message.decided_at,
        message.policy_version,
    )


def _passage(message: Passage) -> Row:
    return (
        UUID(message.decision_id),
        message.site_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id or "",
        message.direction.value,
        "taken" if isinstance(message, AccessTaken) else "not_taken",
        message.evidence if isinstance(message, AccessTaken) else "",
        message.granted_at,
        _within(message.occurred_at),
        message.decided_at,
    )


def _command(message: Command) -> Row:
    door = message.door_id if isinstance(message, AccessDoor) else ""
    decision = getattr(message, "decision_id", None)
    cause = UUID(decision) if decision else None
    where = (UUID(message.command_id), _type(message), message.site_id, message.device_id, door)
    return (*where, cause, "", message.issued_at)


def _result(message: CommandResult) -> tuple[str, Row] | None:
    try:
        command_id = UUID(message.command_id)
    except ValueError:
        return None
    where = (command_id, _type(message), message.site_id, message.device_id, "", None)
    return "command_events_rows", (*where, getattr(message, "reason", ""), _within(message.occurred_at))


def _device_message(message: DeviceMessage, received_ms: int) -> Row:
    return (
        message.device_id,
        message.boot,
        message.sequence,
        message.site_id,
        _type(message),
        getattr(message, "door_id", ""),
        _within(message.occurred_at),
        datetime.fromtimestamp(received_ms / 1000, UTC),
    )
