"""Reads of any topic partition from one offset to another, and of where partitions begin and end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka import ConsumerRecord
from aiokafka import TopicPartition as AioPartition
from aiokafka.errors import KafkaError

from schemas.record import Record
from streams.engine.kafka_records import TolerantConsumer
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import Bounds, TopicPartition, TransientError

FETCH_WAIT_MS = 50
FETCH_BYTES = 4 * 1024 * 1024
POLL_MS = 250
BATCH_RECORDS = 5_000
KEPT_READERS = 4
EMPTY_POLLS = 4
"""Fetches without a record, of a partition whose end lies further on: nothing is there any more (compaction)."""
LOG_APPEND_TIME = 1


def to_records(fetched: Sequence[ConsumerRecord], fetched_ms: int) -> list[Record]:
    """Fetched records as ours; `fetched_ms` stands where the broker doesn't stamp."""
    return [
        Record(
            one.topic,
            one.partition,
            one.offset,
            one.key,
            one.value,
            one.headers,
            one.timestamp if one.timestamp_type == LOG_APPEND_TIME else fetched_ms,
        )
        for one in fetched
    ]


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Readers:
    """A few consumers without a group, kept for the next read.

    `lists_ends`: whether the broker lists where partitions end as it is; the embedded one lists the last batch's first
    offset + 1, and tells the truth only with what it delivers.
    """

    def __init__(self, settings: KafkaSettings, timeout_s: float, *, lists_ends: bool = True) -> None:
        self._settings = settings
        self._lists_ends = lists_ends
        self._timeout_s = timeout_s
        self._idle: list[TolerantConsumer] = []
        self._asker: TolerantConsumer | None = None
        self._starting = asyncio.Lock()

    async def _start(self) -> TolerantConsumer:
        consumer = TolerantConsumer(
            **self._settings.client_options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=int(self._timeout_s * 1000),
        )
        try:
            await consumer.start()
        except KafkaError as error:
            with contextlib.suppress(Exception):
                await consumer.stop()
            raise TransientError(f"a reader can't reach Kafka: {error}") from error
        return consumer

    async def _ask(self) -> TolerantConsumer:
        async with self._starting:
            if self._asker is None:
                self._asker = await self._start()
            return self._asker

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Where a partition begins and ends now."""
        place = AioPartition(topic, partition)
        asker = await self._ask()
        try:
            start, end = await asyncio.gather(asker.beginning_offsets([place]), asker.end_offsets([place]))
        except (KafkaError, ValueError) as error:
            raise TransientError(f"{topic}/{partition} can't be asked for its bounds: {error!r}") from error
        ends = end if self._lists_ends else await self._delivered_ends(end)
        return Bounds(start[place], ends[place])

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where partitions end; in one request, or one by one where that fails."""
        places = [AioPartition(*one) for one in partitions]
        if not places:
            return {}
        asker = await self._ask()
        try:
            listed = await asker.end_offsets(places)
            ends = listed if self._lists_ends else await self._delivered_ends(listed)
            return {(one.topic, one.partition): end for one, end in ends.items()}
        except (KafkaError, ValueError):
            found: dict[TopicPartition, int] = {}
            for place in places:
                with contextlib.suppress(KafkaError, ValueError):
                    found[place.topic, place.partition] = (await asker.end_offsets([place]))[place]
            return found

    async def _delivered_ends(self, listed: Mapping[AioPartition, int]) -> Mapping[AioPartition, int]:
        """Where partitions end by what fetches from their listed ends say."""
        consumer = await self._start()
        try:
            consumer.assign(list(listed))
            for place, end in listed.items():
                consumer.seek(place, end)
            known: dict[AioPartition, int] = {}
            until = time.monotonic() + self._timeout_s
            while len(known) < len(listed) and time.monotonic() < until:
                await consumer.getmany(timeout_ms=FETCH_WAIT_MS)
                known = {place: end for place in listed if (end := consumer.highwater(place)) is not None}
            return {place: max(end, known.get(place, end)) for place, end in listed.items()}
        except (KafkaError, OSError) as error:
            raise TransientError(f"the ends of partitions can't be fetched: {error!r}") from error
        finally:
            with contextlib.suppress(Exception):
                await consumer.stop()

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        """The records with start <= offset < stop that still exist, in order, in batches."""
        if stop <= start:
            return
        consumer = self._idle.pop() if self._idle else await self._start()
        healthy = False
        try:
            async for records in self._read(consumer, AioPartition(topic, partition), start, stop):
                yield records
            healthy = True
        except (KafkaError, OSError) as error:
            raise TransientError(f"{topic}/{partition} can't be read: {error!r}") from error
        finally:
            if healthy and len(self._idle) < KEPT_READERS:
                consumer.unsubscribe()
                self._idle.append(consumer)
            else:
                with contextlib.suppress(Exception):
                    await consumer.stop()

    async def _read(
        self, consumer: TolerantConsumer, place: AioPartition, start: int, stop: int
    ) -> AsyncIterator[Sequence[Record]]:
        consumer.assign([place])
        consumer.seek(place, start)
        position, empty = start, 0
        heard_s = time.monotonic()
        while position < stop:
            batches = await consumer.getmany(place, timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            fetched = batches.get(place, ())
            # Aborted or compacted records move the position without giving a record.
            moved = await consumer.position(place)
            if fetched:
                records = to_records(fetched, now_ms())
                if records[-1].offset >= stop:
                    records = [record for record in records if record.offset < stop]
                if records:
                    yield records
            if moved > position:
                position, empty, heard_s = moved, 0, time.monotonic()
                continue
            if (consumer.highwater(place) or 0) >= stop:
                empty += 1
                if empty >= EMPTY_POLLS:
                    return
            if time.monotonic() - heard_s > self._timeout_s:
                raise TransientError(f"{place.topic}/{place.partition}: nothing to read at {position} of {stop}")

    async def close(self) -> None:
        """Disconnect."""
        idle, self._idle = self._idle, []
        asker, self._asker = self._asker, None
        for consumer in [*idle, *([asker] if asker is not None else [])]:
            with contextlib.suppress(Exception):
                await consumer.stop()
