"""The simulation's line to the broker: records out in the order they were said, commands and decisions in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from schemas.envelope import POSITION_HEADER
from streams.connection import partitions_of, started
from streams.simulator.wire import Headers, Outgoing

COMMANDS, DECISIONS, DURESS = "device.commands", "access.decisions", "duress.events"
STATES, SNAPSHOTS = "device.states", "device.snapshots"
INCIDENTS, MODES = "incidents", "door.modes"
_POSITION_PARTS = 5


class Arrived(NamedTuple):
    """A record that was read, and when (`perf_counter` seconds)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers
    at_s: float

    @property
    def as_read(self) -> tuple[str, bytes | None, bytes, Headers]:
        """Topic, key, value and headers."""
        return self.topic, self.key, self.value, self.headers


class TopicsMissingError(Exception):
    """The broker lacks a topic that controllers need."""


class Marks:
    """Drops what a worker repeats after a take-over: positions not above the last one of their source."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, bytes, bytes], tuple[int, int, int]] = {}

    def fresh(self, topic: str, partition: int, headers: Headers) -> bool:
        """Whether a record is new; one without a position always is."""
        header = next((content for name, content in headers if name == POSITION_HEADER), None)
        parts = header.split(b"/") if header is not None else []
        if len(parts) != _POSITION_PARTS:
            return True
        processor, incarnation, decided_in, number, index = parts
        key, position = (topic, partition, processor, decided_in), (int(incarnation), int(number), int(index))
        if position <= self._seen.get(key, (-1, -1, -1)):
            return False
        self._seen[key] = position
        return True


OnSent = Callable[[Outgoing, float], None]
"""Hears of a record when it is sent, and when that was (`perf_counter` seconds)."""


class Line(Protocol):
    """Sends what controllers say, one after the other, and reads what they and the oracle listen to."""

    failures: list[str]

    def say(self, outgoing: Outgoing) -> None:
        """Publish a record after those said before."""

    @property
    def quiet(self) -> bool:
        """Whether everything said has been acknowledged."""

    async def hear(self, timeout_s: float) -> list[Arrived]:
        """What has arrived, in the order of each partition."""

    def history(self) -> AsyncIterator[Arrived]:
        """The decisions made before now; afterwards `hear` goes on where this ends."""


Opened = AbstractAsyncContextManager[Line]


class KafkaLine:
    """The line to a Kafka broker."""

    def __init__(self, consumer: Any, producer: Any, on_sent: OnSent) -> None:
        self._consumer = consumer
        self._producer = producer
        self._on_sent = on_sent
        self._queue: asyncio.Queue[Outgoing] = asyncio.Queue()
        self._unacknowledged = 0
        self.failures: list[str] = []

    @classmethod
    @asynccontextmanager
    async def opened(cls, options: Mapping[str, Any], on_sent: OnSent) -> AsyncIterator[Line]:
        """A line to the broker: commands, duress and states from now on, all else from the first.

        Raises:
            TopicsMissingError: a topic is not there.
        """
        reading = AIOKafkaConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=200)
        writing = AIOKafkaProducer(**options, acks="all", linger_ms=0, partitioner=DefaultPartitioner())
        async with started(reading) as consumer, started(writing) as producer:
            line = cls(consumer, producer, on_sent)
            await line._assign()
            sender = asyncio.create_task(line._send())
            try:
                yield line
            finally:
                sender.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sender

    def say(self, outgoing: Outgoing) -> None:
        """Publish a record after those said before."""
        self._queue.put_nowait(outgoing)

    @property
    def quiet(self) -> bool:
        """Whether everything said has been acknowledged."""
        return self._queue.empty() and self._unacknowledged == 0

    async def hear(self, timeout_s: float) -> list[Arrived]:
        """What has arrived, in the order of each partition."""
        batches = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000))
        at_s = time.perf_counter()
        return [
            Arrived(r.topic, r.partition, r.offset, r.key, r.value or b"", tuple(r.headers), at_s)
            for batch in batches.values()
            for r in batch
        ]

    async def history(self) -> AsyncIterator[Arrived]:
        """The decisions made before now; afterwards `hear` goes on where this ends."""
        places = [place for place in self._consumer.assignment() if place.topic == DECISIONS]
        others = [place for place in self._consumer.assignment() if place.topic != DECISIONS]
        ends = await self._consumer.end_offsets(places)
        self._consumer.pause(*others)
        while any([await self._consumer.position(place) < ends[place] for place in places]):
            for arrived in await self.hear(0.5):
                yield arrived
        self._consumer.resume(*others)

    async def _assign(self) -> None:
        topics = (COMMANDS, DECISIONS, DURESS, STATES, SNAPSHOTS, INCIDENTS, MODES)
        found = await partitions_of(self._consumer, topics)
        for topic in topics:
            if topic not in found:
                raise TopicsMissingError(f"the broker has no topic {topic}: run `doorstream topics apply`")
        places = [place for topic in topics for place in found[topic]]
        self._consumer.assign(places)
        whole = [place for place in places if place.topic not in (COMMANDS, DURESS, STATES)]
        others = [place for place in places if place not in whole]
        await self._consumer.seek_to_beginning(*whole)
        await self._consumer.seek_to_end(*others)
        for place in places:
            await self._consumer.position(place)

    async def _send(self) -> None:
        while True:
            outgoing = await self._queue.get()
            self._unacknowledged += 1
            self._on_sent(outgoing, time.perf_counter())
            try:
                future = await self._producer.send(
                    outgoing.topic, outgoing.value, key=outgoing.key, headers=list(outgoing.headers)
                )
            except Exception as error:  # noqa: BLE001 - one record that can't be sent must not silence all controllers
                self._unacknowledged -= 1
                self.failures.append(repr(error))
                continue
            future.add_done_callback(self._acknowledged)

    def _acknowledged(self, future: asyncio.Future[Any]) -> None:
        self._unacknowledged -= 1
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self.failures.append(repr(error))
