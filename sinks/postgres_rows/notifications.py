"""What became of each notification."""

from __future__ import annotations

from schemas.notifications import Notification
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, newest
from sinks.reading import whole, within

NOTIFICATIONS = newest(
    "notifications",
    {
        "notification_id": "text",
        "alert_id": "text",
        "site_id": "text",
        "step": "integer",
        "severity": "text",
        "recipient_id": "text",
        "asked_for": "text",
        "channel": "text",
        "instead_of": "text",
        "outcome": "text",
        "attempts": "bigint",
        "target": "text",
        "error": "text",
        "digest_id": "text",
        "demanded_at": "timestamptz",
        "updated_at": "timestamptz",
        "position": "bigint",
    },
    ("notification_id",),
)


def _notification(message: Notification, record: Record) -> Row:
    what = (message.notification_id, message.alert_id, message.site_id, whole(message.step), message.severity)
    who = (message.recipient_id, message.asked_for, message.channel, message.instead_of)
    outcome = str(getattr(message, "type", "?")).removeprefix("notification_")
    how = (outcome, whole(message.attempts), message.target, message.error, message.digest_id)
    return (*what, *who, *how, within(message.demanded_at), within(message.updated_at), record.offset)


TABLES = (NOTIFICATIONS,)
MAKERS: dict[type, tuple[Maker, ...]] = {Notification: ((NOTIFICATIONS, _notification),)}
