"""Doors' modes and lockdowns in the stores (E2)."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from schemas.ids import derive
from sinks.clickhouse import ClickHouseSink, connect
from sinks.postgres import PostgresSink
from tests.sinks.databases import empty_clickhouse, fresh_postgres
from tests.sinks.records import Topics, as_we_write, example
from tests.sinks.stores import Postgres, Store

INCARNATION = 1_772_000_000


async def test_a_lockdown_is_stored_with_its_steps_and_the_confirmation_of_its_doors(store: Store) -> None:
    topics = Topics()
    id_ = "00000000-0000-8000-8000-000000000001"
    since = "2026-03-02T09:00:00Z"
    cause = {"kind": "lockdown", "cause_id": id_, "mode": "locked_down", "rank": 1, "since": since}
    for number, type_ in enumerate(("lockdown_started", "lockdown_confirmed", "lockdown_released"), start=1):
        topics.add("incidents", example(type_, incident_id=id_, transition=number))
    for confirmed in (None, "2026-03-02T09:00:01Z"):
        fields = {"door_id": "d1", "mode": "locked_down", "causes": [cause], "confirmed_at": confirmed}
        topics.add("door.modes", example("door_mode_desired", revision=1 + bool(confirmed), **fields))
    await store.sink.write(INCARNATION, topics.records)
    tables = await store.tables()
    if isinstance(store, Postgres):
        (incident,) = tables["incidents"]
        assert {id_, "released"} <= set(incident)
        assert len(tables["incident_history"]) == 3
        (door,) = tables["incident_doors"]
        assert door[:2] == (id_, "d1")
        assert len(tables["door_modes"]) == 1
    else:
        assert len(tables["incident_steps"]) == 3
        assert len(tables["door_mode_changes"]) == 2
        assert len(tables["lockdown_times"]) == 1


async def test_a_door_of_two_lockdowns_is_a_row_of_each_and_keeps_when_it_first_confirmed(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("the case files are PostgreSQL's")
    causes = [
        {"kind": "lockdown", "cause_id": id_, "mode": "locked_down", "rank": 1, "since": f"2026-03-02T09:00:0{id_}Z"}
        for id_ in "12"
    ]
    topics = Topics()
    # Opened by fire, locked down, and locked down again after a drift.
    told = (("locked_open", "01"), ("locked_down", "05"), ("locked_down", None), ("locked_down", "09"))
    for revision, (mode, second) in enumerate(told, start=1):
        confirmed = second and f"2026-03-02T09:00:{second}Z"
        fields = {"door_id": "d1", "mode": mode, "causes": causes, "confirmed_at": confirmed, "revision": revision}
        topics.add("door.modes", example("door_mode_desired", **fields))
    *apart, first, last = topics.records
    for records in ([*apart, first], [last], [first]):
        await store.sink.write(INCARNATION, records)
    rows = (await store.tables())["incident_doors"]
    assert [row[0] for row in rows] == ["1", "2"]
    for row in rows:
        assert {"2026-03-02 09:00:05+00:00", "2026-03-02 09:00:09+00:00", f"2026-03-02 09:00:0{row[0]}+00:00"} <= {*row}


async def test_the_times_of_one_that_was_escalated_are_those_of_its_last_scope(store: Store) -> None:
    topics = Topics()
    first, later = "2026-03-02T09:00:01Z", "2026-03-02T09:02:00Z"
    given = (("lockdown_confirmed", "lab", 1, first), ("lockdown_escalated", "hall", 4, None),
             ("lockdown_confirmed", "hall", 4, later))  # fmt: skip
    for number, (type_, zone, doors, confirmed) in enumerate(given, start=1):
        fields = {"zone_id": zone, "doors": doors, "confirmed_at": confirmed, "secured_at": None, "transition": number}
        id_ = "00000000-0000-8000-8000-000000000001"
        topics.add("incidents", example(type_, incident_id=id_, **fields))
    await store.sink.write(INCARNATION, topics.records)
    tables = await store.tables()
    if isinstance(store, Postgres):
        (incident,) = tables["incidents"]
        assert {"hall", "4", "2026-03-02 09:02:00+00:00"} <= set(incident)
    else:
        (times,) = tables["lockdown_times"]
        assert times[3:] == ("hall", "False", "4", "120000", "None")


async def test_a_refusal_for_practice_is_told_from_a_real_one(endpoints: Endpoints) -> None:
    topics = Topics()
    for number, drill in enumerate((True, False, True)):
        id_ = derive("decision", number)
        topics.add("access.decisions", example("access_denied", decision_id=id_, reason="lockdown", drill=drill))
    async with fresh_postgres(endpoints) as dsn, empty_clickhouse(endpoints) as url:
        for sink in (PostgresSink(dsn), ClickHouseSink(url)):
            await sink.write(INCARNATION, as_we_write(topics.records))
            await sink.close()
        connection = await asyncpg.connect(dsn)
        try:
            assert await connection.fetchval("select count(*) from decisions where (value ->> 'drill')::boolean") == 2
        finally:
            await connection.close()
        client = await asyncio.to_thread(connect, url)
        try:
            query = "select countIf(drill), count() from decisions where reason = 'lockdown'"
            rows = (await asyncio.to_thread(client.query, query)).result_rows
        finally:
            client.close()
    assert [tuple(row) for row in rows] == [(2, 3)]
