"""Reference records that a worker's view lacks, looked up in PostgreSQL: one query for many."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
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


WITHIN_S = 2.0
"""How long connecting or a query may take; those who wait for the answer have given up long before."""
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
        self._opening = asyncio.Lock()
        self._asking: set[asyncio.Task[Any]] = set()

    def begin(self) -> None:
        """Begin to connect, so that the first who asks need not wait for it. Needs a running event loop."""
        self._in_background(self._connected())

    async def fetch(self, lookups: Sequence[Any]) -> Mapping[Any, Sequence[FoundRow]]:
        """The records of each lookup; an empty list where there are none.

        Who asks may give up sooner than a connection is made; making it goes on all the same, for those who ask next.

        Raises:
            SinkUnavailable: nobody can answer.
        """
        found: Mapping[Any, Sequence[FoundRow]] = await asyncio.shield(self._in_background(self._fetch(lookups)))
        return found

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._asking.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever still waits; else to nobody

    async def _connected(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn, min_size=1, max_size=2, timeout=WITHIN_S, command_timeout=WITHIN_S
                )
            return self._pool

    async def _fetch(self, lookups: Sequence[Any]) -> Mapping[Any, Sequence[FoundRow]]:
        try:
            pool = await self._connected()
            rows = await pool.fetch(
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
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
