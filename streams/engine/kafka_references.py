"""Reference topics into a process's tables: in bulk at start, then as they change."""

from __future__ import annotations

import asyncio
import logging

from aiokafka import TopicPartition as AioPartition
from aiokafka.errors import KafkaError

from streams.engine.kafka_reading import BATCH_RECORDS, FETCH_BYTES, now_ms, to_records
from streams.engine.kafka_records import TolerantConsumer
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import Readable
from streams.engine.references import REFERENCE_PARTITION, ReferenceTables

POLL_MS = 1_000
FETCH_WAIT_MS = 500
BACKOFF_S = 0.5

logger = logging.getLogger(__name__)


class ReferenceFeed:
    """A consumer without a group, of every topic of the tables."""

    def __init__(self, settings: KafkaSettings, logs: Readable, tables: ReferenceTables) -> None:
        self._settings = settings
        self._logs = logs
        self._tables = tables

    async def load(self) -> None:
        """Read every topic from its beginning to the end seen now. Raises `TransientError`."""
        await self._tables.load(self._logs)

    async def follow(self) -> None:
        """Apply what is written from now on, until cancelled; needs `load` before."""
        if not self._tables.by_topic:
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
        positions = self._tables.positions()
        consumer.assign([AioPartition(topic, REFERENCE_PARTITION) for topic in positions])
        for topic, position in positions.items():
            consumer.seek(AioPartition(topic, REFERENCE_PARTITION), position + 1)
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            for place, records in fetched.items():
                self._tables.apply(place.topic, to_records(records, now_ms()))
