"""A fresh database of each kind, dropped afterwards."""

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
    """The URL of a migrated database."""
    name = _name()

    def command(text: str) -> None:
        client = connect(endpoints.clickhouse)
        try:
            client.command(text)
        finally:
            client.close()

    await asyncio.to_thread(command, f"create database {name}")
    url = in_database(endpoints.clickhouse, name)
    try:
        await migrate_clickhouse(url)
        yield url
    finally:
        await asyncio.to_thread(command, f"drop database {name}")
