"""Each step of each alert."""

from __future__ import annotations

from schemas.alerts import DURESS, Alert
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, Columns, Maker, Row, ms
from sinks.reading import whole

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
        ms(message.raised_at),
        ms(message.updated_at),
        message.active,
        message.notify.step if message.notify is not None else 0,
        message.operator_id or "",
        ms(message.acknowledged_at) if message.acknowledged_at is not None else None,
        message.transition,
    )


TABLES: dict[str, Columns] = {"alert_transitions_rows": ALERT_TRANSITIONS}
MAKERS: dict[type, Maker] = {Alert: ("alert_transitions_rows", _alert)}
