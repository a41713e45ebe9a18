"""The logs of a machine on Kafka: writers, reads, bounds; positions of the live feed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Protocol

from aiokafka import TopicPartition as AioPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from schemas.record import Output, Record
from streams.engine.kafka_cluster import CLUSTER_TOPIC, incarnation_in
from streams.engine.kafka_producers import DELIVERY_TIMEOUT_S, Producers, SharedProducer
from streams.engine.kafka_reading import Readers
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import Bounds, Broker, TopicPartition, TransientError, UnknownOutcome, Writer

JOURNAL_SUFFIX = ".journal"

logger = logging.getLogger(__name__)


class Feed(Protocol):
    """The live consumer of the sources."""

    async def commit_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to be read, of assigned partitions."""

    def seek_feed(self, topic: str, partition: int, offset: int) -> None:
        """Go on at that offset."""


class KafkaWriter(Writer):
    """One owner's pen on the worker's shared producers. It writes no more where an outcome of its is unknown."""

    def __init__(self, journal: Producers, outputs: Producers) -> None:
        self._journal = journal
        self._outputs = outputs
        self._lost: set[TopicPartition] = set()
        self._closed = False
        self._pending: set[asyncio.Task[int]] = set()

    def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> Awaitable[int]:
        """Hand over outputs; awaiting gives the offset of the first one (`ports.Writer`)."""
        task = asyncio.ensure_future(self._append(topic, partition, outputs))
        self._pending.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[int]) -> None:
        self._pending.discard(task)
        if not task.cancelled():
            # Whoever dropped the partition no longer asks; that is no error.
            task.exception()

    async def _append(self, topic: str, partition: int, outputs: Sequence[Output]) -> int:
        if self._closed:
            raise UnknownOutcome(f"{topic}/{partition}: the writer is closed")
        producers = self._journal if topic.endswith(JOURNAL_SUFFIX) else self._outputs
        try:
            return await producers.append((topic, partition), outputs, self._lost)
        except asyncio.CancelledError:
            if self._closed:
                raise UnknownOutcome(f"{topic}/{partition}: the writer was closed meanwhile") from None
            raise

    async def close(self) -> None:
        """Stop; appends not yet acknowledged fail with UnknownOutcome."""
        self._closed = True
        pending = tuple(self._pending)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)


class KafkaBroker(Broker):
    """Kafka, or what speaks like it. `idempotent` needs producer ids; `stamps`: see `ports.Broker`.

    `attach` gives it the live consumer; before that, commits are dropped and a seek is an error.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        idempotent: bool = True,
        stamps: bool = True,
        stamps_journal: bool = False,
        lz4: bool = False,
        timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        def make() -> SharedProducer:
            return SharedProducer(settings, idempotent=idempotent, lz4=lz4, timeout_s=timeout_s)

        self._settings = settings
        self._stamps = stamps
        self._stamps_journal = stamps_journal
        self._feed: Feed | None = None
        self._journal = Producers(make, timeout_s)
        self._outputs = Producers(make, timeout_s)
        self._readers = Readers(settings, timeout_s, lists_ends=idempotent)
        self._admin: AIOKafkaAdminClient | None = None
        self._can_delete = True

    @property
    def stamps(self) -> bool:
        """Whether records carry the broker's append time."""
        return self._stamps

    @property
    def stamps_journal(self) -> bool:
        """Whether the journal's records do."""
        return self._stamps_journal

    def attach(self, feed: Feed) -> None:
        """Tell where commits and seeks go."""
        self._feed = feed

    async def incarnation(self) -> int:
        """Which life of the broker this is. Raises TransientError where it can't be asked or has no record yet."""
        bounds = await self._readers.bounds(CLUSTER_TOPIC, 0)
        async for records in self._readers.read(CLUSTER_TOPIC, 0, bounds.start, bounds.end):
            return incarnation_in(records[0].value)
        raise TransientError(f"{CLUSTER_TOPIC} has no record: run `doorstream topics apply`")

    async def writer(self) -> Writer:
        """A fresh writer. Raises TransientError where Kafka can't be reached."""
        await self._journal.shared()
        await self._outputs.shared()
        return KafkaWriter(self._journal, self._outputs)

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Where a partition begins and ends now. Raises TransientError."""
        return await self._readers.bounds(topic, partition)

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where many partitions end now; a partition that can't be asked is left out."""
        return await self._readers.ends(partitions)

    def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        """The records with start <= offset < stop, in order, in batches. Raises TransientError."""
        return self._readers.read(topic, partition, start, stop)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Let the broker forget older records; silent where it can't."""
        if not self._can_delete or offset <= 0:
            return
        place = AioPartition(topic, partition)
        try:
            admin = await self._administration()
            await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
        except NotImplementedError:
            self._can_delete = False
        except (KafkaError, OSError, AssertionError) as error:
            logger.debug("records of %s before %s stay: %r", place, offset, error)
            if "IncompatibleBrokerVersion" in repr(error):
                self._can_delete = False

    async def _administration(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._settings.client_options)
            await admin.start()
            self._admin = admin
        return self._admin

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Tell lag tools the next offset to be read; best effort."""
        if self._feed is not None and positions:
            await self._feed.commit_positions(positions)

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        """Make the feed of an assigned source partition go on at that offset."""
        if self._feed is None:
            raise RuntimeError("seek before a feed was attached: call `attach` with the live consumer first")
        self._feed.seek_feed(topic, partition, offset)

    async def close(self) -> None:
        """Disconnect everything."""
        with contextlib.suppress(Exception):
            await asyncio.gather(self._journal.close(), self._outputs.close())
        await self._readers.close()
        if self._admin is not None:
            with contextlib.suppress(Exception):
                await self._admin.close()
