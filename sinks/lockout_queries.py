"""What the command line asks PostgreSQL about lockouts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import asyncpg

Fields = dict[str, Any]


async def in_force(dsn: str) -> list[Fields]:
    """The locks in force, the oldest first, with the fields of `lockout_started`."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(
            "select site_id, scope, subject, subject_id, cardholder_id, credential_id, access_point_id, door_id, "
            "number, failures, window_s, numbers, last_reason, started_at, locked_until, lockout_id::text, lockout_key "
            "from lockouts_in_force order by started_at, lockout_key"
        )
    finally:
        await connection.close()
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
