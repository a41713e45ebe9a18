"""The page for analysts: every query on it runs as it stands, and answers."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode
from sinks.clickhouse import ClickHouseSink, connect
from sinks.postgres import PostgresSink
from sinks.reading import REFERENCE_TOPICS
from tests.sinks.databases import empty_clickhouse, fresh_postgres
from tests.sinks.records import Topics, a_day, example

PAGE = Path(__file__).parents[2] / "docs" / "analytics.md"
_BLOCK = re.compile(r"^## (.+?)$|^```sql (\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INCARNATION = 1_772_000_000


def blocks(store: str) -> dict[str, str]:
    """The queries for a store, by the heading above them."""
    found: dict[str, str] = {}
    heading = ""
    for title, name, query in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        heading = title or heading
        if name == store:
            found[heading] = query
    return found


def reference() -> Topics:
    topics = Topics()
    for entity in ENTITIES:
        if entity.topic in REFERENCE_TOPICS:
            value = example(str(entity.model.model_fields["type"].default))
            topics.add(entity.topic, value, key=id_of(entity, decode(entity.topic, value)).encode())
    person = decode("reference.cardholder", example("cardholder")).cardholder_id
    topics.add("reference.permission", example("permission", cardholder_id=person), key=b"another")
    late = example("access_door", command_id="00000000-0000-8000-8000-000000000009")
    topics.add("device.commands", late, partition=7)
    topics.add("alerts", example("alert_raised", alert_id="open"), partition=7)
    return topics


def test_every_sql_block_says_which_store_it_is_for() -> None:
    fences = re.findall(r"^```sql(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences) == {" clickhouse", " postgres"}
    assert len(fences) == len(blocks("clickhouse")) + len(blocks("postgres"))


async def test_every_clickhouse_query_answers(endpoints: Endpoints) -> None:
    async with empty_clickhouse(endpoints) as url:
        sink = ClickHouseSink(url)
        await sink.write(INCARNATION, a_day())
        await sink.close()

        def ask() -> dict[str, int]:
            client = connect(url)
            try:
                return {title: len(client.query(query).result_rows) for title, query in blocks("clickhouse").items()}
            finally:
                client.close()

        rows = await asyncio.to_thread(ask)
    assert len(rows) >= 8
    assert [title for title, count in rows.items() if count == 0] == []


async def test_every_postgres_query_answers(endpoints: Endpoints) -> None:
    async with fresh_postgres(endpoints) as dsn:
        sink = PostgresSink(dsn)
        await sink.write(INCARNATION, a_day())
        await sink.write(INCARNATION, reference().records)
        await sink.close()
        connection = await asyncpg.connect(dsn)
        try:
            rows: dict[str, Any] = {title: await connection.fetch(query) for title, query in blocks("postgres").items()}
        finally:
            await connection.close()
    assert len(rows) >= 4
    assert [title for title, found in rows.items() if not found] == []


@pytest.mark.parametrize("store", ["clickhouse", "postgres"])
async def test_the_page_names_every_table_and_view(endpoints: Endpoints, store: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    names: list[str]
    if store == "postgres":
        async with fresh_postgres(endpoints) as dsn:
            connection = await asyncpg.connect(dsn)
            found = await connection.fetch(
                "select table_name from information_schema.tables where table_schema='public'"
            )
            await connection.close()
            names = [row[0] for row in found if row[0] not in {"migrations", "sink_offsets", "reference"}]
    else:
        async with empty_clickhouse(endpoints) as url:

            def ask() -> list[str]:
                client = connect(url)
                try:
                    views = "select name from system.tables where database = currentDatabase() and engine = 'View'"
                    return [row[0] for row in client.query(views).result_rows]
                finally:
                    client.close()

            names = await asyncio.to_thread(ask)
    assert names
    assert [
        name for name in names if f"`{name}`" not in page and f"`{name.removeprefix('decisions')}`" not in page
    ] == []
