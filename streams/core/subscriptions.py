"""The `subscriptions` processor: which events are wanted by whom, and that each is delivered (M2).

It reads what doorstream publishes for everybody, decides what is pushed at once and what waits for a batch, and has the
couriers of the notify role deliver it. Duress is on none of the topics that it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.deliveries import Delivery
from schemas.delivering import CourierReady, DeliveryAttempted, EventsDue
from schemas.envelope import type_of
from schemas.ids import derive
from schemas.record import Record
from streams.core import subscription_state
from streams.core.decoding import message_in
from streams.core.processor import Cause, Context, Outcome, State, Tick, UndecodableError
from streams.core.publishing import Envelope, PublishingProcessor
from streams.core.reference_tables import tables
from streams.core.subscription_course import answered, due, want
from streams.core.subscription_filter import Seen, seen_in, wanted_by
from streams.core.subscription_state import COURIER, TOPICS, Courier, Lane
from streams.core.subscription_work import Work
from streams.core.times import rfc3339

VERSION = "subscriptions-4"

RESULTS = "doorstream.subscriptions.results"
INPUTS = (RESULTS, *TOPICS)
"""What has arrived, before what is to be delivered."""
REFERENCES = ("site", "zone", "door", "access-point", "recipient", "subscription")


class SubscriptionsProcessor(PublishingProcessor):
    """Delivers events. With `master`, reference records count only with the administration's signature."""

    name = "subscriptions"
    version = VERSION
    inputs: tuple[str, ...] = INPUTS
    overhears = frozenset(TOPICS)

    def __init__(self, master: bytes | None = None) -> None:
        self.references = tables(master, REFERENCES)

    def decode(self, record: Record) -> Any:
        """The message in a record; of an event, as much as filters ask about."""
        if record.topic == RESULTS:
            return message_in(record)
        if record.value is None:
            return None
        try:
            return seen_in(record.value)
        except ValueError:
            raise UndecodableError(
                "no event: type or site_id is missing, or a field is not what it should be"
            ) from None

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """What a message or a deadline means for what is delivered."""
        work = Work(state, context)
        if isinstance(cause, Tick):
            lane = state.get(cause.key)
            if isinstance(lane, Lane):
                due(lane, work)
        elif isinstance(cause.message, Seen):
            for subscription in wanted_by(cause.message, context.references):
                want(subscription, cause.record.topic, cause.record.offset, work)
        elif isinstance(cause.message, CourierReady):
            work.put(COURIER, Courier(cause.message.courier_id))
        elif isinstance(cause.message, DeliveryAttempted):
            answered(cause.message, work)
        return work.outcomes()

    def envelope(self, message: Delivery | EventsDue) -> Envelope:
        """Everything is of its subscription."""
        type_ = type_of(message)
        if isinstance(message, EventsDue):
            id_ = derive(type_, message.delivery_id, message.attempt)
            return Envelope(message.subscription_id, id_, rfc3339(message.begin_before_at))
        # What failed is told again and again of one delivery, by one entry each.
        id_ = derive(type_, message.delivery_id, message.journal.partition, message.journal.number)
        return Envelope(message.subscription_id, id_, rfc3339(message.updated_at))

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002
        """When an entity is due."""
        return subscription_state.deadline(entity)

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return subscription_state.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return subscription_state.decode(data)
