"""Reference topics of a test's own, and the loader pointed at them."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from deploy.stack.model import Endpoints
from schemas.reference import ENTITIES
from streams.commands.load import load_campus
from streams.commands.reading import read_topics
from streams.connection import kafka_options, started
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.kafka_topics import make_topics
from streams.hashing import PinHashing, hasher
from streams.loading.campus import Campus
from streams.loading.plan import Counts
from streams.settings import Settings

MASTER = bytes(range(32))
_names = itertools.count(1)
_run = f"{int(time.time()) % 1_000_000}-{os.getpid()}"


class Topics:
    """Twelve reference topics under a prefix of their own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.prefix = f"load{_run}-{next(_names)}."
        self.options = kafka_options(settings)
        asyncio.run(self._make())

    async def _make(self) -> None:
        configs = {"message.timestamp.type": "LogAppendTime"}
        names = [self.prefix + entity.topic for entity in ENTITIES]
        wanted = [NewTopic(name, 1, 1, topic_configs=configs) for name in names]
        await make_topics(KafkaSettings.of(self.options), wanted)

    def load(self, campus: Campus, **options: Any) -> dict[str, Counts]:
        """Load a campus; PINs are hashed with little work."""
        pins = PinHashing(MASTER, hasher(memory_kib=8, time_cost=1))
        return asyncio.run(load_campus(self.settings, campus, prefix=self.prefix, pins=pins, **options))

    def records(self, *entities: str) -> list[Any]:
        """All records of some entities' topics (all of them where none is named), in the order of their topics."""
        names = [self.prefix + e.topic for e in ENTITIES if not entities or e.name in entities]
        return asyncio.run(self._read(names))

    def write(self, entity: str, id_: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Write one record as somebody else would."""
        asyncio.run(self._write(self.prefix + f"reference.{entity}", id_.encode(), value, headers))

    async def _write(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        async with started(AIOKafkaProducer(**self.options, acks="all")) as producer:
            await producer.send_and_wait(topic, value, key=key, partition=0, headers=headers)

    async def _read(self, names: list[str]) -> list[Any]:
        return [record async for record in read_topics(self.options, names, start_ms=None, follow=False)]


@pytest.fixture
def settings(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    secret = tmp_path_factory.mktemp("secret") / "master"
    secret.write_text(MASTER.hex())
    return Settings(kafka=os.environ.get("DOORSTREAM_TEST_KAFKA") or endpoints.kafka, master_secret_file=secret)


@pytest.fixture
def topics(settings: Settings) -> Topics:
    return Topics(settings)
