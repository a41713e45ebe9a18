"""The sender of a notify worker: makes the attempts that are addressed to it, each once, and says how they ended.

It reads what the notify processor of any worker publishes, and makes itself known in the partitions that its own
worker's processor runs; from then on what is sent there is addressed to it. Another process has another id: an attempt
that a dead worker was to make is nobody else's, and the processor decides what to do about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import uuid4

import stamina
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from schemas.base import Message
from schemas.envelope import event_headers, type_of
from schemas.ids import derive
from schemas.recipients import Recipient
from schemas.registry import decode
from schemas.sending import NotificationAttempted, NotificationDue, SenderReady
from streams.agents.notify_channels import Attempt, Channel, masked
from streams.agents.notify_wording import Wording
from streams.connection import partitions_of, started
from streams.core.times import from_ms, rfc3339

SENDS = "doorstream.notify.sends"
RESULTS = "doorstream.notify.results"
POLL_MS = 100
FETCH_WAIT_MS = 100
AGAIN_S = 1.0
KEPT = 50_000
"""Attempts that are remembered, so that what is published again after a recovery is not sent again."""
AT_A_TIME = 4
"""Attempts under way for a recipient by one channel."""
STOP_S = 6.0
SOURCE = "/doorstream/notify"

logger = logging.getLogger(__name__)

Owned = Callable[[], Collection[int]]
FindRecipient = Callable[[str], Recipient | None]
Tell = Callable[[NotificationDue, Attempt, float], None]


class Sender:
    """Sends for the partitions that `owned` gives. `tell` hears of every attempt, its end and how long it took."""

    def __init__(
        self,
        options: Mapping[str, Any],
        owned: Owned,
        recipient: FindRecipient,
        channels: Mapping[str, Channel],
        wording: Wording,
        tell: Tell = lambda _due, _attempt, _seconds: None,
    ) -> None:
        self._options = dict(options)
        self._owned = owned
        self._recipient = recipient
        self._channels = channels
        self._wording = wording
        self._tell = tell
        self.sender_id = ""
        self._known: set[int] = set()
        self._announced_s: dict[int, float] = {}
        self._made: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}
        self._under_way: dict[asyncio.Task[None], float] = {}
        self._stopping = asyncio.Event()

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
            places = (await partitions_of(consumer, [SENDS])).get(SENDS, [])
            if not places:
                raise OSError(f"{SENDS} is missing: run `doorstream topics apply`")
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
                await self._publish(producer, partition, SenderReady(sender_id=self.sender_id), uuid4().hex)
                self._known.add(partition)

    def _take(self, record: ConsumerRecord, producer: AIOKafkaProducer) -> None:
        try:
            due = decode(SENDS, record.value)
        except ValueError:
            logger.exception("an attempt can't be read: another version's?")
            return
        if not isinstance(due, NotificationDue):
            return
        if due.sender_id != self.sender_id:
            # Somebody else is thought to send where this worker's processor is: say once more who does.
            self._known.discard(record.partition)
            return
        attempt = (due.notification_id, due.attempt)
        if attempt in self._made:
            return
        self._made[attempt] = None
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        task = asyncio.ensure_future(self._make(due, record.partition, producer))
        self._under_way[task] = time.monotonic()
        task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _make(self, due: NotificationDue, partition: int, producer: AIOKafkaProducer) -> None:
        begun_s = time.monotonic()
        recipient = self._recipient(due.recipient_id)
        address = None if recipient is None else recipient.address(due.channel)
        if address is None:
            attempt, target = Attempt("refused", "the recipient has no such address any more"), ""
        else:
            target = masked(address)
            # Begun in order, and a few at a time: nobody gets a flood at once, and no other recipient waits for it.
            async with self._turns.setdefault((due.recipient_id, due.channel), asyncio.Semaphore(AT_A_TIME)):
                attempt = await self._attempt(due, address)
        self._tell(due, attempt, time.monotonic() - begun_s)
        answer = NotificationAttempted.model_validate(
            {
                "sender_id": due.sender_id,
                "notification_id": due.notification_id,
                "attempt": due.attempt,
                "verdict": attempt.verdict,
                "error": attempt.error,
                "target": target,
                "retry_after_s": attempt.retry_after_s,
            }
        )
        await self._publish(producer, partition, answer, derive("attempted", due.notification_id, due.attempt))

    async def _attempt(self, due: NotificationDue, address: Any) -> Attempt:
        if time.time() > due.begin_before_at.timestamp():
            return Attempt("expired", "the channel is busy")
        channel = self._channels.get(due.channel)
        if channel is None:
            return Attempt("refused", "this version knows no such channel")
        try:
            text = self._wording.text(due.notice, due.channel, due.language)
            return await channel.send(address, due, text)
        except Exception as error:  # noqa: BLE001 - nobody is to be told less because of one message
            # The text of the error may quote the address.
            logger.error("an attempt by %s failed: %s", due.channel, type(error).__name__)  # noqa: TRY400
            return Attempt("failed", f"a defect of doorstream: {type(error).__name__}")

    async def _publish(self, producer: AIOKafkaProducer, partition: int, message: Message, id_: str) -> None:
        moment = rfc3339(from_ms(time.time_ns() // 1_000_000))
        headers = list(event_headers(id_, SOURCE, type_of(message), moment))
        async for attempt in stamina.retry_context(on=KafkaError, attempts=None, timeout=30.0, wait_max=2.0):
            with attempt:
                await producer.send_and_wait(
                    RESULTS,
                    message.to_json(),
                    key=self.sender_id.encode() or b"-",
                    partition=partition,
                    headers=headers,
                )
