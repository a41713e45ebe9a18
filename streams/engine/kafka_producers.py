"""Producers of a worker: for journals and for everything else, each shared by all of its writers.

aiokafka has one produce request in flight per node and producer, so a journal must not queue behind outputs; and what
many partitions append in one turn of the event loop leaves in one request only if they share a producer.

An outcome that nobody knows, or a batch that was refused, concerns one topic partition. Its sequence of batches is
spoilt: aiokafka numbers a batch when it first leaves and repeats an unanswered one for ever, and after a gap the
broker takes nothing more of that producer there (`OutOfOrderSequenceNumber`). Other partitions have sequences of their
own, and theirs are whole. So the producer is replaced, but not broken off: it still answers for what others have
under way, and whoever has nothing under way goes on with the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from schemas.record import Output
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import TopicPartition, TransientError, UnknownOutcome

BATCH_BYTES = 900_000
"""One batch at most: below the broker's default limit of 1 MiB, which is a limit of batches."""
RECORD_BYTES = 1_000_000
"""One record at most, as it is written; a bigger one is refused before anything is."""
DELIVERY_TIMEOUT_S = 15.0
"""After that nobody knows what became of an append: an idempotent aiokafka batch would be retried for ever."""

ACKNOWLEDGE_SHARE = 1 / 3
"""Of that time, what the broker may wait for replicas. It answers a request as a whole: one partition whose replicas
are away would hold up the answers to all that left with it for as long as anybody waits."""
SPOILT_STOP_S = 1.0

