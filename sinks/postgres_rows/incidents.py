"""Doors' modes as they are desired, and lockdowns with all that happened in them."""

from __future__ import annotations

from schemas.door_modes import DoorModeDesired
from schemas.incidents import Incident
from schemas.record import Record
from schemas.vocabulary import DoorMode
from sinks.postgres_rows.table import Maker, Row, Table, json_text, newest
from sinks.reading import within

DOOR_MODES = newest(
    "door_modes",
    {
        "door_id": "text",
        "site_id": "text",
        "device_id": "text",
        "mode": "text",
        "mode_epoch": "bigint",
        "since": "timestamptz",
        "confirmed_at": "timestamptz",
        "unconfirmed": "text",
        "attempts": "bigint",
        "decided_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("door_id", "site_id"),
)
INCIDENT_DOORS = newest(
    "incident_doors",
    {
        "incident_id": "text",
        "door_id": "text",
        "site_id": "text",
        "device_id": "text",
        "mode": "text",
        "mode_epoch": "bigint",
        "confirmed_at": "timestamptz",
        "unconfirmed": "text",
        "asked_at": "timestamptz",
        "first_confirmed_at": "timestamptz",
        "position": "bigint",
    },
    ("incident_id", "door_id"),
    earliest=("first_confirmed_at",),
)
INCIDENTS = newest(
    "incidents",
    {
        "incident_id": "text",
        "site_id": "text",
        "zone_id": "text",
        "threat_level": "text",
        "plan_id": "text",
        "drill": "boolean",
        "state": "text",
        "doors": "integer",
        "confirmed": "integer",
        "secured": "integer",
        "started_at": "timestamptz",
        "confirmed_at": "timestamptz",
        "secured_at": "timestamptz",
        "effective_at": "timestamptz",
        "released_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("incident_id",),
)
INCIDENT_HISTORY = Table(
    "incident_history",
    {
        "incident_id": "text",
        "transition": "bigint",
        "type": "text",
        "site_id": "text",
        "decided_at": "timestamptz",
        "value": "jsonb",
    },
    ("incident_id", "transition", "incarnation"),
)


def _mode(message: DoorModeDesired, record: Record) -> Row:
    where = (message.door_id, message.site_id, message.device_id, message.mode, message.mode_epoch)
    confirmed = within(message.confirmed_at) if message.confirmed_at is not None else None
    how = (within(message.since), confirmed, message.unconfirmed, message.attempts, within(message.decided_at))
    return (*where, *how, json_text(message, record), record.offset)


def _doors(message: DoorModeDesired, record: Record) -> list[Row]:
    """A door in each of its lockdowns; it is theirs from when they asked for it until it is released."""
    what = (message.door_id, message.site_id, message.device_id, message.mode, message.mode_epoch)
    confirmed = within(message.confirmed_at) if message.confirmed_at is not None else None
    locked = confirmed if message.mode is DoorMode.LOCKED_DOWN else None
    return [
        (one.cause_id, *what, confirmed, message.unconfirmed, within(one.since), locked, record.offset)
        for one in message.causes
        if one.kind == "lockdown"
    ]


def _incident(message: Incident, record: Record) -> Row:
    what = (message.incident_id, message.site_id, message.zone_id, message.threat_level, message.plan_id, message.drill)
    state = "releasing" if message.releasing_at is not None else "in_force"
    counts = ("released" if message.released_at is not None else state, message.doors, message.confirmed)
    given = (message.confirmed_at, message.secured_at, message.effective_at, message.released_at)
    moments = tuple(None if moment is None else within(moment) for moment in given)
    started = within(message.started_at)
    return (*what, *counts, message.secured, started, *moments, json_text(message, record), record.offset)


def _step(message: Incident, record: Record) -> Row:
    what = (message.incident_id, message.transition, getattr(message, "type", "?"), message.site_id)
    return (*what, within(message.decided_at), json_text(message, record))


TABLES = (DOOR_MODES, INCIDENT_DOORS, INCIDENTS, INCIDENT_HISTORY)
MAKERS: dict[type, tuple[Maker, ...]] = {
    DoorModeDesired: ((DOOR_MODES, _mode), (INCIDENT_DOORS, _doors)),
    Incident: ((INCIDENTS, _incident), (INCIDENT_HISTORY, _step)),
}
