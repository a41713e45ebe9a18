"""A broker, a catcher, people on file and notify workers; alerts are published as the alerts processor would."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from bench.world import MASTER, signed_reference
from deploy.stack import BrokerKind, StackOptions, catcher, down, up
from deploy.stack.catcher import Catcher
from schemas.base import Message
from schemas.partitioning import partition_of
from schemas.places import Site
from schemas.recipients import OnCall
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode
from schemas.topics import registry
from streams.agents.cluster import Cluster
from streams.commands.reading import read_topics
from streams.connection import started
from streams.engine.marks import POSITION_HEADER, Marks
from tests.conftest import chosen
from tests.core.telling import EXAMPLE, ROTA, person
from tests.e2e.cluster import free_port
from tests.e2e.workers import WorkerProcess

PARTITIONS = 4
PATIENCE_S = 60.0
SITES = ("hq", "works", "depot")
GUARDS = tuple(f"guard-{number}" for number in range(10))
DONE = ("notification_sent", "notification_skipped")
FAILED = "notification_failed"
_ENTITY_OF = {entity.model: entity for entity in ENTITIES}
_prefixes = itertools.count(1)


class Town:
    """One broker and one catcher for the tests of a module; alerts of each test have ids of their own."""

    def __init__(self, kafka: str, catching: str, folder: Path) -> None:
        self.kafka = kafka
        self.catcher = Catcher(catching)
        self.folder = folder
        self._workers: list[WorkerProcess] = []
        self._transitions: Counter[str] = Counter()
        gateways = {f"DOORSTREAM_{name.upper()}": value for name, value in catcher.settings(catching).items()}
        self.environment = {
            "DOORSTREAM_KAFKA": kafka,
            "DOORSTREAM_PARTITIONS": str(PARTITIONS),
            "DOORSTREAM_MASTER_SECRET_FILE": str(folder / "master"),
            "DOORSTREAM_LOG_FORMAT": "json",
            **gateways,
        }

    @property
    def options(self) -> dict[str, str]:
        """What aiokafka's clients take."""
        return {"bootstrap_servers": self.kafka}

    def prefix(self) -> str:
        """A beginning of alert ids that no other test has."""
        return f"t{next(_prefixes)}-{os.getpid()}-"

    # -- workers ------------------------------------------------------------------------------------------------

    def launch(self, role: str = "notify", **settings: str) -> WorkerProcess:
        """Start a worker and don't wait for it."""
        worker = WorkerProcess(role, {**self.environment, **settings}, self.folder, free_port())
        self._workers.append(worker)
        return worker

    async def start(self, role: str = "notify", **settings: str) -> WorkerProcess:
        """Start a worker; returns when it is ready."""
        worker = self.launch(role, **settings)
        await asyncio.to_thread(worker.wait_ready)
        return worker

    def kill_all(self) -> None:
        """End whatever is left."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()

    # -- what goes in -------------------------------------------------------------------------------------------

    async def put_on_file(self, *records: Message) -> None:
        """Publish reference records."""
        async with started(AIOKafkaProducer(**self.options, acks="all")) as producer:
            for record in records:
                entity = _ENTITY_OF[type(record)]
                signed = signed_reference(entity.topic, id_of(entity, record), record)
                await producer.send(signed.topic, signed.value, key=signed.key, headers=signed.headers)
            await producer.flush()

    async def publish(self, alerts: Iterable[Mapping[str, Any]], topic: str = "alerts") -> None:
        """Publish alerts' messages."""
        async with started(AIOKafkaProducer(**self.options, acks="all", linger_ms=2)) as producer:
            for alert in alerts:
                partition = partition_of(alert["site_id"], PARTITIONS)
                await producer.send(
                    topic, json.dumps(alert).encode(), key=alert["alert_id"].encode(), partition=partition
                )
            await producer.flush()

    def alert(
        self, alert_id: str, *recipients: str, step: int = 1, channels: Sequence[str] = ("sms",), **fields: Any
    ) -> dict[str, Any]:
        """A message of an alert whose step is to be told."""
        now = datetime.now(UTC).isoformat()
        self._transitions[alert_id] += 1
        severity = fields.get("severity", "critical")
        return {
            **json.loads(EXAMPLE.read_text(encoding="utf-8")),
            "alert_id": alert_id,
            "transition": self._transitions[alert_id],
            "severity": severity,
            "raised_at": now,
            "updated_at": now,
            "notify": {"step": step, "severity": severity, "channels": channels, "recipients": recipients},
            **fields,
        }

    # -- what comes out -----------------------------------------------------------------------------------------

    async def messages(self, topic: str) -> list[Any]:
        """The messages of a topic, as readers see them: without repeats."""
        marks = Marks()
        return [
            decode(topic, record.value)
            async for record in read_topics(self.options, [topic], start_ms=None, follow=False)
            if marks.accept(record.topic, record.partition, dict(record.headers).get(POSITION_HEADER))
        ]

    async def outcomes(self, prefix: str, topic: str = "notifications") -> list[Any]:
        """What became of the notifications of a test's alerts."""
        return [message for message in await self.messages(topic) if message.alert_id.startswith(prefix)]

    async def until_all_done(self, steps: Collection[tuple[str, int]], within_s: float) -> list[Any]:
        """Wait until each of these steps (alert, number) has come to its end; gives the outcomes of these alerts."""
        alerts = {alert_id for alert_id, _ in steps}
        found: list[Any] = []
        async with asyncio.timeout(within_s):
            while {(one.alert_id, one.step) for one in found if one.type in {*DONE, FAILED}} < set(steps):
                await asyncio.sleep(2)
                found = [one for one in await self.messages("notifications") if one.alert_id in alerts]
        return found

    async def until_told(self, prefix: str, count: int, within_s: float = PATIENCE_S, **more: str) -> list[Any]:
        """Wait until so many are sent; gives all outcomes."""
        return await self._until(prefix, count, ("notification_sent",), within_s, **more)

    async def until_done(self, prefix: str, count: int, within_s: float = 180.0) -> list[Any]:
        """Wait until so many are sent or skipped; gives all outcomes."""
        return await self._until(prefix, count, DONE, within_s)

    async def _until(self, prefix: str, count: int, types: Sequence[str], within_s: float, **more: str) -> list[Any]:
        found: list[Any] = []
        async with asyncio.timeout(within_s):
            while sum(one.type in types for one in found) < count:
                await asyncio.sleep(0.3 + count / 300)
                found = await self.outcomes(prefix, **more)
        return found

    async def until_caught(self, prefix: str, count: int, within_s: float = 120.0) -> None:
        """Wait until so many messages have arrived."""
        async with asyncio.timeout(within_s):
            while len(await self.caught(prefix)) < count:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.2)

    async def arrived(self, channel: str) -> int:
        """How much has arrived by a channel, of all tests."""
        return (await self.catcher.count()).get(channel, 0)

    async def caught(self, prefix: str, *channels: str) -> list[dict[str, Any]]:
        """What arrived that names an alert of a test, by some channels or any."""
        found = [line for line in await self.catcher.caught() if prefix in json.dumps(line)]
        return [line for line in found if not channels or line["channel"] in channels]


