"""Alerts with all that was done about them; those of duress in tables of their own."""

from __future__ import annotations

from collections.abc import Callable

from schemas.alerts import DURESS, Alert
from schemas.base import part_to_json
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, Table, json_text, newest
from sinks.reading import whole, within

ALERTS = newest(
    "alerts",
    {
        "alert_id": "text",
        "site_id": "text",
        "kind": "text",
        "severity": "text",
        "state": "text",
        "count": "bigint",
        "door_id": "text",
        "access_point_id": "text",
        "device_id": "text",
        "cardholder_id": "text",
        "summary": "text",
        "raised_at": "timestamptz",
        "updated_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("alert_id",),
)
ALERT_HISTORY = Table(
    "alert_history",
    {
        "alert_id": "text",
        "type": "text",
        "updated_at": "timestamptz",
        "count": "bigint",
        "severity": "text",
        "state": "text",
        "transition": "bigint",
        "active": "boolean",
        "operator_id": "text",
        "request_id": "text",
        "comment": "text",
        "result": "text",
        "notify": "jsonb",
        "action": "jsonb",
    },
    ("alert_id", "transition", "type", "updated_at", "count", "incarnation"),
)
DURESS_ALERTS = newest("duress_alerts", ALERTS.columns, ALERTS.key)
DURESS_ALERT_HISTORY = ALERT_HISTORY._replace(name="duress_alert_history")


def _alert(message: Alert, record: Record) -> Row:
    return (
        message.alert_id,
        message.site_id,
        message.kind,
        message.severity,
        message.state,
        whole(message.count),
        message.door_id,
        message.access_point_id,
        message.device_id,
        message.cardholder_id,
        message.summary,
        within(message.raised_at),
        within(message.updated_at),
        json_text(message, record),
        record.offset,
    )


def _alert_transition(message: Alert, _record: Record) -> Row:
    what = (message.alert_id, getattr(message, "type", "?"), within(message.updated_at), whole(message.count))
    who = (message.operator_id, message.request_id, message.comment, message.result)
    demands = tuple(None if part is None else part_to_json(part).decode() for part in (message.notify, message.action))
    return (*what, message.severity, message.state, message.transition, message.active, *who, *demands)


def _told(make: Callable[[Alert, Record], Row], *, duress: bool) -> Callable[[Alert, Record], Row | None]:
    """The rows of alerts of duress, or of all others."""
    return lambda message, record: make(message, record) if (message.kind == DURESS) is duress else None


TABLES = (ALERTS, ALERT_HISTORY, DURESS_ALERTS, DURESS_ALERT_HISTORY)
MAKERS: dict[type, tuple[Maker, ...]] = {
    Alert: (
        (ALERTS, _told(_alert, duress=False)),
        (ALERT_HISTORY, _told(_alert_transition, duress=False)),
        (DURESS_ALERTS, _told(_alert, duress=True)),
        (DURESS_ALERT_HISTORY, _told(_alert_transition, duress=True)),
    ),
}
