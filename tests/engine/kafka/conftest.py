from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.record import Record
from streams.engine.kafka_cluster import CLUSTER_TOPIC, ensure_incarnation, probe
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.kafka_topics import make_topics

T = TypeVar("T")
_names = itertools.count(1)
_run = f"{int(time.time()) % 1_000_000}-{os.getpid()}"


class Cluster:
    """A broker for synchronous tests: a loop in a thread, and the clients that a test needs."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.settings = KafkaSettings(bootstrap)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self) -> None:
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await self.admin.start()
        self.idempotent = (await probe(self.settings, [])).idempotent
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
        await self.producer.start()
        self.broker = KafkaBroker(self.settings, idempotent=self.idempotent, timeout_s=10)
        if CLUSTER_TOPIC not in await self.admin.list_topics():
            await make_topics(self.settings, [NewTopic(CLUSTER_TOPIC, 1, 1)])
        await ensure_incarnation(self.settings)

    def close(self) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _stop(self) -> None:
        await self.broker.close()
        await self.producer.stop()
        await self.admin.close()

    def make_topics(self, names: Sequence[str], partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
        given = {"message.timestamp.type": "LogAppendTime", **(configs or {})}
        wanted = [NewTopic(name, partitions, 1, topic_configs=given) for name in names]
        self.run(make_topics(self.settings, wanted))

    def publish(self, topic: str, key: str, value: bytes | None, partition: int = 0) -> None:
        self.run(self._publish(topic, key.encode(), value, partition))

    async def _publish(self, topic: str, key: bytes, value: bytes | None, partition: int) -> None:
        await self.producer.send(topic, value, key=key, partition=partition)

    def flush(self) -> None:
        self.run(self.producer.flush())

    def ends(self, topics: Sequence[str], partitions: int = 1) -> dict[tuple[str, int], int]:
        places = [(topic, number) for topic in topics for number in range(partitions)]
        return dict(self.run(self._ends(places)))

    async def _ends(self, places: Sequence[tuple[str, int]]) -> Any:
        return await self.broker.ends(places)

    def read(self, topic: str, partition: int = 0) -> list[Record]:
        return self.run(self._read(topic, partition))

    async def _read(self, topic: str, partition: int) -> list[Record]:
        bounds = await self.broker.bounds(topic, partition)
        found: list[Record] = []
        async for records in self.broker.read(topic, partition, bounds.start, bounds.end):
            found.extend(records)
        return found


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    given = os.environ.get("DOORSTREAM_TEST_KAFKA")
    made = Cluster(given or request.getfixturevalue("endpoints").kafka)
    yield made
    made.close()


@pytest.fixture
def prefix() -> str:
    """A beginning of topic names that no other test has."""
    return f"t{_run}-{next(_names)}."
