"""What every measurement needs: a broker with topics, reference data, and signed requests that wait."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from bench.programs import POLL_S, BenchmarkError
from bench.world import MASTER, Shape, Signed, references, requests, signed_reference
from schemas.partitioning import partition_of
from schemas.topics import registry
from streams.agents.cluster import Cluster
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.kafka_topics import make_topics

PARTITIONS = 12
REQUESTS = "access.requests"
DECISIONS = "access.decisions"
COMMANDS = "device.commands"
BATCH_BYTES = 256 * 1024
MOST_UNDER_WAY = 64

Plain = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""Key, value and headers of a record."""


@dataclass
class Stage:
    """A broker that is ready to be measured. Use as `async with`."""

    kafka: str
    folder: Path
    shape: Shape = field(default_factory=Shape)
    options: dict[str, Any] = field(init=False)
    environment: dict[str, str] = field(init=False)
    """What makes a worker of ours work here."""
    _boots: Iterator[int] = field(init=False, default_factory=lambda: itertools.count(1))
    _asker: AIOKafkaConsumer = field(init=False)
    _producer: AIOKafkaProducer = field(init=False)

    async def __aenter__(self) -> Self:
        secret = self.folder / "master-secret"
        secret.write_text(MASTER.hex(), encoding="ascii")
        secret.chmod(0o600)
        self.options = {"bootstrap_servers": self.kafka}
        self.environment = {
            "DOORSTREAM_KAFKA": self.kafka,
            "DOORSTREAM_MASTER_SECRET_FILE": str(secret),
            "DOORSTREAM_PARTITIONS": str(PARTITIONS),
        }
        async with Cluster(self.options) as cluster:
            await cluster.apply(registry(), PARTITIONS, 1)
        self._asker = AIOKafkaConsumer(**self.options, enable_auto_commit=False)
        await self._asker.start()
        self._producer = AIOKafkaProducer(**self.options, acks="all", max_batch_size=BATCH_BYTES)
        await self._producer.start()
        await self._publish_references()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._producer.stop()
        await self._asker.stop()

    async def make_topics(self, *names: str) -> None:
        """Topics beside the registry's, with as many partitions."""
        await make_topics(KafkaSettings.of(self.options), [NewTopic(name, PARTITIONS, 1) for name in names])

    async def count(self, *topics: str) -> int:
        """How many records these topics ever had."""
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        ends = await self._asker.end_offsets(places)
        return int(sum(ends.values()))

    async def decided(self, within_s: float) -> None:
        """Wait until every request has its command.

        Raises:
            BenchmarkError: some have none after that time.
        """
        deadline = time.monotonic() + within_s
        while (left := await self.count(REQUESTS) - await self.count(COMMANDS)) > 0:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{left} requests have no command after {within_s:g} s")
            await asyncio.sleep(POLL_S)

    def messages(self, count: int) -> Iterator[Signed]:
        """Signed requests that no controller has sent before."""
        return requests(self.shape, count, boot=self.boot())

    def boot(self) -> int:
        """What no controller has called a start of its before."""
        return next(self._boots)

    async def fill(self, count: int) -> None:
        """Let that many signed requests wait in their topic."""
        rows: dict[int, list[Signed]] = {}
        for message in self.messages(count):
            rows.setdefault(partition_of(message.key, PARTITIONS), []).append(message)
        for partition, waiting in rows.items():
            records = ((one.key, one.value, one.headers) for one in waiting)
            await self.publish(REQUESTS, partition, records)

    async def publish(self, topic: str, partition: int, records: Iterable[Plain]) -> None:
        """Write records (key, value, list of headers) in large batches, in order."""
        producer = self._producer
        under_way: list[Any] = []
        batch = producer.create_batch()
        for key, value, headers in records:
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                under_way.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
                if len(under_way) >= MOST_UNDER_WAY:
                    await asyncio.gather(*under_way)
                    under_way.clear()
        under_way.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*under_way)

    async def _publish_references(self) -> None:
        rows: dict[str, list[Plain]] = {}
        for topic, id_, message in references(self.shape):
            rows.setdefault(topic, []).append(signed_reference(topic, id_, message)[1:])
        for topic, records in rows.items():
            await self.publish(topic, 0, records)
