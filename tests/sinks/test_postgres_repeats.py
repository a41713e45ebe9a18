"""Rows that PostgreSQL has already: they stay as they are, and only what lies among them is added."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from tests.sinks.databases import fresh_postgres
from tests.sinks.records import a_day
from tests.sinks.stores import Postgres

INCARNATION = 1_772_000_000


@pytest.fixture
async def store(endpoints: Endpoints) -> AsyncIterator[Postgres]:
    async with fresh_postgres(endpoints) as dsn:
        made = Postgres(dsn)
        yield made
        await made.sink.close()


async def _forget_positions(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("truncate sink_offsets")
    finally:
        await connection.close()


async def test_a_topic_that_is_read_again_changes_no_row_and_adds_what_is_new(store: Postgres) -> None:
    day = a_day(60)
    await store.sink.write(INCARNATION, day[: len(day) // 2])
    await _forget_positions(store.dsn)
    await store.sink.write(INCARNATION, day)
    again = await store.tables()
    assert store.sink._repeating >= {"decisions", "passages"}
    await store.forget()
    await store.sink.write(INCARNATION, day)
    assert await store.tables() == again


async def test_a_row_that_comes_twice_in_a_batch_is_stored_once(store: Postgres) -> None:
    day = a_day(20)
    twice = [*day, *(one for one in a_day(20) if one.topic == "access.decisions")]
    await store.sink.write(INCARNATION, twice)
    tables = await store.tables()
    await store.forget()
    await store.sink.write(INCARNATION, day)
    assert await store.tables() == tables


async def test_a_store_is_copied_into_again_once_nothing_repeats(store: Postgres) -> None:
    days = [a_day(20, seed) for seed in (1, 1, 2)]  # the third in a new life of the broker
    for number, day in enumerate(days):
        await _forget_positions(store.dsn)
        await store.sink.write(INCARNATION + (number == 2), day)
        assert ("decisions" in store.sink._repeating) == (number == 1)
