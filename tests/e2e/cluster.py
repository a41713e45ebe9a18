"""What every end-to-end test stands on: the real topics, migrated databases, a published world, and workers."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka import AIOKafkaProducer, ConsumerRecord

from bench.world import MASTER, Shape, references, signed_reference
from deploy.stack.model import Endpoints
from schemas.base import Message
from schemas.partitioning import partition_of
from schemas.reference import ENTITIES, id_of
from sinks.clickhouse import connect
from streams.commands.reading import read_topics
from streams.connection import started
from tests.e2e.workers import WorkerProcess

PARTITIONS = 4
SHAPE = Shape(sites=10, devices=10, doors=4, people=100)
LARGEST_REQUEST = 12 * 1024 * 1024
_BY_MODEL = {entity.model: entity for entity in ENTITIES}
_databases = itertools.count(1)


@dataclass
class Cluster:
    """The servers of the run, and the boots that its virtual controllers count up."""

    kafka: str
    postgres: str
    clickhouse: str
    folder: Path
    boots: Iterator[int] = field(default_factory=lambda: itertools.count(int(time.time())))

    @property
    def options(self) -> dict[str, str]:
        """What aiokafka's clients take."""
        return {"bootstrap_servers": self.kafka}

    @property
    def environment(self) -> dict[str, str]:
        """The settings of workers and commands."""
        return {
            "DOORSTREAM_KAFKA": self.kafka,
            "DOORSTREAM_POSTGRES": self.postgres,
            "DOORSTREAM_CLICKHOUSE": self.clickhouse,
            "DOORSTREAM_PARTITIONS": str(PARTITIONS),
            "DOORSTREAM_MASTER_SECRET_FILE": str(self.folder / "master"),
            "DOORSTREAM_LOG_FORMAT": "json",
        }

    def command(self, *arguments: str, code: int = 0) -> str:
        """What a `doorstream` command prints; where it must end with another code than 0, what it says on stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    async def publish_references(self, records: Iterable[tuple[str, str, Message]]) -> None:
        """Publish reference records, and wait until they are acknowledged."""
        async with started(AIOKafkaProducer(**self.options, acks="all", linger_ms=5)) as producer:
            for topic, id_, message in records:
                signed = signed_reference(topic, id_, message)
                await producer.send(topic, signed.value, key=signed.key, headers=signed.headers)
            await producer.flush()

    async def read(self, *topics: str, since_ms: int | None = None) -> AsyncIterator[ConsumerRecord]:
        """Every record of some topics, from a time (or the beginning) to the end seen now."""
        async for record in read_topics(self.options, topics, start_ms=since_ms, follow=False):
            yield record


def reference(message: Message) -> tuple[str, str, Message]:
    """A reference record with its topic and id."""
    entity = _BY_MODEL[type(message)]
    return entity.topic, id_of(entity, message), message


def partition_of_site(site_id: str) -> int:
    """Where all that concerns a site meets."""
    return partition_of(site_id, PARTITIONS)


async def prepared(endpoints: Endpoints, folder: Path) -> Cluster:
    """Make databases of this run's own, topics and tables as an operator would, and publish the world."""
    name = f"e2e_{os.getpid()}_{next(_databases)}"
    connection = await asyncpg.connect(endpoints.postgres)
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    await asyncio.to_thread(_create_clickhouse, endpoints.clickhouse, name)
    (folder / "master").write_text(MASTER.hex())
    cluster = Cluster(endpoints.kafka, _in(endpoints.postgres, name), _in(endpoints.clickhouse, name), folder)
    cluster.command("topics", "apply")
    cluster.command("db", "migrate")
    await cluster.publish_references(references(SHAPE))
    return cluster


def _create_clickhouse(url: str, name: str) -> None:
    client = connect(url)
    try:
        client.command(f"create database {name}")
    finally:
        client.close()


def _in(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Workers:
    """The worker processes of a test; none of them outlives it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._all: list[WorkerProcess] = []

    def launch(self, role: str, settings: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start a worker and don't wait for it."""
        environment = {**self._cluster.environment, **(settings or {})}
        worker = WorkerProcess(role, environment, self._folder, free_port())
        self._all.append(worker)
        return worker

    async def start(self, role: str, settings: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start a worker; returns when it is ready."""
        worker = self.launch(role, settings)
        await asyncio.to_thread(worker.wait_ready)
        return worker

    async def stop(self) -> None:
        """Stop all that run, side by side; each must end well and in time."""
        running = [worker for worker in self._all if worker.process.poll() is None]
        codes = await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in running))
        assert codes == [0] * len(running)

    def kill(self) -> None:
        """End whatever is left."""
        for worker in self._all:
            if worker.process.poll() is None:
                worker.kill()


@asynccontextmanager
async def workers_of(cluster: Cluster, folder: Path) -> AsyncIterator[Workers]:
    """Workers that are gone when the block ends, however it ends."""
    workers = Workers(cluster, folder)
    try:
        yield workers
    finally:
        await asyncio.to_thread(workers.kill)
