"""Faust's Kafka consumer, giving chunks instead of messages and committing nothing but what it is told to.

Stock Faust acknowledges what raised, may commit past a message that nobody has processed (`_new_offset`, `_add_gap`),
drops what it re-reads below its read offset, and forgets its acknowledgements before a revocation commits them. Here
acknowledgements mean nothing at all: positions come from the machine, and none of Faust's own ways to a commit is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as AioPartition
from faust.transport.drivers.aiokafka import Consumer as AioKafkaConsumer
from faust.transport.drivers.aiokafka import ConsumerRebalanceListener
from faust.types import TP, Message
from mode import Service

from streams.engine import dating
from streams.engine.faust_loop import LoopConsumerThread, OpenPartitions
from streams.engine.kafka_reading import to_records
from streams.engine.ports import Chunk, TopicPartition

FETCH_BYTES = 1024 * 1024
CHUNK_RECORDS = 1_024
"""What was fetched is unpacked and decoded in one go, some 20 us each: at most so many at a time keep the loop turning
and the partitions equal."""
HURRIED_RECORDS = 128
"""At most, while somebody has just come."""
GETMANY_TIMEOUT_S = 1.0
FETCH_BACKOFF_S = 0.5

OnRevoked = Callable[[AbstractSet[TP], bool], Awaitable[None]]
"""What must happen before partitions are handed back; True: they may be somebody else's already, write nothing."""
OnAssigned = Callable[[AbstractSet[TP]], None]


class Fetched(Chunk, frozen=True, gc=False):
    """A chunk that knows how often its feed had been sought: an older one than the feed's count is out of date.

    `start` is where the feed stood before it: the offset after the chunk before, or the one that was sought.
    """

    seek: int = 0
    start: int = 0


