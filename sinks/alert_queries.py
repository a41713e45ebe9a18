"""What the command line asks PostgreSQL about alerts; those of duress are in tables of their own."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

Fields = dict[str, Any]

_RANK = "array_position(array['critical', 'high', 'medium', 'low'], severity)"


def _tables(*, duress: bool) -> tuple[str, str]:
    return ("duress_alerts", "duress_alert_history") if duress else ("alerts", "alert_history")


async def alerts(dsn: str, *, duress: bool, closed: bool, site_id: str | None, limit: int) -> list[Fields]:
    """Whole alerts as they stand, worst first, the oldest of a severity first; those that are closed if asked for."""
    table, _ = _tables(duress=duress)
    query = (
        f"select value::text from {table} where ($1::text is null or site_id = $1) and (state <> 'closed' or $2) "  # noqa: S608 - names of ours
        f"order by state = 'closed', {_RANK}, raised_at, alert_id limit $3"
    )
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(query, site_id, closed, limit)
    finally:
        await connection.close()
    return [json.loads(row[0]) for row in rows]


async def alerts_named(dsn: str, beginning: str, *, duress: bool) -> list[Fields]:
    """The alerts whose id begins so; two at most, since only one is meant."""
    table, _ = _tables(duress=duress)
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(
            f"select value::text from {table} where starts_with(alert_id, $1) limit 2",  # noqa: S608 - names of ours
            beginning,
        )
    finally:
        await connection.close()
    return [json.loads(row[0]) for row in rows]


async def history(dsn: str, alert_id: str, *, duress: bool) -> list[Fields]:
    """Every transition of an alert, in order."""
    _, table = _tables(duress=duress)
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(
            "select type, updated_at, transition, severity, state, count, active, operator_id, request_id, comment, "  # noqa: S608 - names of ours
            f"result, notify::text, action::text from {table} where alert_id = $1 order by incarnation, transition",
            alert_id,
        )
    finally:
        await connection.close()
    return [_transition(dict(row)) for row in rows]


def _transition(row: Fields) -> Fields:
    parts = {name: json.loads(row[name]) if row[name] is not None else None for name in ("notify", "action")}
    return row | parts | {"updated_at": row["updated_at"].isoformat()}
