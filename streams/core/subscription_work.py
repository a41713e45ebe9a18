"""What one cause does to subscriptions' lanes, each step seeing the ones before; and what is published of it."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.deliveries import Delivery, EventsDropped, Position
from schemas.delivering import EventsDue
from schemas.ids import derive
from schemas.subscriptions import Subscription
from streams.core.keeping import Kept
from streams.core.publishing import PublishingWork
from streams.core.subscription_state import BLOCK_EVENTS, COURIER, Block, Courier, Lane, block_key, lane_key
from streams.core.times import from_ms

DELIVERIES = "deliveries"
SENDS = "doorstream.subscriptions.sends"

_replace = msgspec.structs.replace


class LaneKept(Kept, frozen=True, gc=False, tag="lane_kept"):
    """The same of lanes."""


class Work(PublishingWork):
    """The lanes while one cause is decided."""

    kept = LaneKept

    @property
    def courier_id(self) -> str | None:
        """Who delivers in this partition; None before anybody said so."""
        courier: Courier | None = self.get(COURIER)
        return None if courier is None else courier.courier_id

    def subscription(self, subscription_id: str) -> Subscription | None:
        """A subscription that is on file."""
        found: Subscription | None = self.context.references.get("subscription", subscription_id)
        return found

    def lane(self, subscription_id: str) -> Lane:
        """A subscription's lane; a new one where there is none."""
        return self.get(lane_key(subscription_id)) or Lane(subscription_id)

    def keep(self, lane: Lane) -> Lane:
        """Keep a lane."""
        self.put(lane_key(lane.subscription_id), lane)
        return lane

    def _block(self, lane: Lane, number: int) -> Block:
        return self.get(block_key(lane.subscription_id, number)) or Block()

    # -- positions ----------------------------------------------------------------------------------------------

    def append(self, lane: Lane, topic: str, offset: int) -> Lane:
        """One more event waits."""
        block = self._block(lane, lane.last)
        if len(block) >= BLOCK_EVENTS:
            lane, block = _replace(lane, last=lane.last + 1), Block()
        self.put(block_key(lane.subscription_id, lane.last), block.with_one(topic, offset))
        since_ms = self.now_ms if lane.pending == 0 else lane.since_ms
        return self.keep(_replace(lane, pending=lane.pending + 1, since_ms=since_ms))

    def oldest(self, lane: Lane, count: int) -> list[Position]:
        """Where the first `count` events that wait stand."""
        found: list[Position] = []
        number, skip = lane.first, lane.skip
        while len(found) < count and number <= lane.last:
            found.extend(self._block(lane, number).positions(skip))
            number, skip = number + 1, 0
        return found[:count]

    def take_off(self, lane: Lane, count: int) -> Lane:
        """The first `count` events wait no longer."""
        first, skip = lane.first, lane.skip + count
        while first < lane.last and skip >= len(block := self._block(lane, first)):
            self.put(block_key(lane.subscription_id, first), None)
            first, skip = first + 1, skip - len(block)
        pending = lane.pending - count
        if pending == 0:
            self.put(block_key(lane.subscription_id, first), None)
            skip = 0
        since_ms = None if pending == 0 else self.now_ms if lane.since_ms is None else lane.since_ms
        return self.keep(_replace(lane, first=first, skip=skip, pending=pending, since_ms=since_ms))

    # -- what is published --------------------------------------------------------------------------------------

    def delivery_id(self, lane: Lane) -> str:
        """The id of the delivery that is to be made."""
        context = self.context
        return derive("delivery", lane.subscription_id, context.incarnation, context.partition, lane.number)

    def tell(self, model: type[Delivery], lane: Lane, **fields: Any) -> None:
        """Publish what became of events."""
        message = model(
            subscription_id=lane.subscription_id,
            pending=lane.pending,
            oldest_at=None if lane.since_ms is None else from_ms(lane.since_ms),
            updated_at=from_ms(self.now_ms),
            journal=self.journal,
            **{"delivery_id": self.delivery_id(lane), **fields},
        )
        self.post(DELIVERIES, message)

    def drop(self, lane: Lane, count: int, reason: str) -> Lane:
        """Give up the oldest events, and say so; what is under way with them counts no more."""
        events, delivery_id = self.oldest(lane, count), self.delivery_id(lane)
        lane = self.take_off(_replace(lane, number=lane.number + 1, count=0), count)
        self.tell(EventsDropped, lane, delivery_id=delivery_id, events=tuple(events), reason=reason)
        return lane

    def send(self, due: EventsDue) -> None:
        """Publish an attempt for the courier."""
        self.post(SENDS, due)
