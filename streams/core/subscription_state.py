"""The state of the subscriptions processor: what waits for each subscription, by where it stands in its topic."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from schemas.deliveries import Position
from streams.core.keeping import codec

COURIER = "courier"
"""The key of the partition's courier."""

TOPICS = (
    "lockouts",
    "access.decisions",
    "door.alarms",
    "device.states",
    "alerts",
    "exceptions",
    "incidents",
    "threats",
)
"""What can be subscribed to. Positions are kept by the topic's place here: a new one goes to the end."""

BLOCK_EVENTS = 100
"""Positions of one block, so that what is rewritten for each event stays below a KB."""

_place = struct.Struct(">BQ")


class Courier(msgspec.Struct, frozen=True, gc=False, tag="courier", array_like=True):
    """Which worker's courier is at work."""

    courier_id: str


class Lane(msgspec.Struct, frozen=True, gc=False, tag="lane", array_like=True):
    """A subscription's way out of this partition: `lane/<subscription id>`.

    `pending` events wait in the blocks `first` to `last`, of the first of which `skip` are done with. `number` counts
    deliveries; `count` is how many events the one that is to be made has, 0 before it was first tried.

    `phase`: `waiting` for `due_ms` (None: for an event), or `sending`: attempt number `attempt` is with `courier_id`
    and lost at `lost_ms`. `failures` in a row, since `failing_ms`. `since_ms`: the oldest that waits came then or
    later.
    """

    subscription_id: str
    first: int = 0
    last: int = 0
    skip: int = 0
    pending: int = 0
    number: int = 0
    count: int = 0
    phase: Literal["waiting", "sending"] = "waiting"
    due_ms: int | None = None
    since_ms: int | None = None
    attempt: int = 0
    courier_id: str = ""
    lost_ms: int = 0
    failures: int = 0
    failing_ms: int | None = None


class Block(msgspec.Struct, frozen=True, gc=False, tag="block", array_like=True):
    """Positions of pending events, in order: `block/<number>/<subscription id>`."""

    places: bytes = b""

    def __len__(self) -> int:
        return len(self.places) // _place.size

    def with_one(self, topic: str, offset: int) -> Block:
        """The same and one more."""
        return Block(self.places + _place.pack(TOPICS.index(topic), offset))

    def positions(self, start: int = 0) -> Sequence[Position]:
        """All from the `start`-th on."""
        found = _place.iter_unpack(self.places[start * _place.size :])
        return [(TOPICS[topic], offset) for topic, offset in found]


Entity = Courier | Lane | Block

encode, decode = codec(Entity)


def deadline(entity: Any) -> int | None:
    """When an entity is due."""
    return entity.due_ms if isinstance(entity, Lane) else None


def lane_key(subscription_id: str) -> str:
    """`lane/<subscription id>`."""
    return f"lane/{subscription_id}"


def block_key(subscription_id: str, number: int) -> str:
    """`block/<number>/<subscription id>`."""
    return f"block/{number}/{subscription_id}"
