"""What the machine needs of a broker, and what it is fed with. Kafka and the in-memory broker both offer it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from schemas.record import Output, Record
from streams.core.processor import Found, Lookup, Verification

TopicPartition = tuple[str, int]


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """Consecutive records of one topic partition, as fetched; never empty. `fetched_ms`: Unix, milliseconds."""

    topic: str
    partition: int
    records: tuple[Record, ...]
    fetched_ms: int


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """The first offset that a partition still holds, and the offset that its next record will get."""

    start: int
    end: int


class UnknownOutcome(Exception):  # noqa: N818 - it is a state of knowledge, not an error
    """A write of which nobody knows whether it happened: the partition is given up and recovered."""


class TransientError(Exception):
    """A step that may be tried again."""


class Writer(Protocol):
    """A fresh producer: what it wrote is in order, and nothing of an earlier owner is in flight in it.

    Appends to one partition are acknowledged in the order they were handed over; each is one batch (or several
    consecutive ones) of that partition. Appends to different partitions leave together.
    """

    def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> Awaitable[int]:
        """Hand over outputs; awaiting gives the offset of the first one.

        Raises (when awaited):
            UnknownOutcome: a time-out, an offset of -1, a closed producer.
            TransientError: refused without being written; may be tried again.
            ValueError: a record that the broker will never take (too large).
        """

    async def close(self) -> None:
        """Stop; appends not yet acknowledged fail with UnknownOutcome."""


class Readable(Protocol):
    """Logs to be read."""

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Where a partition begins and ends now."""

    def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        """The records with start <= offset < stop, in order, in batches."""


class Logs(Readable, Protocol):
    """Logs to be read again.

    `stamps`: whether `Record.timestamp_ms` is the broker's own append time; where not, it is the time of the fetch,
    and a record read again gets the one that the journal kept.
    """

    @property
    def stamps(self) -> bool:
        """Whether the inputs' records carry the broker's append time."""


class Broker(Logs, Protocol):
    """The logs that a machine reads and writes."""

    @property
    def stamps_journal(self) -> bool:
        """Whether the journal's records carry it, so that the broker's clock can be read from them."""

    async def incarnation(self) -> int | None:
        """Which life of the broker this is, as the cluster's own record says now; None where nobody can know.

        Raises:
            TransientError: it can't be asked, or has no record yet.
        """

    async def writer(self) -> Writer:
        """A fresh writer."""

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where many partitions end now, in one request; a partition that can't be asked is left out."""

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Let the broker forget older records; best effort."""

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Tell lag tools the next offset to be read; best effort, never read back by the machine."""

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        """Make the feed of an assigned source partition go on at that offset."""


class LookupSource(Protocol):
    """The database that a miss is looked up in."""

    async def fetch(self, lookups: Sequence[Lookup]) -> Mapping[Lookup, Sequence[Found]]:
        """All answers in one query; raises TransientError where nobody can answer."""


class Verifier(Protocol):
    """What verifies secrets; called in a worker thread."""

    def verify(self, verification: Verification) -> Any:
        """A JSON-able answer without the secret."""


class Clock(Protocol):
    """The worker's clock; tests hold it."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