class ChunkConsumer(AioKafkaConsumer):  # type: ignore[misc]
    """One Faust message per fetched topic partition: value = `Chunk`, offset = the chunk's last.

    `revoking` and `assigned` are set by the app's owner before it starts, and so is `hurry`.
    """

    class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
        """Faust's."""

    revoking: OnRevoked | None = None
    assigned: OnAssigned | None = None
    hurry: Callable[[], bool] | None = None
    """Whether somebody waits for an answer, who would wait for all that is fetched at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open = OpenPartitions()
        self._seeks: dict[Any, int] = {}
        self._next: dict[Any, int] = {}
        """Where each feed stands: offsets have holes, so the first one of a chunk does not tell."""
        self._read_ms: dict[Any, int] = {}
        """When each partition was last seen to its end, where the broker does not stamp what it appends."""
        super().__init__(*args, **kwargs)

    @property
    def open_partitions(self) -> OpenPartitions:
        """The partitions that may be read from."""
        return self._open

    def _new_consumer_thread(self) -> LoopConsumerThread:
        return LoopConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- records in ---------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """What was fetched, by topic partition."""
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - Faust's own class
        fetcher = consumer._fetcher  # noqa: SLF001 - as Faust does, to fetch from some partitions only
        if consumer._closed or fetcher._closed:  # noqa: SLF001
            raise ConsumerStoppedError
        consumer._coordinator.check_errors()  # noqa: SLF001 - before the fetch: what was fetched must not be lost
        most = HURRIED_RECORDS if self.hurry is not None and self.hurry() else CHUNK_RECORDS
        asked_ms = time.time_ns() // 1_000_000
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            fetched = await fetcher.fetched_records(self._open, timeout=timeout, max_records=most)
        fetched_ms = time.time_ns() // 1_000_000
        generation = self.app.consumer_generation_id
        # All of them before the first is handed over: whatever is sought meanwhile comes after this fetch.
        found = [
            self._chunk(place, run, at_ms)
            for place, records in fetched.items()
            for at_ms, run in dating.runs(records, self._read_ms.get(place), fetched_ms)
        ]
        if fetcher._records:  # noqa: SLF001
            # It may wait for these partitions to be read to their end, and now they have enough to do: look again.
            fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001
        if not self.app.stamps:
            self._read_ms.update(dict.fromkeys(self._at_end(), asked_ms))
        for chunk in found:
            tp = TP(chunk.topic, chunk.partition)
            yield tp, self._message(tp, chunk, chunk.records[-1].offset, generation)

    def _at_end(self) -> list[AioPartition]:
        """The partitions of which the broker had no more when it last answered."""
        states = self._feed_states()
        return [
            place
            for place, state in states.items()
            if state.highwater is not None and state.position >= state.highwater
        ]

    def _chunk(self, place: AioPartition, records: Sequence[ConsumerRecord], fetched_ms: int) -> Fetched:
        self._open.busy(place)
        rows = tuple(to_records(records, fetched_ms))
        start = self._next.get(place, rows[0].offset)
        self._next[place] = rows[-1].offset + 1
        return Fetched(place.topic, place.partition, rows, fetched_ms, self._seeks.get(place, 0), start)

    def _message(self, tp: TP, chunk: Chunk, offset: int, generation: int) -> Message:
        return Message(
            tp.topic,
            tp.partition,
            offset,
            chunk.fetched_ms / 1000,
            0,
            None,
            None,
            chunk,
            None,
            tp=tp,
            generation_id=generation,
        )

    async def _drain_messages(self, fetcher: Service) -> None:
        # Faust's own loop costs four tasks per message and drops what it was told to read again.
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait_first(self.can_resume_flow.wait(), timeout=GETMANY_TIMEOUT_S)
                    continue
                try:
                    async for _tp, message in self.getmany(GETMANY_TIMEOUT_S):
                        if self.flow_active:
                            await self.callback(message)
                        else:
                            self._put_back(message.value)
                except (KafkaError, OSError) as error:
                    if isinstance(error, ConsumerStoppedError):
                        raise
                    self.log.warning("Fetching failed, trying again: %r", error)
                    await asyncio.sleep(FETCH_BACKOFF_S)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.transport.app.should_stop:
                raise

    def _put_back(self, chunk: Fetched) -> None:
        # A fetch may outlast a change of ownership, and the partition may have been sought again before Faust lets
        # its streams go on: dropped, its records would be missing, and it would count as under way for ever.
        place = AioPartition(chunk.topic, chunk.partition)
        consumer = self._thread._consumer  # noqa: SLF001
        # Not where an earlier run of the same fetch has been sought already.
        again = self.up_to_date(chunk) and chunk.start < self._next.get(place, 0)
        if again and consumer is not None and place in consumer.assignment():
            consumer.seek(place, chunk.records[0].offset)
            self._next[place] = chunk.start
        self._open.free(place)

    def release(self, topic: str, partition: int) -> None:
        """The machine took the chunk: the partition may be fetched from again."""
        self._open.free(AioPartition(topic, partition))
        self._wake_fetch()

    def _wake_fetch(self) -> None:
        # What lies ready is not noticed before the next record arrives, unless the waiting call looks again.
        consumer = self._thread._consumer  # noqa: SLF001
        if consumer is not None and consumer._fetcher._records:  # noqa: SLF001
            for waiter in tuple(consumer._fetcher._fetch_waiters):  # noqa: SLF001
                consumer._fetcher._notify(waiter)  # noqa: SLF001

    # -- positions, from the machine alone ----------------------------------------------------------------------

    def seek_feed(self, topic: str, partition: int, offset: int) -> None:
        """Go on at that offset; ignored where the partition is no longer assigned."""
        place = AioPartition(topic, partition)
        consumer = self._thread._ensure_consumer()  # noqa: SLF001
        if place in consumer.assignment():
            consumer.seek(place, offset)
            self._next[place] = offset
            self._seeks[place] = self._seeks.get(place, 0) + 1
            self._open.free(place)
            self._open.sought(place)

    def up_to_date(self, chunk: Chunk) -> bool:
        """Whether its feed has not been sought since it was fetched."""
        return isinstance(chunk, Fetched) and chunk.seek == self._seeks.get((chunk.topic, chunk.partition), 0)

    def fed_from(self, chunk: Chunk) -> int:
        """Where its feed stood before it: where that is what a reader had come to, nothing lies between."""
        return chunk.start if isinstance(chunk, Fetched) else chunk.records[0].offset

    def feed_positions(self) -> dict[TopicPartition, int]:
        """The next offset to be fetched, of each assigned partition that has been sought."""
        return {(place.topic, place.partition): state.position for place, state in self._feed_states().items()}

    def _feed_states(self) -> dict[AioPartition, Any]:
        consumer = self._thread._consumer  # noqa: SLF001
        subscription = None if consumer is None else consumer._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return {}
        states = {place: assignment.state_value(place) for place in assignment.tps}
        return {place: state for place, state in states.items() if state.has_valid_position and self._open.knows(place)}

    async def commit_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to be read; best effort, for lag tools."""
        consumer = self._thread._consumer  # noqa: SLF001
        if consumer is None or self._thread.expelled:
            return
        assignment = consumer.assignment()
        offsets = {
            AioPartition(*place): OffsetAndMetadata(offset, "")
            for place, offset in positions.items()
            if AioPartition(*place) in assignment
        }
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (KafkaError, OSError) as error:
            self.log.info("Positions are not committed this time: %r", error)

    # -- Faust's own acknowledgements and commits, without effect -----------------------------------------------

    def track_message(self, message: Message) -> None:
        """Nothing: the machine keeps what it has not journalled."""

    def ack(self, message: Message) -> bool:
        """Nothing but the flag: that an agent is through with a chunk says nothing of its effects."""
        message.acked = True
        return True

    def _new_offset(self, _tp: TP) -> int | None:
        return None

    async def commit(self, _topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Nothing."""
        return False

    async def force_commit(self, _topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Nothing."""
        return False

    async def _commit_offsets(self, _offsets: Any, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        return False

    async def wait_empty(self) -> None:
        """Nothing: the machine has been drained before."""

    async def perform_seek(self) -> None:
        """Nothing: the machine seeks when it has recovered a partition."""

    async def verify_all_partitions_active(self) -> None:
        """Nothing: the watchdog looks at lag and progress."""

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Nothing: Faust drops what was fetched of a paused partition."""

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Nothing, as above."""

    # -- changes of ownership -----------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the machine finish and commit first, then let Faust clear its streams."""
        self.stop_flow()
        if self.revoking is not None and revoked:
            await self.revoking(revoked, self._thread.expelled)
        self._open.clear()
        self._read_ms.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let Faust open its streams, then let the machine recover."""
        self._open.clear()
        self._read_ms.clear()
        await super().on_partitions_assigned(assigned, generation_id)
        if self.assigned is not None and not self.should_stop:
            self.assigned(assigned)
