"""What became of events that subscriptions want. Each message is a whole fact; events are named by where they stand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Id, JournalPosition, Message, Text, Timestamp

Position = tuple[Id, int]
"""A topic and an offset; the partition is that of the message."""


class Delivery(Message):
    """What all of these share. `pending` events wait after it, the oldest since `oldest_at`."""

    subscription_id: Id
    delivery_id: Id
    pending: Annotated[int, Field(ge=0)]
    oldest_at: Timestamp | None = None
    updated_at: Timestamp
    journal: JournalPosition


class EventsPending(Delivery):
    """A batch has begun: what is wanted from here on is kept, and delivered at `due_at` or when the batch is full."""

    type: Literal["events_pending"] = "events_pending"
    due_at: Timestamp


class EventsDelivered(Delivery):
    """These events were taken by the recipient's server. Each wanted event is in one such message, or was dropped.

    `attempts` were made; `target` is the address, masked. `missing` of them were in their topics no longer.
    """

    type: Literal["events_delivered"] = "events_delivered"
    delivery: Literal["push", "batch"]
    events: tuple[Position, ...]
    missing: Annotated[int, Field(ge=0)] = 0
    attempts: Annotated[int, Field(ge=1)]
    target: Text = ""


class DeliveryFailed(Delivery):
    """An attempt failed; the events stay pending, and it is tried again at `retry_at`."""

    type: Literal["delivery_failed"] = "delivery_failed"
    attempts: Annotated[int, Field(ge=1)]
    first_failed_at: Timestamp
    retry_at: Timestamp
    target: Text = ""
    error: Text = ""


class EventsDropped(Delivery):
    """These events will not be delivered: `reason` says why. They are still in their topics, at these places."""

    type: Literal["events_dropped"] = "events_dropped"
    events: tuple[Position, ...]
    reason: Text
