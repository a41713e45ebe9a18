"""What became of telling somebody of an alert. Each message is a whole fact."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Id, JournalPosition, Message, Text, Timestamp
from schemas.vocabulary import Severity


class Notification(Message):
    """A step of an alert, told to one recipient by one channel.

    `asked_for` is the recipient, group or rota that the alert named. `instead_of`: the channel that failed before.
    `attempts` were made; `target` is the address, masked; `error` is the last one, without secrets. `digest_id`: told
    in one message with others, which has that notification's id. `demanded_at` is when the alert asked for it. Step 0
    tells a program that keeps alerts itself that one is over.
    """

    notification_id: Id
    alert_id: Id
    site_id: Id
    step: Annotated[int, Field(ge=0)]
    severity: Severity
    recipient_id: Id
    asked_for: Id
    channel: Id
    instead_of: Id | None = None
    attempts: Annotated[int, Field(ge=0)] = 0
    target: Text = ""
    error: Text = ""
    digest_id: Id | None = None
    demanded_at: Timestamp
    updated_at: Timestamp
    journal: JournalPosition


class NotificationSent(Notification):
    """Handed over to the channel's server, which took it."""

    type: Literal["notification_sent"] = "notification_sent"


class NotificationFailed(Notification):
    """Given up on this channel; another one of the recipient takes its place, if there is one left.

    Also where nobody could be told: `recipient_id` is then what was asked for.
    """

    type: Literal["notification_failed"] = "notification_failed"


class NotificationHeld(Notification):
    """Above the recipient's rate: told later, in one message with the others that wait."""

    type: Literal["notification_held"] = "notification_held"


class NotificationSkipped(Notification):
    """Not told any more: `error` says why (acknowledged or closed meanwhile, or a later step took its place)."""

    type: Literal["notification_skipped"] = "notification_skipped"
