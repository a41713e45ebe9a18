"""What devices say, and the state that doorstream makes of it."""

from __future__ import annotations

from schemas.base import DeviceMessage
from schemas.device_states import DeviceState
from schemas.devices import Heartbeat
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, WORDS, Columns, Maker, Row, ms, number
from sinks.reading import whole

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
HEARTBEATS: dict[str, str] = {name: type_ for name, type_ in DEVICE_MESSAGES.items() if name not in {"type", "door_id"}}
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
    "network": WORD,
    "snapshot_version": "String",
}


def _device_message(message: DeviceMessage, record: Record) -> Row:
    return (
        message.device_id,
        message.boot,
        message.sequence,
        message.site_id,
        getattr(message, "type", "?"),
        getattr(message, "door_id", ""),
        ms(message.occurred_at),
        record.timestamp_ms,
        record.topic,
        record.partition,
        record.offset,
    )


def _heartbeat(message: Heartbeat, record: Record) -> Row:
    numbers = (message.boot, message.sequence)
    times = (ms(message.occurred_at), record.timestamp_ms)
    return (message.device_id, *numbers, message.site_id, *times, record.topic, record.partition, record.offset)


def _device_state(message: DeviceState, _record: Record) -> Row:
    what = (number(message.event_id), message.event, message.condition or "", message.code or "", message.detail)
    seen = (ms(message.since), None if message.last_seen is None else ms(message.last_seen))
    wrong = (message.tamper, message.power_failure, message.battery_low, [fault.code for fault in message.faults])
    offset_ms = None if message.clock_offset_ms is None else whole(message.clock_offset_ms)
    counts = (message.site_offline, message.site_devices, ms(message.decided_at))
    who = (message.site_id, message.device_id, message.connection)
    network = (message.network, message.snapshot_version or "")
    return (*what, *who, *seen, *wrong, message.clock_wrong, offset_ms, message.flapping, *counts, *network)


TABLES: dict[str, Columns] = {
    "device_messages_rows": DEVICE_MESSAGES,
    "device_heartbeats_rows": HEARTBEATS,
    "device_state_events_rows": DEVICE_STATE_EVENTS,
}
MAKERS: dict[type, Maker] = {
    Heartbeat: ("device_heartbeats_rows", _heartbeat),
    DeviceMessage: ("device_messages_rows", _device_message),
    DeviceState: ("device_state_events_rows", _device_state),
}
