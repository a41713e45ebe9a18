"""Reference records that a worker's view lacks, looked up in PostgreSQL: one query for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import asyncpg
import msgspec

from sinks.reading import SinkUnavailable


class Asked(Protocol):
    """What is looked up: an entity by `id`, `card_number` or `cardholder_id`."""

    @property
    def entity(self) -> str:
        """Such as `credential`."""

    @property
    def index(self) -> str:
        """`id` or an index name."""

    @property
    def value(self) -> str:
        """What it must be."""


class FoundRow(msgspec.Struct, frozen=True):
    """A reference record: its id, the offset that it was written at, and its JSON value."""

    id: str
    position: int
    value: bytes


_COLUMNS = ("id", "card_number", "cardholder_id")
_QUERY = (
    "select a.n, r.id, r.position, r.value::text as value "
    "from unnest($1::int[], $2::text[], $3::text[], $4::text[]) "
    "as a(n, entity, index, value) join reference r on r.entity = a.entity and r.value is not null and ("
    + " or ".join(f"(a.index = '{column}' and r.{column} = a.value)" for column in _COLUMNS)
    + ") where r.incarnation = $5 order by a.n, r.id"
)


class PostgresLookups:
    """Asks the `reference` table. Only rows of this life of the broker count: others' positions mean nothing here."""

    def __init__(self, dsn: str, incarnation: int) -> None:
        self._dsn = dsn
        self._incarnation = incarnation
        self._pool: asyncpg.Pool | None = None

    async def fetch(self, lookups: Sequence[Any]) -> Mapping[Any, Sequence[FoundRow]]:
        """The records of each lookup; an empty list where there are none.

        Raises:
            SinkUnavailable: nobody can answer.
        """
        try:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=2, timeout=2)
            rows = await self._pool.fetch(
                _QUERY,
                list(range(len(lookups))),
                [lookup.entity for lookup in lookups],
                [lookup.index for lookup in lookups],
                [lookup.value for lookup in lookups],
                self._incarnation,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise SinkUnavailable(f"PostgreSQL does not answer: {error}") from error
        found: dict[Any, list[FoundRow]] = {lookup: [] for lookup in lookups}
        for row in rows:
            found[lookups[row["n"]]].append(FoundRow(row["id"], row["position"], row["value"].encode()))
        return found

    async def close(self) -> None:
        """Disconnect."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
