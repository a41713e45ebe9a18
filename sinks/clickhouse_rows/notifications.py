"""What became of each notification."""

from __future__ import annotations

from schemas.notifications import Notification
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, Columns, Maker, Row, ms

NOTIFICATION_OUTCOMES: dict[str, str] = {
    "notification_id": "String",
    "outcome": WORD,
    "alert_id": "String",
    "site_id": WORD,
    "step": "UInt32",
    "severity": WORD,
    "recipient_id": WORD,
    "asked_for": WORD,
    "channel": WORD,
    "instead_of": WORD,
    "attempts": "UInt32",
    "error": "String",
    "digest_id": "String",
    "demanded_at": TIME,
    "updated_at": TIME,
}


def _notification(message: Notification, _record: Record) -> Row:
    outcome = str(getattr(message, "type", "?")).removeprefix("notification_")
    what = (message.notification_id, outcome, message.alert_id, message.site_id, message.step, message.severity)
    who = (message.recipient_id, message.asked_for, message.channel, message.instead_of or "")
    how = (message.attempts, message.error, message.digest_id or "")
    return (*what, *who, *how, ms(message.demanded_at), ms(message.updated_at))


TABLES: dict[str, Columns] = {"notification_outcomes_rows": NOTIFICATION_OUTCOMES}
MAKERS: dict[type, Maker] = {Notification: ("notification_outcomes_rows", _notification)}
