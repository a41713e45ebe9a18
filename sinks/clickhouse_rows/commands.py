"""What became of commands: sent, and each result."""

from __future__ import annotations

from schemas.commands import Command
from schemas.devices import CommandResult
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, Columns, Maker, Row, ms, number
from sinks.commands import state_of
from sinks.reading import is_uuid

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


def _command(message: Command, record: Record) -> Row:
    door = getattr(message, "door_id", "")
    decision = getattr(message, "decision_id", None)
    return (
        number(message.command_id),
        getattr(message, "type", "?"),
        "sent",
        message.site_id,
        message.device_id,
        door,
        number(decision) if decision else None,
        "",
        ms(message.issued_at),
        record.topic,
        record.partition,
        record.offset,
    )


def _result(message: CommandResult, record: Record) -> Row | None:
    if not is_uuid(message.command_id):
        return None
    state, failure = state_of(message)
    what = (number(message.command_id), getattr(message, "type", "?"), state, message.site_id, message.device_id)
    return (*what, "", None, failure, record.timestamp_ms, record.topic, record.partition, record.offset)


TABLES: dict[str, Columns] = {"command_events_rows": COMMAND_EVENTS}
MAKERS: dict[type, Maker] = {
    Command: ("command_events_rows", _command),
    CommandResult: ("command_events_rows", _result),
}
