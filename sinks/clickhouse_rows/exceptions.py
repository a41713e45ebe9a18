"""Every step of the exceptions of devices and their repair, and permissions that were found not to hold any longer."""

from __future__ import annotations

from schemas.exceptions import DeviceException, PermissionUpdated
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, Columns, Maker, Row, ms, number

DEVICE_EXCEPTION_STEPS: dict[str, str] = {
    "case_id": "UUID",
    "transition": "UInt64",
    "step": WORD,
    "state": WORD,
    "site_id": WORD,
    "device_id": WORD,
    "model": WORD,
    "cause": WORD,
    "nature": WORD,
    "active": "Bool",
    "began_at": TIME,
    "opened_at": f"Nullable({TIME})",
    "assigned_to": "String",
    "operator_id": "String",
    "decided_at": TIME,
}
PERMISSION_UPDATES: dict[str, str] = {
    "update_id": "UUID",
    "site_id": WORD,
    "permission_id": "String",
    "cardholder_id": "String",
    "door_id": WORD,
    "state": WORD,
    "result": WORD,
    "decision_id": "UUID",
    "decided_at": TIME,
}


def _update(message: PermissionUpdated, _record: Record) -> Row:
    what = (number(message.update_id), message.site_id, message.permission_id, message.cardholder_id)
    return (
        *what,
        message.door_id or "",
        message.state,
        message.result,
        number(message.decision_id),
        ms(message.decided_at),
    )


def _step(message: DeviceException, _record: Record) -> Row:
    what = (number(message.case_id), message.transition, message.step, message.state)
    where = (message.site_id, message.device_id, message.model, message.cause)
    opened = None if message.opened_at is None else ms(message.opened_at)
    who = (message.assigned_to or "", message.operator_id or "")
    return (*what, *where, message.nature, message.active, ms(message.began_at), opened, *who, ms(message.decided_at))


TABLES: dict[str, Columns] = {
    "device_exception_steps_rows": DEVICE_EXCEPTION_STEPS,
    "permission_updates_rows": PERMISSION_UPDATES,
}
MAKERS: dict[type, Maker] = {
    DeviceException: ("device_exception_steps_rows", _step),
    PermissionUpdated: ("permission_updates_rows", _update),
}
