"""Each change of a door's mode, and each step of a lockdown."""

from __future__ import annotations

from schemas.door_modes import DoorModeDesired
from schemas.incidents import Incident
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, Columns, Maker, Row, ms, number

DOOR_MODE_CHANGES: dict[str, str] = {
    "site_id": WORD,
    "door_id": WORD,
    "device_id": WORD,
    "mode": WORD,
    "mode_epoch": "UInt64",
    "revision": "UInt64",
    "cause": WORD,
    "cause_id": "String",
    "since": TIME,
    "confirmed_at": f"Nullable({TIME})",
    "unconfirmed": WORD,
    "reported": WORD,
    "at": TIME,
}
INCIDENT_STEPS: dict[str, str] = {
    "incident_id": "UUID",
    "transition": "UInt64",
    "type": WORD,
    "site_id": WORD,
    "zone_id": WORD,
    "threat_level": WORD,
    "plan_id": WORD,
    "drill": "Bool",
    "doors": "UInt32",
    "confirmed": "UInt32",
    "secured": "UInt32",
    "inside": "UInt32",
    "started_at": TIME,
    "confirmed_at": f"Nullable({TIME})",
    "secured_at": f"Nullable({TIME})",
    "released_at": f"Nullable({TIME})",
    "at": TIME,
}


def _mode(message: DoorModeDesired, _record: Record) -> Row:
    strongest = message.causes[0] if message.causes else None
    where = (message.site_id, message.door_id, message.device_id, message.mode, message.mode_epoch, message.revision)
    why = ("", "") if strongest is None else (strongest.kind, strongest.cause_id)
    confirmed = None if message.confirmed_at is None else ms(message.confirmed_at)
    since = ms(message.since)
    return (*where, *why, since, confirmed, message.unconfirmed or "", message.reported or "", ms(message.decided_at))


def _step(message: Incident, _record: Record) -> Row:
    what = (number(message.incident_id), message.transition, getattr(message, "type", "?"), message.site_id)
    how = (message.zone_id, message.threat_level, message.plan_id, message.drill)
    counts = (message.doors, message.confirmed, message.secured, message.inside)
    given = (message.confirmed_at, message.secured_at, message.released_at)
    moments = [None if moment is None else ms(moment) for moment in given]
    return (*what, *how, *counts, ms(message.started_at), *moments, ms(message.decided_at))


TABLES: dict[str, Columns] = {"door_mode_changes_rows": DOOR_MODE_CHANGES, "incident_steps_rows": INCIDENT_STEPS}
MAKERS: dict[type, Maker] = {
    DoorModeDesired: ("door_mode_changes_rows", _mode),
    Incident: ("incident_steps_rows", _step),
}
