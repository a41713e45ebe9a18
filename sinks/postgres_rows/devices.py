"""Devices and doors: what was heard of them last, and the state that doorstream makes of it."""

from __future__ import annotations

from schemas.base import DeviceMessage
from schemas.device_states import DeviceState
from schemas.devices import CommandResult
from schemas.doors import DoorEvent
from schemas.record import Record
from schemas.signing import MAC_HEADER, key_version_of
from sinks.postgres_rows.commands import COMMANDS, result_row
from sinks.postgres_rows.table import Maker, Row, json_text, newest
from sinks.reading import appended_at, whole, within

DOORS = newest(
    "doors",
    {
        "door_id": "text",
        "site_id": "text",
        "device_id": "text",
        "last_event": "text",
        "received_at": "timestamptz",
        "position": "bigint",
        "key_version": "integer",
        "boot": "bigint",
        "sequence": "bigint",
    },
    # Numbers of different controllers can't be compared: a door that was given to another has a row of each.
    ("door_id", "site_id", "device_id"),
    by=("key_version", "boot", "sequence"),
)
DEVICES = newest(
    "devices",
    {
        "device_id": "text",
        "site_id": "text",
        "last_seen": "timestamptz",
        "key_version": "integer",
        "boot": "bigint",
        "sequence": "bigint",
        "last_event": "text",
    },
    ("device_id", "site_id"),
    by=("key_version", "boot", "sequence"),
)
DEVICE_STATES = newest(
    "device_states",
    {
        "device_id": "text",
        "site_id": "text",
        "event": "text",
        "condition": "text",
        "connection": "text",
        "since": "timestamptz",
        "last_seen": "timestamptz",
        "tamper": "boolean",
        "power_failure": "boolean",
        "battery_low": "boolean",
        "faults": "text[]",
        "clock_wrong": "boolean",
        "clock_offset_ms": "bigint",
        "flapping": "text[]",
        "decided_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("device_id", "site_id"),
)


def _device(message: DeviceMessage, record: Record) -> Row:
    who = (message.device_id, message.site_id, appended_at(record))
    return (*who, *rising_number(message, record), getattr(message, "type", "?"))


def _door(message: DoorEvent, record: Record) -> Row:
    who = (message.door_id, message.site_id, message.device_id)
    return (*who, getattr(message, "type", "?"), appended_at(record), record.offset, *rising_number(message, record))


def _device_state(message: DeviceState, record: Record) -> Row:
    who = (message.device_id, message.site_id, message.event, message.condition, message.connection)
    seen = (within(message.since), None if message.last_seen is None else within(message.last_seen))
    wrong = (message.tamper, message.power_failure, message.battery_low, [fault.code for fault in message.faults])
    offset_ms = None if message.clock_offset_ms is None else whole(message.clock_offset_ms)
    clock = (message.clock_wrong, offset_ms, list(message.flapping))
    return (*who, *seen, *wrong, *clock, within(message.decided_at), json_text(message, record), record.offset)


def rising_number(message: DeviceMessage, record: Record) -> tuple[int, int, int]:
    """What rises with each message of a controller: nobody can send an old one again and have it count as newer."""
    return key_version_of(record.header(MAC_HEADER)) or 0, message.boot, message.sequence


TABLES = (DOORS, DEVICES, DEVICE_STATES)
MAKERS: dict[type, tuple[Maker, ...]] = {
    DeviceMessage: ((DEVICES, _device),),
    CommandResult: ((DEVICES, _device), (COMMANDS, result_row)),
    DoorEvent: ((DEVICES, _device), (DOORS, _door)),
    DeviceState: ((DEVICE_STATES, _device_state),),
}
