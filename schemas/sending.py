"""Between the notify processor and the senders of its workers; internal. Addresses are in neither."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Counter, Frozen, Id, Message, Text, Timestamp
from schemas.vocabulary import Severity


class Line(Frozen):
    """Something that happened at a time."""

    at: Timestamp
    text: Text


class Notice(Frozen):
    """What there is to tell of an alert. `also` are other alerts told in the same message; `more` are beyond those."""

    alert_id: Id
    site_id: Id
    site_name: Text
    time_zone: Text
    kind: Id
    severity: Severity
    state: Id
    count: int
    summary: Text
    where: Text = ""
    who: Text = ""
    device_id: Id | None = None
    raised_at: Timestamp
    updated_at: Timestamp
    over: bool = False
    procedure: Text = ""
    led_to: tuple[Line, ...] = ()
    also: tuple[Line, ...] = ()
    more: int = 0


class NotificationDue(Message):
    """An attempt for the sender that is named, and for no other; after `begin_before_at` it must not begin it."""

    type: Literal["notification_due"] = "notification_due"
    sender_id: Id
    notification_id: Id
    attempt: Annotated[int, Field(ge=1)]
    begin_before_at: Timestamp
    recipient_id: Id
    channel: Id
    language: Id
    step: int
    notice: Notice


class SenderReady(Message):
    """A worker that owns the partition sends from now on what is addressed to it; whoever did so before is gone."""

    type: Literal["sender_ready"] = "sender_ready"
    sender_id: Id


class NotificationBegun(Message):
    """An attempt begins, and from here on the message may arrive; without this it has not, if its sender is gone."""

    type: Literal["notification_begun"] = "notification_begun"
    sender_id: Id
    notification_id: Id
    attempt: Counter


class NotificationAttempted(Message):
    """How an attempt ended.

    `delivered`: the server took it. `failed`: it did not, and may later. `refused`: it never will. `unknown`: no answer
    in time. `expired`: it was too late to begin.
    """

    type: Literal["notification_attempted"] = "notification_attempted"
    sender_id: Id
    notification_id: Id
    attempt: Counter
    verdict: Literal["delivered", "failed", "refused", "unknown", "expired"]
    error: Text = ""
    target: Text = ""
    retry_after_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
