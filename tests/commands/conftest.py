"""The command line over what the record role has stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence

import pytest

from deploy.stack.model import Endpoints
from schemas.record import Record
from sinks.postgres import PostgresSink
from streams import cli
from tests.sinks.databases import fresh_postgres
from tests.sinks.test_device_states import INCARNATION

Ask = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="module")
def dsn(endpoints: Endpoints, stored: Sequence[Record]) -> Iterator[str]:
    """A PostgreSQL in which the module's `stored` records are."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def start() -> str:
            dsn: str = await stack.enter_async_context(fresh_postgres(endpoints))
            sink = PostgresSink(dsn)
            await sink.write(INCARNATION, stored)
            await sink.close()
            return dsn

        yield runner.run(start())
        runner.run(stack.aclose())


@pytest.fixture
def ask(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `doorstream devices ...`: its exit code, stdout and stderr."""
    monkeypatch.setenv("DOORSTREAM_POSTGRES", dsn)

    def run(*args: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["doorstream", "devices", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run