def people(hooks: str) -> list[Message]:
    """Who is on file; programs listen at `hooks`."""
    everybody: list[dict[str, Any]] = [
        {"recipient_id": "room", "email": "room@example.org", "sms": "+86 10 5550 0101"},
        {"recipient_id": "wang", "sms": "+86 10 5550 0111", "email": "wang@example.org", "language": "zh"},
        {"recipient_id": "li", "phone": "+86 10 5550 0112", "sms": "+86 10 5550 0112"},
        {"recipient_id": "centre", "sms": "+86 10 5550 0130", "monitoring": True},
        {"recipient_id": "program", "webhook": f"{hooks}/hook/s3cret-token"},
        {"recipient_id": "old-program", "alertmanager_webhook": f"{hooks}/amhook"},
        {"recipient_id": "alertmanager", "alertmanager": hooks},
        *({"recipient_id": guard, "sms": f"+86 10 5550 020{guard[-1:]}"} for guard in GUARDS),
    ]
    sites = [Site(site_id=id_, name=id_.upper(), time_zone="Asia/Shanghai", policy_id="usual") for id_ in SITES]
    return [*sites, *(person(**one) for one in everybody), OnCall.model_validate(ROTA)]


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """A town that is gone when the block ends."""
    server = chosen().kafka
    kind: BrokerKind = "apache" if server.kind == "apache" else "embedded"
    options = StackOptions(
        folder / "stack",
        kind,
        with_kafka=server.kind != "given",
        with_postgres=False,
        with_clickhouse=False,
        with_catcher=True,
        owner_pid=os.getpid(),
    )
    endpoints = await up(options)
    (folder / "master").write_text(MASTER.hex())
    made = Town(server.given or endpoints.kafka, endpoints.catcher, folder)
    try:
        async with Cluster(made.options) as cluster:
            await cluster.apply(registry(), PARTITIONS, 1)
        await made.put_on_file(*people(made.catcher.url))
        yield made
    finally:
        await asyncio.to_thread(made.kill_all)
        await down(options.folder)
