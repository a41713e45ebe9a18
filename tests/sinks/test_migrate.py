"""Migrations: once each, by however many at once, and never from a file that was changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from sinks import migrate
from sinks.clickhouse import connect
from sinks.migrate import MigrationError, files, migrate_clickhouse, migrate_postgres, statements, status
from sinks.reading import SinkUnavailable
from tests.sinks.databases import fresh_clickhouse, fresh_postgres


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations that a test may change."""
    copy = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, copy)
    monkeypatch.setattr(migrate, "FOLDER", copy)
    return copy


@pytest.mark.parametrize("store", ["postgres", "clickhouse"])
def test_each_has_a_number_of_its_own_in_the_order_that_they_are_applied_in(store: str) -> None:
    numbers = [int(one.name.partition("_")[0]) for one in files(store)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_all_is_applied_and_again_nothing(endpoints: Endpoints) -> None:
    async with fresh_postgres(endpoints) as dsn, fresh_clickhouse(endpoints) as url:
        assert await migrate_postgres(dsn) == []
        assert await migrate_clickhouse(url) == []
        rows = await status(dsn, url)
    assert {row.applied for row in rows} == {True}
    assert len(rows) == len(files("postgres")) + len(files("clickhouse")) >= 4


async def test_several_at_once_apply_each_file_once(endpoints: Endpoints) -> None:
    async with fresh_postgres(endpoints) as dsn, fresh_clickhouse(endpoints) as url:
        connection = await asyncpg.connect(dsn)
        await connection.execute("drop schema public cascade; create schema public")
        await connection.close()
        applied = await asyncio.gather(*(migrate_postgres(dsn) for _ in range(3)))
        assert sorted(name for names in applied for name in names) == [one.name for one in files("postgres")]
        await asyncio.to_thread(_forget_clickhouse, url)
        await asyncio.gather(*(migrate_clickhouse(url) for _ in range(3)))
        assert {row.applied for row in await status(dsn, url)} == {True}


def _forget_clickhouse(url: str) -> None:
    client = connect(url)
    try:
        rows = client.query("select name, engine from system.tables where database = currentDatabase()").result_rows
        for name, engine in sorted(rows, key=lambda row: "View" not in row[1]):
            client.command(f"drop {'view' if 'View' in engine else 'table'} {name}")
    finally:
        client.close()


@pytest.mark.parametrize("store", ["postgres", "clickhouse"])
async def test_a_file_that_was_changed_or_is_gone_is_noticed(endpoints: Endpoints, folder: Path, store: str) -> None:
    async with fresh_postgres(endpoints) as dsn, fresh_clickhouse(endpoints) as url:
        again: Callable[[], Awaitable[object]] = lambda: (  # noqa: E731 - one of two calls
            migrate_postgres(dsn) if store == "postgres" else migrate_clickhouse(url)
        )
        first = folder / store / files(store)[0].name
        text = first.read_text(encoding="utf-8")
        first.write_text(text + "-- a remark\n", encoding="utf-8")
        with pytest.raises(MigrationError, match=f"{store}: {first.name} was changed .* restore it"):
            await again()
        with pytest.raises(MigrationError, match="was changed"):
            await status(dsn, url)
        first.unlink()
        with pytest.raises(MigrationError, match="use the release that made the tables"):
            await again()
        first.write_text(text, encoding="utf-8")
        assert await again() == []


async def test_what_is_pending_is_told(endpoints: Endpoints, folder: Path) -> None:
    async with fresh_postgres(endpoints) as dsn, fresh_clickhouse(endpoints) as url:
        for store in ("postgres", "clickhouse"):
            (folder / store / "0099_more.sql").write_text("create view more as select 1 as one;\n", encoding="utf-8")
        assert [row.store for row in await status(dsn, url) if not row.applied] == ["postgres", "clickhouse"]
        assert await migrate_postgres(dsn) == await migrate_clickhouse(url) == ["0099_more.sql"]


async def test_a_store_that_is_away_is_named() -> None:
    with pytest.raises(SinkUnavailable, match="PostgreSQL does not answer"):
        await migrate_postgres("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(SinkUnavailable, match="ClickHouse does not answer"):
        await migrate_clickhouse("http://127.0.0.1:9/none")


def test_statements_are_told_apart_and_comments_left_out() -> None:
    assert statements("-- one; two\ncreate table a (b int); -- three\n\nselect 1\n") == [
        "create table a (b int)",
        "select 1",
    ]
