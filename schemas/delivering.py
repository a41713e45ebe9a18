"""Between the subscriptions processor and the couriers of its workers; internal. Neither has events or addresses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Counter, Id, Message, Text, Timestamp
from schemas.deliveries import Position


class EventsDue(Message):
    """An attempt for the courier that is named, and for no other; after `begin_before_at` it must not begin it.

    `delivery_id` is the same in every attempt, and so are the `events`.
    """

    type: Literal["events_due"] = "events_due"
    courier_id: Id
    subscription_id: Id
    delivery_id: Id
    attempt: Annotated[int, Field(ge=1)]
    begin_before_at: Timestamp
    recipient_id: Id
    channel: Literal["webhook", "email"]
    delivery: Literal["push", "batch"]
    events: tuple[Position, ...]


class CourierReady(Message):
    """A worker that owns the partition delivers from now on what is addressed to it; whoever did so before is gone."""

    type: Literal["courier_ready"] = "courier_ready"
    courier_id: Id


class DeliveryAttempted(Message):
    """How an attempt ended: the first `delivered` events were taken; `verdict` is of the one after them, if any.

    `missing` of these were in their topics no longer.

    The verdicts are those of `schemas.sending.NotificationAttempted`.
    """

    type: Literal["delivery_attempted"] = "delivery_attempted"
    courier_id: Id
    subscription_id: Id
    delivery_id: Id
    attempt: Counter
    delivered: Counter
    missing: Counter = 0
    verdict: Literal["delivered", "failed", "refused", "unknown", "expired"]
    error: Text = ""
    target: Text = ""
    retry_after_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
