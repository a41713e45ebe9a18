"""Writers that PostgreSQL sets against each other, as in a rolling upgrade: who is turned away comes again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from schemas.record import Record
from sinks import postgres
from sinks.postgres import PostgresSink
from streams.engine.ports import Chunk
from streams.engine.recording_lanes import LaneOptions, SinkLane
from tests.sinks.databases import fresh_postgres
from tests.sinks.records import Topics, example

INCARNATION = 1_772_000_000
PLACE = ("alerts", 0)


@pytest.fixture
async def dsn(endpoints: Endpoints) -> AsyncIterator[str]:
    async with fresh_postgres(endpoints) as found:
        yield found


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[Any]:
    """Somebody else's connection, which PostgreSQL never takes for the one to be turned away."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("set deadlock_timeout = '1h'")
    yield connection
    await connection.close()


def alerts(state: str) -> list[Record]:
    """Two messages about one alert."""
    topics = Topics()
    topics.add("alerts", example("alert_raised", alert_id="a1", state="unacknowledged", transition=1))
    topics.add("alerts", example("alert_acknowledged", alert_id="a1", state=state, transition=2))
    return topics.records


async def stored(dsn: str, records: list[Record], at: int = 0) -> SinkLane:
    """A lane of its own sink, once it has stored these."""
    sink = PostgresSink(dsn)
    try:
        lane = SinkLane(sink, INCARNATION, LaneOptions(first_backoff_s=0.01), lambda _positions: None)
        await lane.assign([PLACE])
        await lane.offer(Chunk(*PLACE, tuple(records), 0), at, lane.generation)
        await lane.flush()
    finally:
        await sink.close()
    return lane


async def until_somebody_waits(connection: Any) -> None:
    """Wait until a transaction waits for another one's lock."""
    question = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not await connection.fetchval(question):  # noqa: ASYNC110 - the server knows
            await asyncio.sleep(0.02)


def before_rows(patch: pytest.MonkeyPatch, first: Callable[[], Awaitable[None]]) -> None:
    """The first write has moved its position, and does this before it stores its rows."""
    insert, waiting = postgres._insert, [first]

    async def inserting(*given: Any) -> None:
        while waiting:
            await waiting.pop()()
        await insert(*given)

    patch.setattr(postgres, "_insert", inserting)


async def test_a_writer_that_is_given_up_for_a_deadlock_stores_all_the_same(
    dsn: str, other: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = alerts("acknowledged")
    await stored(dsn, [first])
    before = other.transaction()
    await before.start()
    await other.execute("select from alerts for update")
    watcher = await asyncpg.connect(dsn)
    wants: list[asyncio.Task[Any]] = []

    async def crossing() -> None:
        wants.append(asyncio.ensure_future(other.execute("select from sink_offsets for update")))
        await until_somebody_waits(watcher)

    before_rows(monkeypatch, crossing)
    writing = asyncio.ensure_future(stored(dsn, [second], at=1))
    async with asyncio.timeout(20):
        while not wants:  # noqa: ASYNC110 - the writer's own first statements
            await asyncio.sleep(0.01)
        await wants[0]  # the writer was turned away, and its position is free
    await before.rollback()
    lane = await writing
    assert lane.retries > 0
    assert "DeadlockDetectedError" in caplog.text
    assert await watcher.fetchval("select state from alerts") == "acknowledged"
    assert await watcher.fetchval("select next_offset from sink_offsets") == 2
    await watcher.close()


async def test_a_writer_that_cannot_be_serialized_stores_all_the_same(
    dsn: str, other: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = alerts("acknowledged")
    await stored(dsn, [first])
    await other.execute(
        f"alter database {await other.fetchval('select current_database()')} "
        "set default_transaction_isolation = 'serializable'"
    )
    behind: list[asyncio.Task[SinkLane]] = []

    async def overtaking() -> None:
        behind.append(asyncio.ensure_future(stored(dsn, [second], at=1)))
        await until_somebody_waits(other)

    before_rows(monkeypatch, overtaking)
    await stored(dsn, [second], at=1)
    assert (await behind[0]).retries > 0
    assert "SerializationError" in caplog.text
    assert await other.fetchval("select state from alerts") == "acknowledged"
    assert await other.fetchval("select next_offset from sink_offsets") == 2
