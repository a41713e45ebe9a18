"""The `subscriptions` processor: which events are wanted by whom, and that each is delivered (M2).

It reads what doorstream publishes for everybody, decides what is pushed at once and what waits for a batch, and has the
couriers of the notify role deliver it. Duress is on none of the topics that it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from schemas.delivering import CourierReady, DeliveryAttempted, EventsDue
from schemas.envelope import event_headers, type_of
from schemas.ids import derive
from schemas.record import Output, Record
from streams.core import subscription_state
from streams.core.decoding import message_in
from streams.core.processor import Arrival, Cause, Change, Context, Need, Outcome, State, Tick, UndecodableError
from streams.core.reference_tables import tables
from streams.core.subscription_course import answered, due, want
from streams.core.subscription_filter import Seen, seen_in, wanted_by
from streams.core.subscription_state import COURIER, TOPICS, Courier, Lane
from streams.core.subscription_work import LaneKept, Publication, Work
from streams.core.times import rfc3339

VERSION = "subscriptions-4"

RESULTS = "doorstream.subscriptions.results"
INPUTS = (RESULTS, *TOPICS)
"""What has arrived, before what is to be delivered."""
REFERENCES = ("site", "zone", "door", "access-point", "recipient", "subscription")


class SubscriptionsProcessor:
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

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:  # noqa: ARG002
        """Nothing."""
        return ()

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

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:  # noqa: ARG002
        """What an outcome changes."""
        return [(outcome.key, outcome.value)] if isinstance(outcome, LaneKept) else ()

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:  # noqa: ARG002
        """Nothing: the event or the answer is a dead letter."""
        return ()

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:  # noqa: ARG002
        """The record that an outcome becomes; state-only ones become none."""
        if not isinstance(outcome, Publication):
            return None
        topic, message = outcome
        type_ = type_of(message)
        if isinstance(message, EventsDue):
            id_ = derive(type_, message.delivery_id, message.attempt)
            moment = rfc3339(message.begin_before_at)
        else:
            # What failed is told again and again of one delivery, by one entry each.
            id_ = derive(type_, message.delivery_id, message.journal.partition, message.journal.number)
            moment = rfc3339(message.updated_at)
        headers = event_headers(id_, "/doorstream/subscriptions", type_, moment)
        return Output(topic, message.subscription_id.encode(), message.to_json(), headers, context.partition)

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """Nothing that is read here holds a secret."""
        return record.value, None

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002
        """When an entity is due."""
        return subscription_state.deadline(entity)

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return subscription_state.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return subscription_state.decode(data)
