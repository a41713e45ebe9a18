"""Faust's Kafka consumer, giving chunks instead of messages and committing nothing but what it is told to.

Stock Faust acknowledges what raised, may commit past a message that nobody has processed (`_new_offset`, `_add_gap`),
drops what it re-reads below its read offset, and forgets its acknowledgements before a revocation commits them. Here
acknowledgements mean nothing at all: positions come from the machine, and none of Faust's own ways to a commit is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as AioPartition
from faust.transport.drivers.aiokafka import (
    DEFAULT_GENERATION_ID,
    AIOKafkaConsumerThread,
    ConsumerRebalanceListener,
    credentials_to_aiokafka_auth,
    server_list,
)
from faust.transport.drivers.aiokafka import Consumer as AioKafkaConsumer
from faust.types import TP, Message
from mode import Service

from streams.engine.kafka_reading import to_records
from streams.engine.ports import Chunk, TopicPartition

FETCH_WAIT_MS = 100
"""A partition that had no room joins the next fetch at the latest after this time."""
FETCH_BYTES = 1024 * 1024
CHUNK_RECORDS = 1_024
"""A chunk is decoded in one go: at most so many at a time keep the loop turning and the partitions equal."""
GETMANY_TIMEOUT_S = 1.0
FETCH_BACKOFF_S = 0.5

OnRevoked = Callable[[AbstractSet[TP], bool], Awaitable[None]]
"""What must happen before partitions are handed back; True: they may be somebody else's already, write nothing."""
OnAssigned = Callable[[AbstractSet[TP]], None]


class OpenPartitions:
    """The partitions that may be fetched from: sought by their owner, with nothing under way.

    aiokafka looks at it again each time that records arrive; one that is closed keeps what was fetched, so that
    nothing is lost or read twice, and no `pause` is needed.
    """

    def __init__(self) -> None:
        self._sought: set[Any] = set()
        self._busy: set[Any] = set()

    def __contains__(self, partition: Any) -> bool:
        return partition in self._sought and partition not in self._busy

    def __bool__(self) -> bool:
        return True  # an empty collection would mean "all" to aiokafka

    def __iter__(self) -> Iterator[Any]:
        return iter(self._sought - self._busy)

    def sought(self, partition: Any) -> None:
        """The owner has said where to go on."""
        self._sought.add(partition)

    def knows(self, partition: Any) -> bool:
        """Whether its owner has said where to go on."""
        return partition in self._sought

    def busy(self, partition: Any) -> None:
        """A chunk is on its way to the machine."""
        self._busy.add(partition)

    def free(self, partition: Any) -> None:
        """The machine took the chunk."""
        self._busy.discard(partition)

    def clear(self) -> None:
        """Nothing is owned."""
        self._sought.clear()
        self._busy.clear()


class LoopConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread without a thread: each hand-over between threads would wait for the interpreter."""

    abstract = False
    wait_for_shutdown = False

    def __init__(self, consumer: Any, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)

    async def start(self) -> None:
        """Start on the running loop."""
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        """Stop, leaving the group."""
        if self._started.is_set():
            await Service.stop(self)

    async def on_stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def crash(self, exc: BaseException) -> None:
        """Crash like any service."""
        await Service.crash(self, exc)

    def _stopped_set(self) -> None:
        self._stopped.set()

    def set_shutdown(self) -> None:
        """Set the shutdown signal."""
        self._shutdown.set()

    async def _stop_children(self) -> None:
        await self._default_stop_children()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def _stop_exit_stacks(self) -> None:
        await self._default_stop_exit_stacks()

    def _get_tasks(self) -> Iterable[Any]:
        return ()  # Faust's only task here keeps a thread's loop awake

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here and now."""
        result = fun(*args, **kwargs)
        return await result if asyncio.iscoroutine(result) or asyncio.isfuture(result) else result

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Hand back; called while the group still counts this member in, unless the generation is gone."""
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take over."""
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    @property
    def expelled(self) -> bool:
        """Whether the group no longer knows this member: its partitions may be somebody else's already."""
        return bool(self._ensure_consumer()._coordinator.generation == DEFAULT_GENERATION_ID)  # noqa: SLF001

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        # Round-robin, Faust's choice for apps without tables, would tear apart what is decided together.
        self._assignor = RangePartitionAssignor
        return AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )


class ChunkConsumer(AioKafkaConsumer):  # type: ignore[misc]
    """One Faust message per fetched topic partition: value = `Chunk`, offset = the chunk's last.

    `revoking` and `assigned` are set by the app's owner before it starts.
    """

    class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
        """Faust's."""

    revoking: OnRevoked | None = None
    assigned: OnAssigned | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open = OpenPartitions()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> LoopConsumerThread:
        return LoopConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- records in ---------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """What was fetched, by topic partition."""
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - Faust's own class
        fetcher = consumer._fetcher  # noqa: SLF001 - as Faust does, to fetch from some partitions only
        if consumer._closed or fetcher._closed:  # noqa: SLF001
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            fetched = await fetcher.fetched_records(self._open, timeout=timeout, max_records=CHUNK_RECORDS)
        consumer._coordinator.check_errors()  # noqa: SLF001
        fetched_ms = time.time_ns() // 1_000_000
        generation = self.app.consumer_generation_id
        for place, records in fetched.items():
            self._open.busy(place)
            chunk = Chunk(place.topic, place.partition, tuple(to_records(records, fetched_ms)), fetched_ms)
            tp = TP(place.topic, place.partition)
            yield tp, self._message(tp, chunk, records[-1].offset, generation)

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
                        if not self.flow_active:
                            break
                        await self.callback(message)
                except (KafkaError, OSError) as error:
                    if isinstance(error, ConsumerStoppedError):
                        raise
                    self.log.warning("Fetching failed, trying again: %r", error)
                    await asyncio.sleep(FETCH_BACKOFF_S)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.transport.app.should_stop:
                raise

    def release(self, topic: str, partition: int) -> None:
        """The machine took the chunk: the partition may be fetched from again."""
        self._open.free(AioPartition(topic, partition))
        self._wake_fetch()

    def _wake_fetch(self) -> None:
        # What lies ready is not noticed before the next record arrives, unless the waiting call looks again.
        consumer = self._thread._consumer  # noqa: SLF001
        if consumer is not None and consumer._fetcher._records:  # noqa: SLF001
            for waiter in tuple(consumer._fetcher._fetch_waiters):  # noqa: SLF001
                if not waiter.done():
                    waiter.set_result(None)

    # -- positions, from the machine alone ----------------------------------------------------------------------

    def seek_feed(self, topic: str, partition: int, offset: int) -> None:
        """Go on at that offset; ignored where the partition is no longer assigned."""
        place = AioPartition(topic, partition)
        consumer = self._thread._ensure_consumer()  # noqa: SLF001
        if place in consumer.assignment():
            consumer.seek(place, offset)
            self._open.free(place)
            self._open.sought(place)

    def feed_positions(self) -> dict[TopicPartition, int]:
        """The next offset to be fetched, of each assigned partition that has been sought."""
        consumer = self._thread._consumer  # noqa: SLF001
        subscription = None if consumer is None else consumer._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        if assignment is None:
            return {}
        states = {place: assignment.state_value(place) for place in assignment.tps}
        return {
            (place.topic, place.partition): state.position
            for place, state in states.items()
            if state.has_valid_position and self._open.knows(place)
        }

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
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let Faust open its streams, then let the machine recover."""
        self._open.clear()
        await super().on_partitions_assigned(assigned, generation_id)
        if self.assigned is not None and not self.should_stop:
            self.assigned(assigned)
