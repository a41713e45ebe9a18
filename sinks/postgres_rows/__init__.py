"""Which message becomes which row of which PostgreSQL table: a module a subject, with its tables and its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from schemas.canonical import model_of
from schemas.record import Record
from sinks.postgres_rows import (
    access,
    alerts,
    commands,
    deliveries,
    devices,
    exceptions,
    incidents,
    lockouts,
    notifications,
    operators,
    reference,
    threats,
)
from sinks.postgres_rows.table import Maker, Row, Table

TABLES: tuple[Table, ...] = (
    *access.TABLES,
    *commands.TABLES,
    *devices.TABLES,
    *exceptions.TABLES,
    *alerts.TABLES,
    *notifications.TABLES,
    *deliveries.TABLES,
    *operators.TABLES,
    *lockouts.TABLES,
    *incidents.TABLES,
    *threats.TABLES,
    *reference.TABLES,
)
"""In the order in which every writer writes them."""

_SUBJECTS = (
    access,
    commands,
    devices,
    exceptions,
    alerts,
    notifications,
    deliveries,
    operators,
    lockouts,
    incidents,
    threats,
)
_MAKERS: dict[type, tuple[Maker, ...]] = {
    model: makers for subject in _SUBJECTS for model, makers in subject.MAKERS.items()
}

EVERYWHERE = "lockouts.global"
Authenticate = Callable[[Record], int | None]


class Unauthenticated(Exception):  # noqa: N818 - a state of the record
    """A reference record that does not count."""


class Rows:
    """The rows of a batch, by table.

    `authenticate` tells until when (Unix, milliseconds) the signature of a reference record counts, None = not at all.
    """

    def __init__(self, authenticate: Authenticate | None = None) -> None:
        self._authenticate = authenticate
        self._rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}

    def add(self, record: Record, message: Any) -> None:
        """Add what a message becomes. `message` None = a tombstone.

        Raises:
            Unauthenticated: a reference record that somebody else than the administration wrote, or a lock of all
                sites that somebody else than doorstream did.
        """
        if record.topic == EVERYWHERE and self._authenticate is not None and self._authenticate(record) is None:
            raise Unauthenticated("not signed by doorstream")
        if record.topic in reference.ENTITY_OF:
            until_ms = self._authenticate(record) if self._authenticate is not None else 0
            if until_ms is None:
                raise Unauthenticated("not signed by the administration")
            self._rows[reference.REFERENCE.name].append(reference.reference_row(record, message, until_ms))
            return
        kind: Any = type(message)
        # All of them or none: one that fails must leave no half of a message behind.
        for table, made in [(table, make(message, record)) for table, make in _makers_of(kind)]:
            if made is not None:
                self._rows[table.name] += made if isinstance(made, list) else [made]

    def by_table(self) -> list[tuple[Table, list[Row]]]:
        """Rows in the order of `TABLES`, at most one a key where they replace each other, sorted by key there.

        The order of tables and keys is the same for every writer, so that two never wait for each other.
        """
        return [(table, _reduced(table, rows)) for table in TABLES if (rows := self._rows[table.name])]


def _reduced(table: Table, rows: list[Row]) -> list[Row]:
    if table.merge is None:
        return rows
    names = list(table.columns)
    at = [names.index(column) for column in table.key if column != "incarnation"]
    merged: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple([row[index] for index in at])
        old = merged.get(key)
        merged[key] = row if old is None else table.merge(old, row)
    return [merged[key] for key in sorted(merged)]


@cache
def _makers_of(kind: type) -> tuple[Maker, ...]:
    """Of the message's own class, or of the nearest that it derives from."""
    return next((_MAKERS[base] for base in model_of(kind).__mro__ if base in _MAKERS), ())
