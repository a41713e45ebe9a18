"""What the command line asks of the stores."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from sinks.clickhouse import connect


class Counts(NamedTuple):
    """What a store holds."""

    decisions: int
    granted: int
    denied: int
    commands: int
    confirmed: int


async def decision(dsn: str, decision_id: str) -> dict[str, Any] | None:
    """A decision's message by its id, from PostgreSQL; None where there is none."""
    try:
        id_ = UUID(decision_id)
    except ValueError:
        return None
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        value = await connection.fetchval(
            "select value::text from decisions where decision_id = $1 order by incarnation desc limit 1", id_
        )
    finally:
        await connection.close()
    found: dict[str, Any] | None = json.loads(value) if value is not None else None
    return found


async def postgres_counts(dsn: str) -> Counts:
    """What PostgreSQL holds."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        row = await connection.fetchrow(
            "select (select count(*) from decisions), "
            "(select count(*) from decisions where outcome = 'granted'), "
            "(select count(*) from decisions where outcome = 'denied'), "
            "(select count(*) from commands where type = 'access_door'), "
            "(select count(*) from commands where state = 'confirmed')"
        )
    finally:
        await connection.close()
    return Counts(*(int(value) for value in row))


async def clickhouse_counts(url: str) -> Counts:
    """What ClickHouse holds; granted and denied from the roll-ups, which must agree with the rows."""

    def ask() -> Counts:
        client = connect(url)
        try:
            rows = client.query(
                "select (select count() from decisions), "
                "(select sum(decisions) from decisions_by_hour where outcome = 'granted'), "
                "(select sum(decisions) from decisions_by_hour where outcome = 'denied'), "
                "(select uniqExact(incarnation, command_id) from command_events where type = 'access_door'), "
                "(select uniqExact(incarnation, command_id) from command_events where type = 'command_confirmed')"
            ).result_rows
            return Counts(*(int(value or 0) for value in rows[0]))
        finally:
            client.close()

    return await asyncio.to_thread(ask)


async def devices(dsn: str, site_id: str | None) -> list[dict[str, Any]]:
    """How every device on file stands (`device_status`), at one site or all, from PostgreSQL."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(
            "select * from device_status where $1::text is null or site_id = $1 order by site_id, device_id", site_id
        )
    finally:
        await connection.close()
    return [dict(row) for row in rows]


async def device_states(dsn: str, device_id: str) -> dict[str, list[dict[str, Any]]]:
    """One device as it stands, `value` being the last message about it (one row a site), and its doors."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        found = await connection.fetch(
            "select d.*, s.value::text as value from device_status d "
            "left join device_states s on s.device_id = d.device_id and s.site_id = d.site_id "
            "where d.device_id = $1 order by d.site_id",
            device_id,
        )
        doors = await connection.fetch(
            "select r.id as door_id, r.value ->> 'name' as name, d.last_event, d.received_at "
            "from current_reference r left join doors d on d.door_id = r.id and d.site_id = r.value ->> 'site_id' "
            "where r.entity = 'door' and r.value ->> 'device_id' = $1 order by r.id",
            device_id,
        )
    finally:
        await connection.close()
    return {"devices": [dict(row) for row in found], "doors": [dict(row) for row in doors]}
