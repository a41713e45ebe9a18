"""From records to messages, as every sink reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from schemas.record import Record
from schemas.reference import ENTITIES
from schemas.registry import decode

Place = tuple[str, int]

HISTORY_TOPICS = ("access.decisions", "device.commands", "command.results", "door.events", "device.events", "alerts")
"""What both stores keep."""

REFERENCE_TOPICS = tuple(entity.topic for entity in ENTITIES if entity.name != "secret")
"""What PostgreSQL keeps besides, for lookups; secrets are stored nowhere."""


class SinkUnavailable(Exception):  # noqa: N818 - a state of the server
    """The database does not answer; the batch may be written again."""


class Stored(NamedTuple):
    """A message and where it lay. `message` None = a tombstone."""

    record: Record
    message: Any


def read(records: Iterable[Record]) -> Iterator[Stored]:
    """The messages in records; what can't be decoded is a dead letter elsewhere and is passed over here."""
    for record in records:
        if record.value is None:
            yield Stored(record, None)
            continue
        try:
            yield Stored(record, decode(record.topic, record.value))
        except (ValueError, LookupError):
            continue


def next_offsets(records: Sequence[Record]) -> dict[Place, int]:
    """The offset after the last record of each topic partition."""
    ends: dict[Place, int] = {}
    for record in records:
        place = (record.topic, record.partition)
        ends[place] = max(ends.get(place, 0), record.offset + 1)
    return ends
