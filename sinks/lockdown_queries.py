"""What the report of a lockdown asks PostgreSQL: its doors, who was inside, and who was refused (E2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

Fields = dict[str, Any]


class Span(NamedTuple):
    """A stretch of a lockdown in which its scope was one zone; `until` is not in it, None: it still lasts."""

    zone_id: str
    since: datetime
    until: datetime | None


class CaseFile(NamedTuple):
    """What the store knows of a lockdown.

    `doors`: each with its `name`, `device_id`, `mode`, `asked_at`, `first_confirmed_at`, `confirmed_at` and
    `unconfirmed`. `at_start` and `at_end`: who was last seen in the scope then, with `cardholder_id`, `name`,
    `zone_id`, `zone` and `since`; `at_end` is None while the lockdown lasts. `refused`: each attempt that the lockdown
    refused, with `at`, `cardholder_id`, `name`, `access_point_id`, `door_id` and `zone_id`. `time_zone` is the site's.
    """

    doors: list[Fields]
    at_start: list[Fields]
    at_end: list[Fields] | None
    refused: list[Fields]
    time_zone: str


_SCOPE = (
    "with recursive scope(zone_id) as (select $2::text union select z.id from current_reference z "
    "join scope on z.value ->> 'parent_id' = scope.zone_id "
    "where z.entity = 'zone' and z.value ->> 'kind' <> 'outside')"
)
# What a controller had let through alone counts from when it happened, though it was told later. Of what was decided in
# one cycle, and so at one time, the door's clock tells what came last; and operators' requests come before all of it.
_INSIDE = (
    f"{_SCOPE}, known as (select cardholder_id, zone_to, occurred_at, decision_id, "  # noqa: S608 - text of ours
    "case evidence when 'recorded' then occurred_at else decided_at end as since from passages "
    "where site_id = $1 and outcome = 'taken' and cardholder_id is not null), "
    "last as (select distinct on (cardholder_id) cardholder_id, zone_to, since from known where since < $3 "
    "order by cardholder_id, since desc, occurred_at desc, decision_id) "
    "select last.cardholder_id, c.value ->> 'name' as name, last.zone_to as zone_id, z.value ->> 'name' as zone, "
    "last.since from last "
    "left join current_reference c on c.entity = 'cardholder' and c.id = last.cardholder_id "
    "left join current_reference z on z.entity = 'zone' and z.id = last.zone_to "
    "where last.zone_to in (select zone_id from scope) order by last.zone_to, last.cardholder_id"
)
_REFUSED = (
    f"{_SCOPE}, denied as (select d.*, case timeliness when 'offline' then occurred_at else decided_at end as at "  # noqa: S608
    "from decisions d where site_id = $1 and decided_at >= $3 and outcome = 'denied' and reason = 'lockdown') "
    "select at, denied.cardholder_id, c.value ->> 'name' as name, access_point_id, door_id, zone_to as zone_id "
    "from denied left join current_reference c on c.entity = 'cardholder' and c.id = denied.cardholder_id "
    "where at >= $3 and ($4::timestamptz is null or at < $4) and zone_to in (select zone_id from scope) "
    "order by at, decision_id"
)
_DOORS = (
    "select d.door_id, r.value ->> 'name' as name, d.device_id, d.mode, d.asked_at, d.first_confirmed_at, "
    "d.confirmed_at, d.unconfirmed from incident_doors d "
    "left join current_reference r on r.entity = 'door' and r.id = d.door_id "
    "where d.incident_id = $1 order by d.door_id"
)


async def case_file(
    dsn: str, site_id: str, incident_id: str, spans: Sequence[Span], *, refusing: bool = True
) -> CaseFile:
    """What is known of a lockdown that had these scopes, one after the other; zones and names as they are on file now.

    One that is not `refusing` anybody has refused nobody, whatever others did there meanwhile.

    Raises:
        asyncpg.PostgresError: the server refuses.
        OSError: it does not answer.
    """
    connection = await asyncpg.connect(dsn, timeout=10)

    async def inside(zone_id: str, at: datetime) -> list[Fields]:
        return [dict(row) for row in await connection.fetch(_INSIDE, site_id, zone_id, at)]

    try:
        first, last = spans[0], spans[-1]
        asked = spans if refusing else ()
        refused = [dict(row) for one in asked for row in await connection.fetch(_REFUSED, site_id, *one)]
        zone = await connection.fetchval(
            "select value ->> 'time_zone' from current_reference where entity = 'site' and id = $1", site_id
        )
        return CaseFile(
            doors=[dict(row) for row in await connection.fetch(_DOORS, incident_id)],
            at_start=await inside(first.zone_id, first.since),
            at_end=await inside(last.zone_id, last.until) if last.until is not None else None,
            refused=refused,
            time_zone=zone or "UTC",
        )
    finally:
        await connection.close()
