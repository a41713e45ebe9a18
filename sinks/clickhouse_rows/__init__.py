"""Which message becomes which row of which ClickHouse table: a module a subject, with its tables and its rows."""

from __future__ import annotations

from functools import cache
from typing import Any

from schemas.canonical import model_of
from schemas.record import Record
from sinks.clickhouse_rows import (
    access,
    alerts,
    commands,
    deliveries,
    devices,
    exceptions,
    incidents,
    lockouts,
    notifications,
    threats,
)
from sinks.clickhouse_rows.table import Columns, Maker, Row

_SUBJECTS = (access, commands, devices, exceptions, alerts, lockouts, notifications, deliveries, incidents, threats)

TABLES: dict[str, Columns] = {name: columns for subject in _SUBJECTS for name, columns in subject.TABLES.items()}
_MAKERS: dict[type, Maker] = {model: maker for subject in _SUBJECTS for model, maker in subject.MAKERS.items()}


def row_of(message: Any, record: Record) -> tuple[str, Row] | None:
    """The table and row that a message becomes; None for what has no history here.

    Raises:
        ValueError: an id is not a UUID where the column wants one.
    """
    kind: Any = type(message)
    found = _maker_of(kind)
    if found is None:
        return None
    table, make = found
    row = make(message, record)
    return None if row is None else (table, row)


@cache
def _maker_of(kind: type) -> Maker | None:
    """Of the message's own class, or of the nearest that it derives from."""
    return next((_MAKERS[base] for base in model_of(kind).__mro__ if base in _MAKERS), None)
