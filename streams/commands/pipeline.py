"""The whole pipeline in one folder, for as long as it is needed: servers, topics, tables and workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from deploy.stack import BrokerKind, Endpoints, StackOptions, catcher, down, up
from deploy.stack.processes import Command, Process, free_port, is_alive, log_tail, module_command, spawn, stop
from schemas.topics import registry
from sinks.migrate import migrate_clickhouse, migrate_postgres
from streams.agents.cluster import Cluster
from streams.commands.running import CommandError
from streams.connection import kafka_options
from streams.settings import PREFIX, Settings, load_settings

READY_WITHIN_S = 90.0
STOP_WITHIN_S = 12.0
_POLL_S = 0.1

GATEWAYS = ("notify_email", "notify_sms", "notify_phone", "notify_webhook")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Worker:
    """A worker process: its role, where its health pages are, and its log."""

    role: str
    process: Process
    port: int
    log: Path


@asynccontextmanager
async def servers(folder: Path, broker: BrokerKind, say: Say, *, with_catcher: bool = False) -> AsyncIterator[Settings]:
    """Servers with fresh data, topics and tables made; all of it dies with this process and is stopped at the end.

    `with_catcher`: notifications arrive at a catcher, to which the settings of their channels lead.

    `folder` is absolute; what lies in it is replaced.

    Raises:
        StackError: a server can't be started, or another process uses the folder.
    """
    await down(folder)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        endpoints = await up(StackOptions(folder, broker, owner_pid=os.getpid(), with_catcher=with_catcher), say)
        settings = settings_for(endpoints)
        say(f"making {len(registry())} topics and the tables")
        async with Cluster(kafka_options(settings)) as cluster:
            await cluster.apply(registry(), settings.partitions, settings.replication)
        await asyncio.gather(migrate_postgres(settings.postgres), migrate_clickhouse(settings.clickhouse))
        yield settings
    finally:
        await asyncio.shield(down(folder))


def settings_for(endpoints: Endpoints) -> Settings:
    """The settings that reach a stack; where it has a catcher, notifications go there."""
    return load_settings(
        kafka=endpoints.kafka,
        postgres=endpoints.postgres,
        clickhouse=endpoints.clickhouse,
        master_secret_file=Path(endpoints.master_secret_file),
        kafka_security_protocol="PLAINTEXT",
        replication=1,
        **(catcher.settings(endpoints.catcher) if endpoints.catcher else {}),
    )


@asynccontextmanager
async def workers(settings: Settings, folder: Path, roles: list[str], say: Say) -> AsyncIterator[list[Worker]]:
    """Worker processes, one for each role, ready; they end gracefully at the end.

    Raises:
        CommandError: one does not become ready.
    """
    say(f"starting workers: {', '.join(roles)}")
    started = [_spawn(settings, folder, role) for role in roles]
    try:
        await asyncio.gather(*(_until_ready(worker) for worker in started))
        yield started
    finally:
        ends = (stop(worker.process, signal.SIGTERM, STOP_WITHIN_S) for worker in started)
        await asyncio.shield(asyncio.gather(*ends))


def _spawn(settings: Settings, folder: Path, role: str) -> Worker:
    port = free_port()
    log = folder / f"worker-{role}.log"
    names = ("kafka", "postgres", "clickhouse", "master_secret_file", "partitions", "log_level")
    environment = {PREFIX + name.upper(): str(getattr(settings, name)) for name in names}
    environment |= {PREFIX + name.upper(): url for name in GATEWAYS if (url := str(getattr(settings, name)))}
    environment |= {f"{PREFIX}METRICS_PORT": str(port), f"{PREFIX}LOG_FORMAT": "json"}
    command = Command(module_command("streams.cli", "worker", role), log, folder, environment)
    return Worker(role, spawn(command), port, log)


async def _until_ready(worker: Worker) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while not await _ready(session, worker.port):
            if not is_alive(worker.process):
                raise CommandError(f"the {worker.role} worker ended ({log_tail(worker.log)}); see {worker.log}")
            if time.monotonic() > deadline:
                raise CommandError(f"the {worker.role} worker is not ready after {READY_WITHIN_S:.0f} s; {worker.log}")
            await asyncio.sleep(_POLL_S)


async def _ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200  # noqa: PLR2004 - HTTP's word for yes
    except (aiohttp.ClientError, TimeoutError):
        return False
