"""Exceptions of devices with their repair cases, and what has become of permissions."""

from __future__ import annotations

from datetime import datetime

from schemas.exceptions import DeviceException, PermissionUpdated
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, Table, json_text, newest
from sinks.reading import within

_STANDING = {
    "case_id": "uuid",
    "transition": "bigint",
    "step": "text",
    "state": "text",
    "site_id": "text",
    "device_id": "text",
    "model": "text",
    "cause": "text",
    "detail": "text",
    "nature": "text",
    "active": "boolean",
    "began_at": "timestamptz",
    "recover_by": "timestamptz",
    "opened_at": "timestamptz",
    "repaired_at": "timestamptz",
    "assigned_to": "text",
    "result": "text",
    "decided_at": "timestamptz",
    "value": "jsonb",
}
DEVICE_EXCEPTIONS = newest("device_exceptions", _STANDING, ("case_id",), by=("transition",))
DEVICE_EXCEPTION_HISTORY = Table(
    "device_exception_history",
    {
        "case_id": "uuid",
        "transition": "bigint",
        "step": "text",
        "state": "text",
        "nature": "text",
        "active": "boolean",
        "assigned_to": "text",
        "result": "text",
        "operator_id": "text",
        "request_id": "text",
        "comment": "text",
        "decided_at": "timestamptz",
    },
    ("case_id", "transition", "incarnation"),
)
PERMISSION_STATES = newest(
    "permission_states",
    {
        "permission_id": "text",
        "site_id": "text",
        "cardholder_id": "text",
        "state": "text",
        "permission_version": "bigint",
        "decision_id": "uuid",
        "result": "text",
        "decided_at": "timestamptz",
        "position": "bigint",
    },
    ("permission_id",),
)


def _permission(message: PermissionUpdated, record: Record) -> Row:
    who = (message.permission_id, message.site_id, message.cardholder_id, message.state, message.permission_version)
    return (*who, message.decision_id, message.result, within(message.decided_at), record.offset)


def _exception(message: DeviceException, record: Record) -> Row:
    what = (message.case_id, message.transition, message.step, message.state)
    where = (message.site_id, message.device_id, message.model, message.cause, message.detail)
    times = (_moment(message.recover_by), _moment(message.opened_at), _moment(message.repaired_at))
    judged = (message.nature, message.active, within(message.began_at), *times, message.assigned_to, message.result)
    return (*what, *where, *judged, within(message.decided_at), json_text(message, record))


def _step(message: DeviceException, _record: Record) -> Row:
    what = (message.case_id, message.transition, message.step, message.state, message.nature, message.active)
    who = (message.assigned_to, message.result, message.operator_id, message.request_id, message.comment)
    return (*what, *who, within(message.decided_at))


def _moment(moment: datetime | None) -> datetime | None:
    return None if moment is None else within(moment)


TABLES = (DEVICE_EXCEPTIONS, DEVICE_EXCEPTION_HISTORY, PERMISSION_STATES)
MAKERS: dict[type, tuple[Maker, ...]] = {
    DeviceException: ((DEVICE_EXCEPTIONS, _exception), (DEVICE_EXCEPTION_HISTORY, _step)),
    PermissionUpdated: ((PERMISSION_STATES, _permission),),
}