_REFUSED = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class SharedProducer:
    """One aiokafka producer, and how many appends wait for its answers."""

    def __init__(self, settings: KafkaSettings, *, idempotent: bool, lz4: bool, timeout_s: float) -> None:
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._producer = AIOKafkaProducer(
            **settings.client_options,
            acks="all",
            enable_idempotence=idempotent,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            compression_type="lz4" if lz4 else None,
            request_timeout_ms=int(timeout_s * 1000),
        )
        self._producer._sender._request_timeout_ms = int(timeout_s * 1000 * ACKNOWLEDGE_SHARE)  # noqa: SLF001

    async def start(self) -> None:
        """Connect.

        Raises:
            TransientError: the broker can't be reached.
        """
        try:
            await self._producer.start()
        except KafkaError as error:
            raise TransientError(f"a producer can't reach Kafka: {error}") from error

    async def stop(self, patience_s: float) -> None:
        """Disconnect; whatever is still under way then has an unknown outcome."""
        try:
            await asyncio.wait_for(self._producer.stop(), patience_s)
        except (TimeoutError, KafkaError, OSError):
            # It waits for acknowledgements that won't come: pull the connections from under it.
            with contextlib.suppress(Exception):
                await self._producer.client.close()
                await asyncio.wait_for(self._producer._sender.close(), SPOILT_STOP_S)  # noqa: SLF001

    async def end(self) -> None:
        """Disconnect when nobody waits for an answer any more."""
        await self._idle.wait()
        await self.stop(SPOILT_STOP_S)

    def enter(self) -> None:
        """One more append waits for an answer."""
        self._under_way += 1
        self._idle.clear()

    def leave(self) -> None:
        """It waits no longer."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def hand_over(self, place: TopicPartition, outputs: Sequence[Output]) -> asyncio.Future[Any]:
        """Let the outputs leave in order; gives the future of their first batch, once the others are acknowledged.

        Raises:
            ValueError: one is too large; none has left.
        """
        topic, partition = place
        first, *others = self._build(outputs)
        future: asyncio.Future[Any] = await self._producer.send_batch(first, topic, partition=partition)
        last = future
        for batch in others:
            # Each after the one before it: were an earlier one refused, its repeat would come after later ones, and
            # readers drop what is below their mark.
            await acknowledged(last)
            last = await self._producer.send_batch(batch, topic, partition=partition)
        if last is not future:
            await acknowledged(last)
        return future

    def _build(self, outputs: Sequence[Output]) -> list[Any]:
        batches = [self._producer.create_batch()]
        for output in outputs:
            added = _add(batches[-1], output)
            if added is None:
                batches.append(self._producer.create_batch())
                added = _add(batches[-1], output)
            if added.size > RECORD_BYTES:
                raise ValueError(f"{output.topic}: a record of {added.size} bytes is above the limit of {RECORD_BYTES}")
        for batch in batches:
            batch.close()
        return batches


class _Lane:
    """One topic partition: appends enter one after the other; `under_way` of them wait for answers of `producer`."""

    __slots__ = ("entry", "producer", "under_way")

    def __init__(self) -> None:
        self.entry = asyncio.Lock()
        self.producer: SharedProducer | None = None
        self.under_way = 0


class Producers:
    """The producer that all writers share, and those before it that still owe answers."""

    def __init__(self, make: Callable[[], SharedProducer], timeout_s: float) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._shared: SharedProducer | None = None
        self._starting = asyncio.Lock()
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def shared(self) -> SharedProducer:
        """The producer for whoever has nothing under way; connected now where there is none.

        Raises:
            TransientError: the broker can't be reached.
        """
        async with self._starting:
            if self._shared is None:
                producer = self._make()
                try:
                    await producer.start()
                except BaseException:
                    self._end(producer)
                    raise
                self._shared = producer
            return self._shared

    async def append(self, place: TopicPartition, outputs: Sequence[Output], lost: set[TopicPartition]) -> int:
        """Append in the order of the calls per topic partition, and await it (`ports.Writer.append`).

        `lost` has the places where this owner does not know what became of an append; nothing of its may follow there.
        """
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane()
        name = f"{place[0]}/{place[1]}"
        producer: SharedProducer | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                async with lane.entry:
                    if place in lost:
                        raise UnknownOutcome(f"{name}: the outcome of an earlier append is unknown")
                    producer = await self._enter(lane)
                    future = await producer.hand_over(place, outputs)
                return await acknowledged(future)
        except _TOO_LARGE as error:
            self._replace(producer)
            raise ValueError(f"{name}: the broker takes no batch that large: {error}") from error
        except _REFUSED as error:
            self._replace(producer)
            raise TransientError(f"{name}: refused: {error!r}") from error
        except (KafkaError, OSError) as error:
            if producer is None:
                raise TransientError(f"{name}: nothing could leave within {self._timeout_s:g} s") from error
            lost.add(place)
            if lane.producer is producer:
                lane.producer, lane.under_way = None, 0
            self._replace(producer)
            why = f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else repr(error)
            raise UnknownOutcome(f"{name}: {why}") from error
        finally:
            self._leave(lane, producer)

    async def _enter(self, lane: _Lane) -> SharedProducer:
        # Behind what it has under way, so that nothing overtakes it; else wherever all go.
        producer = lane.producer if lane.under_way else None
        producer = producer or self._shared or await self.shared()
        if producer is not lane.producer:
            lane.producer, lane.under_way = producer, 0
        lane.under_way += 1
        producer.enter()
        return producer

    @staticmethod
    def _leave(lane: _Lane, producer: SharedProducer | None) -> None:
        if producer is None:
            return
        producer.leave()
        if lane.producer is producer:
            lane.under_way -= 1

    def _replace(self, producer: SharedProducer | None) -> None:
        if producer is not None and self._shared is producer:
            self._shared = None
            self._end(producer)

    def _end(self, producer: SharedProducer) -> None:
        task = asyncio.ensure_future(producer.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Disconnect; what is still under way then has an unknown outcome."""
        shared, self._shared = self._shared, None
        stops = [] if shared is None else [shared.stop(self._timeout_s)]
        await asyncio.gather(*stops, *self._ending)


async def acknowledged(future: asyncio.Future[Any]) -> int:
    """The offset that a batch was given; who no longer waits for it leaves no error behind."""
    try:
        offset: int = (await future).offset
    except BaseException:
        future.add_done_callback(_consume)
        raise
    if offset < 0:
        raise KafkaError("acknowledged without an offset")
    return offset


def _add(batch: Any, output: Output) -> Any:
    """What the batch says of it, or None where it has no room."""
    return batch.append(timestamp=output.timestamp_ms, key=output.key, value=output.value, headers=list(output.headers))


def _consume(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
