"""What the report of a lockdown asks PostgreSQL: its doors, who was inside, who was refused and who was not (E2)."""

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
    `zone_id`, `zone` and `since`; `at_end` is None while the lockdown lasts. `refused`: each attempt to enter that was
    refused because of it, at the server's or a controller's word, with `at`, `cardholder_id`, `name`,
    `access_point_id`, `door_id`, `device_id` and `zone_id`. `let_in_offline`: each that a controller which could not be
    reached let in alone, with the same and the `reason` that the rules gave against it when they were asked, if they
    did. `time_zone` is the site's.
    """

    doors: list[Fields]
    at_start: list[Fields]
    at_end: list[Fields] | None
    refused: list[Fields]
    let_in_offline: list[Fields]
    time_zone: str


_SCOPE = (
    "with recursive scope(zone_id) as (select $2::text union select z.id from current_reference z "
    "join scope on z.value ->> 'parent_id' = scope.zone_id "
    "where z.entity = 'zone' and z.value ->> 'kind' <> 'outside')"
)
# What a controller had let through alone counts from when it happened, though it was told later. Of what was decided in
# one cycle, and so at one time, the door's clock tells what came last; and operators' requests come before all of it.
# Who ever passed has a row of presence: one look into an index for each of them, however many passages there are.
_SINCE = "case evidence when 'recorded' then occurred_at else decided_at end"
INSIDE = (
    f"{_SCOPE}, last as (select p.cardholder_id, seen.zone_to, seen.since from presence p cross join lateral "  # noqa: S608 - text of ours
    f"(select zone_to, {_SINCE} as since from passages where site_id = $1 and cardholder_id = p.cardholder_id "
    f"and outcome = 'taken' and {_SINCE} < $3 order by {_SINCE} desc, occurred_at desc, decision_id limit 1) seen "
    "where p.site_id = $1) "
    "select last.cardholder_id, c.value ->> 'name' as name, last.zone_to as zone_id, z.value ->> 'name' as zone, "
    "last.since from last "
    "left join current_reference c on c.entity = 'cardholder' and c.id = last.cardholder_id "
    "left join current_reference z on z.entity = 'zone' and z.id = last.zone_to "
    "where last.zone_to in (select zone_id from scope) order by last.zone_to, last.cardholder_id"
)
# What was decided too late was no answer at the door, and of what was decided for somebody whom the controller had
# answered alone by then its record tells: it names the same reader and the same time. Such a record counts by what the
# controller did, and where it knew of the lockdown, also if the rules did not any more when it came.
ATTEMPTS = (
    f"{_SCOPE}, asked as (select d.*, decided_at as at, false as let_in from decisions d "  # noqa: S608
    "where site_id = $1 and decided_at >= $3 and decided_at < coalesce($4::timestamptz, 'infinity') "
    "and timeliness in ('online', 'grace') and outcome = 'denied' and reason = 'lockdown' "
    "and coalesce((value ->> 'drill')::boolean, $5) = $5 and not exists ("
    "select from decisions o where o.site_id = $1 and o.timeliness = 'offline' and o.occurred_at = d.occurred_at "
    "and o.access_point_id = d.access_point_id) "
    "union all select d.*, occurred_at, value ->> 'recorded_outcome' = 'granted' from decisions d "
    "where site_id = $1 and occurred_at >= $3 and occurred_at < coalesce($4::timestamptz, 'infinity') "
    "and timeliness = 'offline' and direction = 'entry' and (value ->> 'recorded_outcome' = 'granted' "
    "or reason = 'lockdown' and coalesce((value ->> 'drill')::boolean, $5) = $5 "
    "or value -> 'recorded' ->> 'reason' = 'lockdown')) "
    "select at, asked.cardholder_id, c.value ->> 'name' as name, access_point_id, door_id, device_id, "
    "zone_to as zone_id, reason, let_in from asked "
    "left join current_reference c on c.entity = 'cardholder' and c.id = asked.cardholder_id "
    "where zone_to in (select zone_id from scope) order by at, decision_id"
)
_DOORS = (
    "select d.door_id, r.value ->> 'name' as name, d.device_id, d.mode, d.asked_at, d.first_confirmed_at, "
    "d.confirmed_at, d.unconfirmed from incident_doors d "
    "left join current_reference r on r.entity = 'door' and r.id = d.door_id "
    "where d.incident_id = $1 order by d.door_id"
)


async def case_file(
    dsn: str, site_id: str, incident_id: str, spans: Sequence[Span], *, refusing: bool = True, drill: bool = False
) -> CaseFile:
    """What is known of a lockdown that had these scopes, one after the other; zones and names as they are on file now.

    One that is not `refusing` anybody has refused nobody, whatever others did there meanwhile; and what a `drill` has
    refused is no real one's, nor the other way round.

    Raises:
        asyncpg.PostgresError: the server refuses.
        OSError: it does not answer.
    """
    connection = await asyncpg.connect(dsn, timeout=10)

    async def inside(zone_id: str, at: datetime) -> list[Fields]:
        return [dict(row) for row in await connection.fetch(INSIDE, site_id, zone_id, at)]

    try:
        first, last = spans[0], spans[-1]
        asked = spans if refusing else ()
        attempts = [dict(row) for one in asked for row in await connection.fetch(ATTEMPTS, site_id, *one, drill)]
        let_in = [one.pop("let_in") for one in attempts]
        zone = await connection.fetchval(
            "select value ->> 'time_zone' from current_reference where entity = 'site' and id = $1", site_id
        )
        return CaseFile(
            doors=[dict(row) for row in await connection.fetch(_DOORS, incident_id)],
            at_start=await inside(first.zone_id, first.since),
            at_end=await inside(last.zone_id, last.until) if last.until is not None else None,
            refused=[one for one, was in zip(attempts, let_in, strict=True) if not was],
            let_in_offline=[one for one, was in zip(attempts, let_in, strict=True) if was],
            time_zone=zone or "UTC",
        )
    finally:
        await connection.close()
