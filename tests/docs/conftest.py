"""A site at work on the embedded stack, as a reader of the pages has it after the first steps."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.commands.pipeline import Worker, servers, workers
from streams.settings import Settings
from tests.docs.pages import ROOT

FIRST_STEPS = (
    ("load", "deploy/campus"),
    ("simulate", "--seconds", "5", "--rate", "20", "--json"),
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings that reach it."""
    folder = tmp_path_factory.mktemp("pages") / "stack"
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            settings, worker = runner.run(_start(stack, folder))
            environment = _environment(settings, worker, folder)
            for words in FIRST_STEPS:
                _run(words, environment)
            yield environment
        finally:
            runner.run(stack.aclose())


async def _start(stack: contextlib.AsyncExitStack, folder: Path) -> tuple[Settings, Worker]:
    settings = await stack.enter_async_context(servers(folder, "embedded", print))
    (worker,) = await stack.enter_async_context(workers(settings, folder, ["all"], print))
    return settings, worker


def _environment(settings: Settings, worker: Worker, folder: Path) -> dict[str, str]:
    return {
        "DOORSTREAM_KAFKA": settings.kafka,
        "DOORSTREAM_POSTGRES": settings.postgres,
        "DOORSTREAM_CLICKHOUSE": settings.clickhouse,
        "DOORSTREAM_MASTER_SECRET_FILE": str(settings.master_secret_file),
        "DOORSTREAM_METRICS_PORT": str(worker.port),
        "DOORSTREAM_STACK_FOLDER": str(folder),
    }


def _run(words: tuple[str, ...], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "streams.cli", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
