"""Reference topics into a process's tables: in bulk at start, then as they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiokafka import TopicPartition as AioPartition
from aiokafka.errors import KafkaError

from streams.core.processor import ReferenceTable
from streams.engine.faust_process import SystemClock
from streams.engine.kafka_cluster import probe
from streams.engine.kafka_reading import BATCH_RECORDS, FETCH_BYTES, Readers, now_ms, to_records
from streams.engine.kafka_records import TolerantConsumer
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.references import REFERENCE_PARTITION, ReferenceTables

LOAD_TIMEOUT_S = 30.0
"""A reference topic that gives nothing for so long can't be read."""
POLL_MS = 1_000
FETCH_WAIT_MS = 500
BACKOFF_S = 0.5

logger = logging.getLogger(__name__)


async def reference_feed(settings: KafkaSettings, specs: Sequence[ReferenceTable]) -> ReferenceFeed:
    """What fills and follows the tables of these reference topics, each of which may be named more than once.

    Raises:
        ClusterError: Kafka can't be reached.
        ValueError: a topic is to be read in two ways.
    """
    abilities = await probe(settings, list(dict.fromkeys(spec.topic for spec in specs)))
    tables = ReferenceTables(specs, SystemClock(), stamps=abilities.stamps)
    return ReferenceFeed(settings, tables, lists_ends=abilities.idempotent)


class ReferenceFeed:
    """A consumer without a group, of every topic of the tables. `lists_ends`: as `Readers` has it."""

    def __init__(self, settings: KafkaSettings, tables: ReferenceTables, *, lists_ends: bool) -> None:
        self.tables = tables
        self._settings = settings
        self._lists_ends = lists_ends

    async def load(self) -> None:
        """Read every topic from its beginning to the end seen now. Raises `TransientError`."""
        readers = Readers(self._settings, LOAD_TIMEOUT_S, lists_ends=self._lists_ends)
        try:
            await self.tables.load(readers)
        finally:
            await readers.close()

    async def follow(self) -> None:
        """Apply what is written from now on, until cancelled; needs `load` before."""
        if not self.tables.by_topic:
            await asyncio.Event().wait()
        while True:
            consumer = TolerantConsumer(
                **self._settings.client_options,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=FETCH_WAIT_MS,
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            try:
                await consumer.start()
                await self._follow(consumer)
            except (KafkaError, OSError) as error:
                logger.warning("reference topics can't be read, trying again: %r", error)
            finally:
                await consumer.stop()
            await asyncio.sleep(BACKOFF_S)

    async def _follow(self, consumer: TolerantConsumer) -> None:
        positions = self.tables.positions()
        consumer.assign([AioPartition(topic, REFERENCE_PARTITION) for topic in positions])
        for topic, position in positions.items():
            consumer.seek(AioPartition(topic, REFERENCE_PARTITION), position + 1)
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            for place, records in fetched.items():
                self.tables.apply(place.topic, to_records(records, now_ms()))
