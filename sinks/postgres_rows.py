"""Which message becomes which row of which PostgreSQL table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.access import AccessNotTaken, AccessTaken, Decision, MessageRefused, Passage
from schemas.alerts import Alert
from schemas.base import DeviceMessage
from schemas.commands import AccessDoor, Command
from schemas.devices import CommandResult
from schemas.doors import DoorEvent
from schemas.operators import OperatorRequestAccepted, OperatorRequestRefused
from schemas.reference import BY_NAME
from sinks.reading import Stored

_RANKS = {"sent": 0, "delivered": 1, "failed": 2, "confirmed": 3}
_RESULTS = {"command_delivered": "delivered", "command_confirmed": "confirmed", "command_failed": "failed"}


class Table(NamedTuple):
    """How rows of a table are written: columns with their types, the key, and what happens to a row that is there."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    conflict: str


_NEWER = "(excluded.incarnation, excluded.position) > ({0}.incarnation, {0}.position)"


def _newer(name: str, columns: dict[str, str], key: tuple[str, ...]) -> Table:
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return Table(name, columns, key, f"do update set {changes} where {_NEWER.format(name)}")


DECISIONS = Table(
    "decisions",
    {
        "decision_id": "uuid",
        "request_id": "uuid",
        "site_id": "text",
        "device_id": "text",
        "access_point_id": "text",
        "door_id": "text",
        "zone_to": "text",
        "cardholder_id": "text",
        "credential_id": "text",
        "permission_id": "text",
        "outcome": "text",
        "reason": "text",
        "timeliness": "text",
        "age_ms": "bigint",
        "actuated": "boolean",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
        "value": "jsonb",
    },
    ("decision_id",),
    "do nothing",
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
        "outcome": "text",
        "evidence": "text",
        "granted_at": "timestamptz",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
    },
    ("decision_id",),
    "do nothing",
)
_COMMAND_FACTS = ("type", "door_id", "decision_id", "sequence", "issued_at")
_FORWARD = "excluded.state_rank > commands.state_rank"
COMMANDS = Table(
    "commands",
    {
        "command_id": "uuid",
        "type": "text",
        "site_id": "text",
        "device_id": "text",
        "door_id": "text",
        "decision_id": "uuid",
        "sequence": "bigint",
        "issued_at": "timestamptz",
        "state": "text",
        "state_rank": "smallint",
        "settled_at": "timestamptz",
        "failure": "text",
    },
    ("command_id",),
    # A result may be read before its command: each brings what it knows, and the state only moves forward.
    "do update set "
    + ", ".join(f"{fact} = coalesce(commands.{fact}, excluded.{fact})" for fact in _COMMAND_FACTS)
    + "".join(
        f", {column} = case when {_FORWARD} then excluded.{column} else commands.{column} end"
        for column in ("state", "state_rank", "settled_at", "failure")
    ),
)
PRESENCE = _newer(
    "presence",
    {
        "site_id": "text",
        "cardholder_id": "text",
        "zone_id": "text",
        "since": "timestamptz",
        "incarnation": "bigint",
        "position": "bigint",
    },
    ("site_id", "cardholder_id"),
)
DOORS = _newer(
    "doors",
    {
        "door_id": "text",
        "site_id": "text",
        "device_id": "text",
        "last_event": "text",
        "occurred_at": "timestamptz",
        "incarnation": "bigint",
        "position": "bigint",
    },
    ("door_id",),
)
DEVICES = Table(
    "devices",
    {"device_id": "text", "site_id": "text", "boot": "bigint", "last_event": "text", "last_seen": "timestamptz"},
    ("device_id",),
    "do update set site_id = excluded.site_id, boot = excluded.boot, last_event = excluded.last_event, "
    "last_seen = excluded.last_seen where (excluded.last_seen, excluded.last_event) > "
    "(devices.last_seen, devices.last_event)",
)
ALERTS = _newer(
    "alerts",
    {
        "alert_id": "text",
        "site_id": "text",
        "kind": "text",
        "severity": "text",
        "state": "text",
        "count": "bigint",
        "raised_at": "timestamptz",
        "updated_at": "timestamptz",
        "value": "jsonb",
        "incarnation": "bigint",
        "position": "bigint",
    },
    ("alert_id",),
)
ALERT_HISTORY = Table(
    "alert_history",
    {"alert_id": "text", "type": "text", "updated_at": "timestamptz", "count": "bigint", "value": "jsonb"},
    ("alert_id", "type", "updated_at", "count"),
    "do nothing",
)
REFUSALS = Table(
    "refusals",
    {
        "refusal_id": "uuid",
        "site_id": "text",
        "device_id": "text",
        "message_type": "text",
        "reason": "text",
        "detail": "text",
        "decided_at": "timestamptz",
    },
    ("refusal_id",),
    "do nothing",
)
OPERATOR_REQUESTS = Table(
    "operator_requests",
    {
        "site_id": "text",
        "request_id": "text",
        "operator_id": "text",
        "request_type": "text",
        "answer": "text",
        "code": "text",
        "detail": "text",
        "decided_at": "timestamptz",
    },
    ("site_id", "request_id", "answer"),
    "do nothing",
)
REFERENCE = _newer(
    "reference",
    {
        "entity": "text",
        "id": "text",
        "value": "jsonb",
        "card_number": "text",
        "cardholder_id": "text",
        "incarnation": "bigint",
        "position": "bigint",
    },
    ("entity", "id"),
)
TABLES = (
    DECISIONS,
    PASSAGES,
    COMMANDS,
    PRESENCE,
    DOORS,
    DEVICES,
    ALERTS,
    ALERT_HISTORY,
    REFUSALS,
    OPERATOR_REQUESTS,
    REFERENCE,
)
Row = tuple[Any, ...]


