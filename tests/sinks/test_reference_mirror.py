"""The mirror of the reference data that look-ups ask: only what counts where decisions are made is in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from schemas.record import Record
from sinks.postgres import PostgresSink
from sinks.reading import Skipped
from tests.sinks.databases import fresh_postgres
from tests.sinks.records import example

INCARNATION = 1_772_000_000
TOPIC = "reference.credential"


def record(offset: int, status: str | None, until_ms: int | None) -> Record:
    value = None if status is None else example("credential", status=status)
    headers = () if until_ms is None else (("until", str(until_ms).encode()),)
    return Record(TOPIC, 0, offset, b"c1", value, headers, 1_772_413_200_000)


def authenticate(one: Record) -> int | None:
    until = one.header("until")
    return None if until is None else int(until)


class Mirror:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.skipped: list[Skipped] = []
        self.sink = PostgresSink(dsn, on_skipped=self.skipped.append, authenticate=authenticate)

    async def status(self) -> str | None:
        connection = await asyncpg.connect(self.dsn)
        try:
            value = await connection.fetchval("select value::text from reference where id = 'c1'")
        finally:
            await connection.close()
        return None if value is None else str(json.loads(value)["status"])


@pytest.fixture
async def mirror(endpoints: Endpoints) -> AsyncIterator[Mirror]:
    async with fresh_postgres(endpoints) as dsn:
        made = Mirror(dsn)
        yield made
        await made.sink.close()


@pytest.mark.parametrize("together", [True, False])
async def test_a_record_without_the_administrations_signature_changes_nothing(mirror: Mirror, together: bool) -> None:
    records = [record(0, "stolen", 2_000), record(1, "active", None)]
    for batch in [records] if together else [[one] for one in records]:
        await mirror.sink.write(INCARNATION, batch)
    assert await mirror.status() == "stolen"
    assert [(one.record.offset, one.reason) for one in mirror.skipped] == [(1, "unauthenticated")]


@pytest.mark.parametrize("together", [True, False])
async def test_an_old_record_that_is_sent_again_revives_nothing(mirror: Mirror, together: bool) -> None:
    records = [record(0, "active", 1_000), record(1, "stolen", 2_000), record(2, "active", 1_000)]
    for batch in [records] if together else [[one] for one in records]:
        await mirror.sink.write(INCARNATION, batch)
    assert await mirror.status() == "stolen"
    await mirror.sink.write(INCARNATION, [record(3, None, 3_000)])
    assert await mirror.status() is None


async def test_a_new_life_of_the_broker_replaces_what_the_one_before_held(mirror: Mirror) -> None:
    await mirror.sink.write(INCARNATION, [record(5, "stolen", 2_000)])
    await mirror.sink.write(INCARNATION + 1, [record(0, "active", 1_000)])
    assert await mirror.status() == "active"
    await mirror.sink.write(INCARNATION, [record(6, "lost", 3_000)])
    assert await mirror.status() == "active"
