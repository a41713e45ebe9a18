"""What the senders of a worker have in common: they make the attempts that are addressed to them, each once.

A sender reads what its processor publishes in any worker, and makes itself known in the partitions that its own
worker's processor runs; from then on what is sent there is addressed to it. Another process has another id: an attempt
that a dead worker was to make is nobody else's, and the processor decides what to do about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Generic, TypeVar
from uuid import uuid4

import stamina
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from schemas.base import Message
from schemas.envelope import event_headers, type_of
from schemas.registry import decode
from streams.connection import partitions_of, started
from streams.core.times import from_ms, rfc3339

POLL_MS = 100
FETCH_WAIT_MS = 100
AGAIN_S = 1.0
KEPT = 50_000
"""Attempts that are remembered, so that what is published again after a recovery is not sent again."""
STOP_S = 6.0

logger = logging.getLogger(__name__)

Owned = Callable[[], Collection[int]]
Due = TypeVar("Due", bound=Message)
Say = Callable[[Message, str], Awaitable[None]]
"""Publishes what there is to say of an attempt, with its id; returns when the broker has it. Raises `KafkaError`."""


class Addressee(ABC, Generic[Due]):
    """Makes attempts for the partitions that `owned` gives: of messages `due` on `sends`, answered on `results`."""

    sends: str
    results: str
    source: str
    due: type[Due]

    def __init__(self, options: Mapping[str, Any], owned: Owned) -> None:
        self._options = dict(options)
        self._owned = owned
        self.sender_id = ""
        self._known: set[int] = set()
        self._announced_s: dict[int, float] = {}
        self._made: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._under_way: dict[asyncio.Task[None], float] = {}
        self._stopping = asyncio.Event()

    # -- what each kind of sender does its own way --------------------------------------------------------------

    @abstractmethod
    def ready_message(self) -> Message:
        """What makes this sender known."""

    @abstractmethod
    def addressee(self, due: Due) -> str:
        """The sender that an attempt is for."""

    @abstractmethod
    def attempt_of(self, due: Due) -> tuple[str, int]:
        """What is attempted, and for which time."""

    @abstractmethod
    async def make(self, due: Due, partition: int, say: Say) -> tuple[Message, str]:
        """Make an attempt; gives the answer and its id. Raises nothing but what `say` does."""

    async def close(self) -> None:
        """Let go of what attempts were made with."""

    # -- what all do --------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Known in every partition that the worker's processor runs."""
        return bool(self.sender_id) and self._known >= set(self._owned())

    @property
    def waiting(self) -> tuple[int, float]:
        """How many attempts are under way, and the age of the oldest in seconds."""
        begun = min(self._under_way.values(), default=0.0)
        return len(self._under_way), time.monotonic() - begun if begun else 0.0

    def request_stop(self) -> None:
        """Take no more attempts; `run` returns when those under way have ended, or a few seconds later."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until asked to stop. Where Kafka is away, begin anew with another id."""
        while not self._stopping.is_set():
            try:
                await self._serve()
            except (KafkaError, OSError) as error:
                logger.warning("the sender can't reach Kafka, trying again: %r", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), AGAIN_S)

    async def _serve(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._options, enable_auto_commit=False, auto_offset_reset="latest", fetch_max_wait_ms=FETCH_WAIT_MS
        )
        producer = AIOKafkaProducer(**self._options, acks="all", linger_ms=0)
        async with started(producer), started(consumer):
            places = (await partitions_of(consumer, [self.sends])).get(self.sends, [])
            if not places:
                raise OSError(f"{self.sends} is missing: run `doorstream topics apply`")
            consumer.assign(places)
            await consumer.seek_to_end(*places)
            for place in places:
                # The position must be known before anybody hears of this sender.
                await consumer.position(place)
            self._known, self.sender_id = set(), str(uuid4())
            try:
                while not self._stopping.is_set():
                    await self._announce(producer)
                    fetched: Mapping[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=POLL_MS)
                    for records in fetched.values():
                        for record in records:
                            self._take(record, producer)
            finally:
                self._known, self.sender_id = set(), ""
                await self._drain()

    async def _drain(self) -> None:
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=STOP_S)
        for task in list(self._under_way):
            task.cancel()

    async def _announce(self, producer: AIOKafkaProducer) -> None:
        owned = set(self._owned())
        self._known &= owned
        for partition in sorted(owned - self._known):
            if time.monotonic() - self._announced_s.get(partition, -AGAIN_S) >= AGAIN_S:
                self._announced_s[partition] = time.monotonic()
                await self._publish(producer, partition, self.ready_message(), uuid4().hex)
                self._known.add(partition)

    def _take(self, record: ConsumerRecord, producer: AIOKafkaProducer) -> None:
        try:
            due = decode(self.sends, record.value)
        except ValueError:
            logger.exception("an attempt can't be read: another version's?")
            return
        if not isinstance(due, self.due):
            return
        if self.addressee(due) != self.sender_id:
            # Somebody else is thought to send where this worker's processor is: say once more who does.
            self._known.discard(record.partition)
            return
        attempt = self.attempt_of(due)
        if attempt in self._made:
            return
        self._made[attempt] = None
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        task = asyncio.ensure_future(self._answer(due, record.partition, producer))
        self._under_way[task] = time.monotonic()
        task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _publish(self, producer: AIOKafkaProducer, partition: int, message: Message, id_: str) -> None:
        moment = rfc3339(from_ms(time.time_ns() // 1_000_000))
        headers = list(event_headers(id_, self.source, type_of(message), moment))
        async for attempt in stamina.retry_context(on=KafkaError, attempts=None, timeout=30.0, wait_max=2.0):
            with attempt:
                await producer.send_and_wait(
                    self.results,
                    message.to_json(),
                    key=self.sender_id.encode() or b"-",
                    partition=partition,
                    headers=headers,
                )

    async def _answer(self, due: Due, partition: int, producer: AIOKafkaProducer) -> None:
        async def say(message: Message, id_: str) -> None:
            await self._publish(producer, partition, message, id_)

        await say(*await self.make(due, partition, say))
