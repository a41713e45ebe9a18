"""Alerts: each transition carries the whole alert."""

from __future__ import annotations

from typing import Literal

from schemas.base import Id, JournalPosition, Message, Text, Timestamp
from schemas.vocabulary import Severity


class Alert(Message):
    """An alert as it stands. `dedup_key` groups what is one trouble; `count` is how often it was seen in its window."""

    alert_id: Id
    site_id: Id
    kind: Id
    severity: Severity
    state: Literal["unacknowledged", "closed"]
    dedup_key: Id
    count: int
    door_id: Id | None = None
    access_point_id: Id | None = None
    device_id: Id | None = None
    cardholder_id: Id | None = None
    cause_id: Id
    summary: Text
    raised_at: Timestamp
    updated_at: Timestamp
    journal: JournalPosition


class AlertRaised(Alert):
    """A new alert."""

    type: Literal["alert_raised"] = "alert_raised"


class AlertClosed(Alert):
    """The alert is over: a low one is recorded and closed when its window ends (M3)."""

    type: Literal["alert_closed"] = "alert_closed"
