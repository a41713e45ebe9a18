"""PostgreSQL: the current state. One transaction a batch; the same batch again changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from schemas.record import Record
from sinks.poison import OnSkipped, PassedOver, log_skipped, write_around
from sinks.postgres_rows import TABLES, Authenticate, Rows, Unauthenticated
from sinks.postgres_rows.table import Row, Table
from sinks.reading import (
    DURESS_TOPICS,
    HISTORY_TOPICS,
    REFERENCE_TOPICS,
    Messages,
    Place,
    SinkUnavailable,
    in_slices,
    next_offsets,
)

CONNECT_TIMEOUT_S = 10.0
STATEMENT_TIMEOUT_S = 60.0
"""A server that has stopped answering is given up after this, and asked again."""
_DOWN = (OSError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, TimeoutError)
_POISON = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    OverflowError,
    TypeError,
)


class PostgresSink:
    """Writes batches of records into PostgreSQL, with the positions that they reach in the same transaction.

    A batch may begin before what is stored, in any edges: what was stored already is left out, under a lock on the
    position, so that of two writers each record takes effect once. `on_skipped` hears of what can't be stored.
    `authenticate` (see `Rows`) says which reference records count; None = all.
    """

    name = "postgres"
    topics = (*HISTORY_TOPICS, *DURESS_TOPICS, *REFERENCE_TOPICS)

    def __init__(
        self,
        dsn: str,
        messages: Messages | None = None,
        on_skipped: OnSkipped = log_skipped,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._dsn = dsn
        self._authenticate = authenticate
        self._messages = messages or Messages()
        self._on_skipped = on_skipped
        self._pool: asyncpg.Pool | None = None
        self._repeating: set[str] = set()

    async def open(self) -> None:
        """Connect.

        Raises:
            SinkUnavailable: the server does not answer.
        """
        if self._pool is None:
            try:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=1,
                    max_size=4,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=STATEMENT_TIMEOUT_S,
                    init=_prepare,
                    server_settings={"application_name": "doorstream-record"},
                )
            except _DOWN as error:
                raise _unavailable(error) from error

    async def close(self) -> None:
        """Disconnect."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def positions(self, incarnation: int, partitions: Iterable[Place]) -> Mapping[Place, int]:
        """The next offset of each of these topic partitions; 0 where nothing is stored."""
        await self.open()
        try:
            rows = await self._connected().fetch(
                "select topic, partition, next_offset from sink_offsets where incarnation = $1", incarnation
            )
        except _DOWN as error:
            raise _unavailable(error) from error
        known = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return {place: known.get(place, 0) for place in partitions}

    async def write(self, incarnation: int, records: Sequence[Record], ends: Mapping[Place, int] | None = None) -> None:
        """Store a batch that leads to `ends` (None: past its records); what can't be stored is passed over and told.

        Raises:
            SinkUnavailable: the server does not answer; the batch may be stored in part, and may be written again.
            TooManyUnstorable: more can't be stored than can be put down to bad messages.
        """
        await self.open()
        passed_over = PassedOver(self.name)

        async def store(part: Sequence[Record]) -> None:
            rows = await self._rows(part, passed_over)
            async with self._connected().acquire() as connection, connection.transaction():
                stood = await _claim(connection, incarnation, next_offsets(part))
                fresh = [record for record in part if record.offset >= stood[record.topic, record.partition]]
                if len(fresh) < len(part):
                    rows = await self._rows(fresh, passed_over)
                for table, found in rows.by_table():
                    await _insert(connection, table, incarnation, found, self._repeating)

        try:
            refused = await write_around(store, records, _POISON, passed_over)
            written = next_offsets(records)
            reached = {**written, **(ends or {})}
            if refused or reached != written:
                async with self._connected().acquire() as connection, connection.transaction():
                    await _claim(connection, incarnation, reached)
        except _DOWN as error:
            raise _unavailable(error) from error
        passed_over.tell(self._on_skipped)

    async def _rows(self, records: Sequence[Record], passed_over: PassedOver) -> Rows:
        rows = Rows(self._authenticate)
        async for part in in_slices(records):
            for record, message in self._messages.read(part):
                if isinstance(message, ValueError):
                    passed_over.unread(record, message)
                    continue
                try:
                    rows.add(record, message)
                except Unauthenticated as error:
                    passed_over.add(record, "unauthenticated", str(error))
                except MemoryError:
                    raise
                except Exception as error:  # noqa: BLE001 - tried again, it would fail again
                    passed_over.failed(record, error)
        return rows

    def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            raise SinkUnavailable("PostgreSQL is not connected: call open() first")
        return self._pool


def _unavailable(error: BaseException) -> SinkUnavailable:
    return SinkUnavailable(f"PostgreSQL does not answer: {str(error) or type(error).__name__}")


async def _claim(connection: Any, incarnation: int, ends: Mapping[Place, int]) -> dict[Place, int]:
    """Move the positions to the ends of a batch, where they are not further; gives where they stood."""
    places = sorted(ends)
    given = (incarnation, [topic for topic, _ in places], [partition for _, partition in places])
    await connection.execute(
        "insert into sink_offsets select $1, t, p, 0 from unnest($2::text[], $3::int[]) as x(t, p) "
        "order by t, p on conflict do nothing",
        *given,
    )
    rows = await connection.fetch(
        "select topic, partition, next_offset from sink_offsets where incarnation = $1 "
        "and (topic, partition) in (select * from unnest($2::text[], $3::int[])) "
        "order by topic, partition for update",
        *given,
    )
    await connection.execute(
        "update sink_offsets set next_offset = greatest(next_offset, ends.n) "
        "from unnest($2::text[], $3::int[], $4::bigint[]) as ends(t, p, n) "
        "where incarnation = $1 and topic = ends.t and partition = ends.p",
        *given,
        [ends[place] for place in places],
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def _insert(connection: Any, table: Table, incarnation: int, rows: list[Row], repeating: set[str]) -> None:
    """Store rows; `repeating` holds the tables that lately were given rows that they have already.

    COPY takes rows several times faster than arrays do, on both sides, but only an INSERT minds what is there already:
    where that is not to be expected, the rows are copied right into their table, in half the time.
    """
    if table.merge is None and table.name not in repeating:
        columns = ["incarnation", *table.columns]
        with contextlib.suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                fresh = [(incarnation, *row) for row in rows]
                await connection.copy_records_to_table(table.name, records=fresh, columns=columns)
            return
        repeating.add(table.name)
    await connection.copy_records_to_table(table.incoming, records=rows, columns=list(table.columns))
    done = await connection.execute(table.take_incoming, incarnation)
    if done == f"INSERT 0 {len(rows)}":
        repeating.discard(table.name)


async def _prepare(connection: Any) -> None:
    for table in TABLES:
        await connection.execute(table.make_incoming)
