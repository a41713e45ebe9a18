"""What every store promises: whatever is written again, and in whatever pieces, the tables are the same."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Protocol

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from schemas.record import Record
from sinks.clickhouse import ClickHouseSink, connect
from sinks.postgres import PostgresSink
from sinks.queries import Counts, clickhouse_counts, postgres_counts
from tests.sinks.databases import fresh_clickhouse, fresh_postgres
from tests.sinks.records import PIN, Topics, a_day, example

INCARNATION = 1_772_000_000
PLACES = [(topic, partition) for topic in ("access.decisions", "device.commands") for partition in range(3)]


class Store(Protocol):
    sink: Any

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]: ...

    async def counts(self) -> Counts: ...

    async def forget(self) -> None: ...

    async def again(self) -> Any: ...


class Postgres:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.sink = PostgresSink(dsn)

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            names = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
            return {
                row["tablename"]: sorted(
                    tuple(map(str, found.values())) for found in await connection.fetch(f"select * from {row[0]}")
                )
                for row in names
                if row["tablename"] not in {"migrations", "sink_offsets"}
            }
        finally:
            await connection.close()

    async def counts(self) -> Counts:
        return await postgres_counts(self.dsn)

    async def forget(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
            names = [row["tablename"] for row in rows if row["tablename"] != "migrations"]
            await connection.execute(f"truncate {', '.join(names)}")
        finally:
            await connection.close()

    async def again(self) -> Any:
        return PostgresSink(self.dsn)


class ClickHouse:
    def __init__(self, url: str) -> None:
        self.url = url
        self.sink = ClickHouseSink(url)

    async def _ask(self, work: Any) -> Any:
        def ask() -> Any:
            client = connect(self.url)
            try:
                return work(client)
            finally:
                client.close()

        return await asyncio.to_thread(ask)

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        def work(client: Any) -> dict[str, list[tuple[Any, ...]]]:
            views = "select name from system.tables where database = currentDatabase() and engine = 'View'"
            names = [row[0] for row in client.query(views).result_rows]
            return {
                name: sorted(tuple(map(str, row)) for row in client.query(f"select * from {name}").result_rows)
                for name in names
            }

        found: dict[str, list[tuple[Any, ...]]] = await self._ask(work)
        return found

    async def counts(self) -> Counts:
        return await clickhouse_counts(self.url)

    async def forget(self) -> None:
        def work(client: Any) -> None:
            tables = "select name from system.tables where database = currentDatabase() and engine like '%MergeTree'"
            for row in client.query(tables).result_rows:
                if row[0] != "migrations":
                    client.command(f"truncate table {row[0]}")

        await self._ask(work)

    async def again(self) -> Any:
        return ClickHouseSink(self.url)


@pytest.fixture(params=["postgres", "clickhouse"])
async def store(request: pytest.FixtureRequest, endpoints: Endpoints) -> AsyncIterator[Store]:
    fresh = fresh_postgres if request.param == "postgres" else fresh_clickhouse
    async with fresh(endpoints) as address:
        made: Store = Postgres(address) if request.param == "postgres" else ClickHouse(address)
        yield made
        await made.sink.close()


def _expected(records: list[Record]) -> Counter[str]:
    found: Counter[str] = Counter()
    for type_ in ("access_granted", "access_denied", "access_door", "access_taken"):
        found[type_] = sum(f'"type": "{type_}"'.encode() in (record.value or b"") for record in records)
    return found


@pytest.mark.branch("A2.14", "A2.15", "A3.05", "A3.09", "A3.12")
async def test_a_day_is_stored_and_counted(store: Store) -> None:
    day = a_day()
    expected = _expected(day)
    await store.sink.write(INCARNATION, day)
    granted, denied = expected["access_granted"], expected["access_denied"]
    counts = await store.counts()
    assert counts == Counts(granted + denied, granted, denied, expected["access_door"], expected["access_door"])
    tables = await store.tables()
    passages = tables["passages"]
    assert len(passages) == expected["access_taken"]


async def test_positions_are_where_the_batch_ended(store: Store) -> None:
    assert set((await store.sink.positions(INCARNATION, PLACES)).values()) == {0}
    day = a_day(20)
    await store.sink.write(INCARNATION, day)
    ends: dict[tuple[str, int], int] = {}
    for record in day:
        ends[record.topic, record.partition] = record.offset + 1
    assert await store.sink.positions(INCARNATION, list(ends)) == ends
    assert set((await store.sink.positions(INCARNATION + 1, PLACES)).values()) == {0}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_pieces_repeats_and_restarts_give_the_same_tables(store: Store, seed: int) -> None:
    day = a_day(120)
    await store.sink.write(INCARNATION, day)
    whole = await store.tables()
    await store.forget()
    chance = random.Random(seed)
    at = 0
    while at < len(day):
        size = chance.randrange(1, 90)
        back = chance.randrange(60) if chance.random() < 0.5 else 0
        if chance.random() < 0.3:
            await store.sink.close()
            store.sink = await store.again()
        await store.sink.write(INCARNATION, day[max(0, at - back) : at + size])
        at += size
    assert await store.tables() == whole
    assert whole["decisions"]


async def test_a_writer_that_is_behind_changes_nothing(store: Store) -> None:
    day = a_day(60)
    zombie = await store.again()
    await zombie.positions(INCARNATION, PLACES)
    await store.sink.write(INCARNATION, day)
    whole = await store.tables()
    await zombie.write(INCARNATION, day[:100])
    await zombie.close()
    assert await store.tables() == whole


async def test_two_writers_at_once_store_every_record_once(store: Store) -> None:
    day = a_day(60)
    other = await store.again()
    await asyncio.gather(store.sink.write(INCARNATION, day), other.write(INCARNATION, day))
    await other.close()
    expected = _expected(day)
    assert (await store.counts()).decisions == expected["access_granted"] + expected["access_denied"]


async def test_a_new_life_of_the_broker_begins_again_and_keeps_what_was_stored(store: Store) -> None:
    await store.sink.write(INCARNATION, a_day(10))
    later = Topics()
    later.add("access.decisions", example("access_granted", decision_id="00000000-0000-8000-8000-000000000001"))
    await store.sink.write(INCARNATION + 100, later.records)
    assert (await store.counts()).decisions == 11


async def test_no_secret_reaches_a_table(store: Store) -> None:
    await store.sink.write(INCARNATION, a_day(60))
    assert PIN not in str(await store.tables())


async def test_a_batch_of_nothing_readable_moves_on(store: Store) -> None:
    topics = Topics()
    topics.add("access.decisions", b"\xff")
    await store.sink.write(INCARNATION, topics.records)
    assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == 1
