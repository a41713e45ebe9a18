"""Migrations: plain SQL files, each applied once, in order; an applied one may never change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from sinks.clickhouse import connect
from sinks.reading import SinkUnavailable

FOLDER = Path(__file__).resolve().parent / "migrations"
ANSWER_TIMEOUT_S = 10.0
_LOCK = 0x646F6F72  # "door"


class MigrationError(Exception):
    """The database and the files disagree; the text says what to do."""


class Migration(NamedTuple):
    """One file: its name, its text, and the checksum that is kept once it was applied."""

    name: str
    text: str
    checksum: str


class Status(NamedTuple):
    """One migration of one store, and whether it was applied."""

    store: str
    name: str
    applied: bool


def files(store: str) -> list[Migration]:
    """The migrations of `postgres` or `clickhouse`, in order."""
    found = []
    for path in sorted((FOLDER / store).glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        found.append(Migration(path.name, text, sha256(text.encode()).hexdigest()))
    return found


def pending(store: str, applied: dict[str, str]) -> list[Migration]:
    """What is still to be applied.

    Raises:
        MigrationError: a file that was applied has changed or is gone.
    """
    known = {migration.name: migration for migration in files(store)}
    for name, checksum in applied.items():
        if name not in known:
            raise MigrationError(f"{store}: {name} was applied but is not here: use the release that made the tables")
        if known[name].checksum != checksum:
            raise MigrationError(f"{store}: {name} was changed after it was applied: restore it and add a new file")
    return [migration for migration in known.values() if migration.name not in applied]


async def migrate_postgres(dsn: str) -> list[str]:
    """Apply what is pending, in one transaction under a lock; gives the names."""
    connection = await _postgres(dsn)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(
                "create table if not exists migrations (name text primary key, checksum text not null, "
                "applied_at timestamptz not null default now())"
            )
            todo = pending("postgres", await _postgres_applied(connection))
            for migration in todo:
                await connection.execute(migration.text)
                await connection.execute(
                    "insert into migrations (name, checksum) values ($1, $2)", migration.name, migration.checksum
                )
        return [migration.name for migration in todo]
    finally:
        await connection.close()


async def migrate_clickhouse(url: str) -> list[str]:
    """Apply what is pending, statement by statement; gives the names.

    ClickHouse has no transactions: a file that failed half-way is applied again, so its statements are made to be
    repeatable.
    """

    def work() -> list[str]:
        client = connect(url)
        try:
            client.command(
                "create table if not exists migrations (name String, checksum String, "
                "applied_at DateTime64(3, 'UTC') default now64()) engine = MergeTree order by name"
            )
            todo = pending("clickhouse", _clickhouse_applied(client))
            for migration in todo:
                for statement in statements(migration.text):
                    client.command(_repeatable(statement))
                client.insert("migrations", [(migration.name, migration.checksum)], column_names=["name", "checksum"])
            return [migration.name for migration in todo]
        finally:
            client.close()

    return await asyncio.to_thread(work)


async def status(dsn: str, url: str) -> list[Status]:
    """Every migration of both stores, and whether it was applied.

    Raises:
        MigrationError: a file that was applied has changed or is gone.
        SinkUnavailable: a store does not answer.
    """
    connection = await _postgres(dsn)
    try:
        exists = await connection.fetchval("select to_regclass('migrations') is not null")
        postgres = await _postgres_applied(connection) if exists else {}
    finally:
        await connection.close()

    def ask() -> dict[str, str]:
        client = connect(url)
        try:
            found = client.command("exists table migrations")
            return _clickhouse_applied(client) if int(found) else {}
        finally:
            client.close()

    clickhouse = await asyncio.to_thread(ask)
    pending("postgres", postgres)
    pending("clickhouse", clickhouse)
    rows = [("postgres", migration, postgres) for migration in files("postgres")]
    rows += [("clickhouse", migration, clickhouse) for migration in files("clickhouse")]
    return [Status(store, migration.name, migration.name in applied) for store, migration, applied in rows]


def statements(text: str) -> Sequence[str]:
    """The statements of a file; comments are dropped, and no text of ours has a semicolon in a string."""
    lines = (line.split("--")[0].rstrip() for line in text.splitlines())
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


def _repeatable(statement: str) -> str:
    for what in ("create table", "create view", "create materialized view"):
        if statement.startswith(f"{what} ") and not statement.startswith(f"{what} if not exists"):
            return statement.replace(what, f"{what} if not exists", 1)
    if statement.startswith("drop view ") and not statement.startswith("drop view if exists"):
        return statement.replace("drop view", "drop view if exists", 1)
    return statement


async def _postgres(dsn: str) -> Any:
    try:
        return await asyncpg.connect(dsn, timeout=ANSWER_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
        why = str(error) or f"it has said nothing for {ANSWER_TIMEOUT_S:g} s"
        raise SinkUnavailable(f"PostgreSQL does not answer: {why}") from error


async def _postgres_applied(connection: Any) -> dict[str, str]:
    rows = await connection.fetch("select name, checksum from migrations order by name")
    return {row["name"]: row["checksum"] for row in rows}


def _clickhouse_applied(client: Any) -> dict[str, str]:
    rows = client.query("select name, any(checksum) from migrations group by name order by name").result_rows
    return dict(rows)
