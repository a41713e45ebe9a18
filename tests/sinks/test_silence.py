"""Servers that accept a connection and say nothing are given up with a line that says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sinks import clickhouse, migrate
from sinks.clickhouse import connect
from sinks.migrate import status
from sinks.reading import SinkUnavailable


@pytest.fixture
async def silent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that never answers."""
    monkeypatch.setattr(clickhouse, "ANSWER_TIMEOUT_S", 1)
    monkeypatch.setattr(migrate, "ANSWER_TIMEOUT_S", 0.5)
    done = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    done.set()
    server.close()
    await server.wait_closed()


async def test_a_clickhouse_that_never_answers_is_given_up(silent: int) -> None:
    with pytest.raises(SinkUnavailable, match=r"ClickHouse does not answer: .*timed out"):
        await asyncio.to_thread(connect, f"http://someone:secret@127.0.0.1:{silent}/doors")


async def test_a_postgres_that_never_answers_is_given_up(silent: int) -> None:
    with pytest.raises(SinkUnavailable, match=r"PostgreSQL does not answer: it has said nothing for 0\.5 s"):
        await status(f"postgresql://someone:secret@127.0.0.1:{silent}/doors", "http://127.0.0.1:1/doors")
