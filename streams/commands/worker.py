"""`doorstream worker`: the processes that do the work."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import structlog
import typer
import uvloop
from aiohttp import web

from streams import telemetry
from streams.agents import notify as notify_role
from streams.agents import record, site
from streams.agents.metering import StoredCounts, tell_lag
from streams.commands.running import CommandError, run, settings_or_fail
from streams.connection import kafka_options
from streams.engine.faust_process import GC_THRESHOLDS, until_signalled
from streams.engine.kafka_cluster import read_incarnation
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.recording import Recorder
from streams.settings import Settings

app = typer.Typer(help="Run workers; as many as you like, partitions are shared out.", no_args_is_help=True)


@app.command()
def decide() -> None:
    """Decide: access, passages, operators' requests, devices and alerts."""
    _run(["decide"])


@app.command("record")
def record_() -> None:
    """Store everything in PostgreSQL and ClickHouse."""
    _run(["record"])


@app.command()
def notify() -> None:
    """Tell people and programs of alerts: e-mail, SMS, telephone, webhooks."""
    _run(["notify"])


@app.command("all")
def all_() -> None:
    """Every role in one process; for small sites and for trying out."""
    _run(["decide", "record", "notify"])


class _Together:
    """Several workers as one: ready and live when all are, stopped together; the first failure ends all."""

    def __init__(self, workers: list[Any]) -> None:
        self._workers = workers

    def request_stop(self) -> None:
        for worker in self._workers:
            worker.request_stop()

    async def run(self) -> int:
        tasks = [asyncio.ensure_future(worker.run()) for worker in self._workers]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.request_stop()
        codes: list[int] = await asyncio.gather(*tasks)
        return max(codes)


def _run(roles: list[str]) -> None:
    settings = settings_or_fail()
    telemetry.configure_logging(settings.log_format, settings.log_level)
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.install()
    code = run(_work(settings, roles))
    if code:
        raise typer.Exit(code)


async def _work(settings: Settings, roles: list[str]) -> int:
    incarnation = await read_incarnation(KafkaSettings.of(kafka_options(settings)))
    workers = [_WIRES[role](settings, incarnation) for role in roles]
    health = telemetry.Health()
    for role, worker in zip(roles, workers, strict=True):
        health.ready[role] = _asking(worker, "ready", "not ready")
        health.live[role] = _asking(worker, "live", "no progress")
    health.before_metrics.append(_measuring(workers))
    pages, port = await _serve(health, settings)
    structlog.get_logger("doorstream").info(
        "started", roles=roles, metrics=f"http://{settings.metrics_host}:{port}/metrics"
    )
    try:
        return await until_signalled(_Together(workers))
    finally:
        await pages.cleanup()


async def _serve(health: telemetry.Health, settings: Settings) -> tuple[web.AppRunner, int]:
    try:
        return await telemetry.serve(health, settings.metrics_host, settings.metrics_port)
    except OSError as error:
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        raise CommandError(
            f"metrics can't be served at {where} ({error.strerror}): set DOORSTREAM_METRICS_PORT (0: any free one)"
        ) from error


def _asking(worker: Any, name: str, trouble: str) -> Callable[[], str | None]:
    return lambda: None if getattr(worker, name) else trouble


def _measuring(workers: list[Any]) -> Callable[[], None]:
    stored = StoredCounts()

    def refresh() -> None:
        tell_lag(workers)
        for worker in workers:
            if isinstance(worker, Recorder):
                stored.tell(worker.lanes)

    return refresh


_WIRES: dict[str, Callable[[Settings, int], Any]] = {
    "decide": site.wire,
    "record": lambda settings, _incarnation: record.wire(settings),
    "notify": lambda settings, _incarnation: notify_role.wire(settings),
}
