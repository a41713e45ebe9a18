"""A database of each kind for a test of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.stack.model import Endpoints
from sinks.clickhouse import connect
from sinks.migrate import migrate_clickhouse, migrate_postgres

_NUMBERS = itertools.count(1)
_emptied: list[str] = []


def _name() -> str:
    # Two runs may share a server.
    return f"test_{os.getpid()}_{next(_NUMBERS)}"


def in_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@asynccontextmanager
async def fresh_postgres(endpoints: Endpoints) -> AsyncIterator[str]:
    """The DSN of a migrated database."""
    name = _name()
    connection = await asyncpg.connect(endpoints.postgres)
    try:
        await connection.execute(f"create database {name}")
        dsn = in_database(endpoints.postgres, name)
        try:
            await migrate_postgres(dsn)
            yield dsn
        finally:
            await connection.execute(f"drop database {name} with (force)")
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_clickhouse(endpoints: Endpoints) -> AsyncIterator[str]:
    """The URL of a newly migrated database."""
    url = await _made_clickhouse(endpoints)
    try:
        yield url
    finally:
        await asyncio.to_thread(_command, endpoints.clickhouse, f"drop database {urlsplit(url).path[1:]}")


@asynccontextmanager
async def empty_clickhouse(endpoints: Endpoints) -> AsyncIterator[str]:
    """The URL of a migrated database with nothing in it, which the next test has, too: making tables takes long."""
    url = _emptied.pop() if _emptied else await _made_clickhouse(endpoints)
    try:
        yield url
    finally:
        await asyncio.to_thread(empty, url)
        _emptied.append(url)


def empty(url: str) -> None:
    """Leave only the tables of a database of ClickHouse, and that they were made."""
    client = connect(url)
    try:
        full = "select name from system.tables where database = currentDatabase() and total_rows > 0"
        for (name,) in client.query(f"{full} and name != 'migrations'").result_rows:
            client.command(f"truncate table {name}")
    finally:
        client.close()


async def _made_clickhouse(endpoints: Endpoints) -> str:
    name = _name()
    await asyncio.to_thread(_command, endpoints.clickhouse, f"create database {name}")
    url = in_database(endpoints.clickhouse, name)
    await migrate_clickhouse(url)
    return url


def _command(url: str, text: str) -> None:
    client = connect(url)
    try:
        client.command(text)
    finally:
        client.close()
