"""The two stores as the contract suite sees them: what they hold, forgetting it, and dying in the middle of a write."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import asyncpg
import pytest

from schemas.record import Record
from sinks import clickhouse, clickhouse_rows, postgres, postgres_rows
from sinks.clickhouse import ClickHouseSink, connect
from sinks.postgres import PostgresSink
from sinks.queries import Counts, clickhouse_counts, postgres_counts
from sinks.reading import Skipped
from tests.sinks.databases import empty

Spoil = Callable[[Any, Any], Any]
"""What becomes of a message's row; it may raise."""


class Store(Protocol):
    sink: Any
    skipped: list[Skipped]

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]: ...

    async def counts(self) -> Counts: ...

    async def forget(self) -> None: ...

    async def again(self) -> Any: ...

    def breaking(self, statement: int) -> AbstractContextManager[None]:
        """Every write dies at the statement of that number."""
        ...

    def spoiling(self, spoil: Spoil) -> AbstractContextManager[None]:
        """Rows are made with a defect; where a message becomes several, the last one."""
        ...


class Postgres:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.skipped: list[Skipped] = []
        self.sink = PostgresSink(dsn, on_skipped=self.skipped.append)

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
        return PostgresSink(self.dsn, on_skipped=self.skipped.append)

    @contextmanager
    def breaking(self, statement: int) -> Iterator[None]:
        insert, numbers = postgres._insert, itertools.count()

        async def dying(*given: Any) -> None:
            if next(numbers) == statement:
                raise ConnectionResetError("died")
            await insert(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres, "_insert", dying)
            yield

    @contextmanager
    def spoiling(self, spoil: Spoil) -> Iterator[None]:
        makers_of = postgres_rows._makers_of

        def spoilt(kind: type) -> tuple[Any, ...]:
            *makers, (table, make) = makers_of(kind)
            return (*makers, (table, lambda message, record: spoil(message, make(message, record))))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres_rows, "_makers_of", spoilt)
            yield


class ClickHouse:
    def __init__(self, url: str) -> None:
        self.url = url
        self.skipped: list[Skipped] = []
        self.sink = ClickHouseSink(url, on_skipped=self.skipped.append)

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
        await asyncio.to_thread(empty, self.url)

    async def again(self) -> Any:
        return ClickHouseSink(self.url, on_skipped=self.skipped.append)

    @contextmanager
    def breaking(self, statement: int) -> Iterator[None]:
        insert, numbers = clickhouse._insert, itertools.count()

        def dying(*given: Any) -> None:
            if next(numbers) == statement:
                raise ConnectionResetError("died")
            insert(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clickhouse, "_insert", dying)
            yield

    @contextmanager
    def spoiling(self, spoil: Spoil) -> Iterator[None]:
        row_of = clickhouse_rows.row_of

        def spoilt(message: Any, record: Record) -> Any:
            table, row = row_of(message, record) or pytest.fail("no row")
            return table, spoil(message, row)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clickhouse, "row_of", spoilt)
            yield
