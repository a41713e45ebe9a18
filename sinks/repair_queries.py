"""What the command line asks PostgreSQL about the repair of devices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg

Fields = dict[str, Any]


async def cases(dsn: str, site_id: str | None, *, closed: bool) -> list[Fields]:
    """Repair cases, the oldest first; those that are closed only if asked for."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(
            "select case_id::text, site_id, device_id, model, cause, detail, state, active, opened_at, assigned_to, "
            "remedy, result, closed_at from repair_cases where ($1::text is null or site_id = $1) "
            "and ($2 or state <> 'closed') order by opened_at, case_id",
            site_id,
            closed,
        )
    finally:
        await connection.close()
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