def rows_of(stored: Stored, incarnation: int) -> Iterator[tuple[Table, Row]]:
    """The rows that a message becomes; each has its table's columns, in their order."""
    record, message = stored
    if record.topic.startswith("reference."):
        yield REFERENCE, _reference(stored, incarnation)
    elif isinstance(message, Decision):
        yield DECISIONS, _decision(message, record.value or b"")
    elif isinstance(message, Passage):
        yield from _passage(message, incarnation, record.offset)
    elif isinstance(message, Command):
        yield COMMANDS, _command(message)
    elif isinstance(message, DeviceMessage):
        yield from _device_message(message, stored, incarnation)
    elif isinstance(message, Alert):
        value = (record.value or b"").decode()
        type_ = getattr(message, "type", "alert")
        facts = (message.alert_id, message.site_id, message.kind, message.severity.value, message.state, message.count)
        times = (message.raised_at, message.updated_at)
        yield ALERTS, (*facts, *times, value, incarnation, record.offset)
        yield ALERT_HISTORY, (message.alert_id, type_, message.updated_at, message.count, value)
    elif isinstance(message, MessageRefused):
        who = (message.refusal_id, message.site_id, message.device_id, message.message_type)
        yield REFUSALS, (*who, message.reason.value, message.detail, message.decided_at)
    elif isinstance(message, OperatorRequestAccepted | OperatorRequestRefused):
        refused = isinstance(message, OperatorRequestRefused)
        who = (message.site_id, message.request_id, message.operator_id, message.request_type)
        why = (message.code, message.detail) if isinstance(message, OperatorRequestRefused) else (None, None)
        yield OPERATOR_REQUESTS, (*who, "refused" if refused else "accepted", *why, message.decided_at)


def _decision(message: Decision, value: bytes) -> Row:
    return (
        message.decision_id,
        message.request_id,
        message.site_id,
        message.device_id,
        message.access_point_id,
        message.door_id,
        message.zone_to,
        message.cardholder_id,
        message.credential_id,
        message.permission_id,
        "granted" if getattr(message, "type", "") == "access_granted" else "denied",
        None if message.reason is None else message.reason.value,
        message.timeliness.value,
        message.age_ms,
        message.actuated,
        message.occurred_at,
        message.decided_at,
        value.decode(),
    )


def _passage(message: Passage, incarnation: int, offset: int) -> Iterator[tuple[Table, Row]]:
    taken = isinstance(message, AccessTaken)
    yield (
        PASSAGES,
        (
            message.decision_id,
            message.site_id,
            message.door_id,
            message.zone_from,
            message.zone_to,
            message.cardholder_id,
            "not_taken" if isinstance(message, AccessNotTaken) else "taken",
            message.evidence if isinstance(message, AccessTaken) else None,
            message.granted_at,
            message.occurred_at,
            message.decided_at,
        ),
    )
    if taken and message.cardholder_id is not None:
        where = (message.site_id, message.cardholder_id, message.zone_to, message.decided_at)
        yield PRESENCE, (*where, incarnation, offset)


def _command(message: Command) -> Row:
    door = message if isinstance(message, AccessDoor) else None
    return (
        message.command_id,
        getattr(message, "type", None),
        message.site_id,
        message.device_id,
        door.door_id if door else None,
        getattr(message, "decision_id", None),
        door.sequence if door else None,
        message.issued_at,
        "sent",
        _RANKS["sent"],
        None,
        None,
    )


def _device_message(message: DeviceMessage, stored: Stored, incarnation: int) -> Iterator[tuple[Table, Row]]:
    type_ = str(getattr(message, "type", "?"))
    seen = datetime.fromtimestamp(stored.record.timestamp_ms / 1000, UTC)
    yield DEVICES, (message.device_id, message.site_id, message.boot, type_, seen)
    if isinstance(message, DoorEvent):
        where = (message.door_id, message.site_id, message.device_id, type_, message.occurred_at)
        yield DOORS, (*where, incarnation, stored.record.offset)
    elif isinstance(message, CommandResult) and _is_uuid(message.command_id):
        state = _RESULTS[type_]
        facts = (message.command_id, None, message.site_id, message.device_id, None, None, None, None)
        yield COMMANDS, (*facts, state, _RANKS[state], message.occurred_at, getattr(message, "reason", None))


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and all(c in "0123456789abcdefABCDEF-" for c in text) and text.count("-") == 4  # noqa: PLR2004


def _reference(stored: Stored, incarnation: int) -> Row:
    record, message = stored
    entity = BY_NAME[record.topic.removeprefix("reference.")]
    id_ = (record.key or b"").decode("utf-8", "replace")
    value = None if message is None else (record.value or b"").decode()
    card, holder = getattr(message, "card_number", None), getattr(message, "cardholder_id", None)
    return (entity.name, id_, value, card, holder, incarnation, record.offset)
