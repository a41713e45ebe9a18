"""PostgreSQL: the current state. One transaction a batch; the same batch again changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from schemas.record import Record
from sinks.postgres_rows import COMMANDS, DEVICES, TABLES, Row, Table, rows_of
from sinks.reading import HISTORY_TOPICS, REFERENCE_TOPICS, Place, SinkUnavailable, next_offsets, read

ROWS_A_STATEMENT = 5_000
CONNECT_TIMEOUT_S = 10.0
_DOWN = (OSError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, TimeoutError)


class PostgresSink:
    """Writes batches of records into PostgreSQL, with the positions that they reach in the same transaction.

    A batch may begin before what is stored, in any edges: what was stored already is left out, under a lock on the
    position, so that of two writers each record takes effect once.
    """

    name = "postgres"
    topics = (*HISTORY_TOPICS, *REFERENCE_TOPICS)

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            SinkUnavailable: the server does not answer.
        """
        if self._pool is None:
            try:
                self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=4, timeout=CONNECT_TIMEOUT_S)
            except _DOWN as error:
                raise SinkUnavailable(f"PostgreSQL does not answer: {error}") from error

    async def close(self) -> None:
        """Disconnect."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def positions(self, incarnation: int, partitions: Iterable[Place]) -> Mapping[Place, int]:
        """The next offset of each of these topic partitions; 0 where nothing is stored."""
        await self.open()
        wanted = set(partitions)
        try:
            rows = await self._connected().fetch(
                "select topic, partition, next_offset from sink_offsets where incarnation = $1", incarnation
            )
        except _DOWN as error:
            raise SinkUnavailable(f"PostgreSQL does not answer: {error}") from error
        known = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return {place: known.get(place, 0) for place in wanted}

    async def write(self, incarnation: int, records: Sequence[Record]) -> None:
        """Store a batch.

        Raises:
            SinkUnavailable: the server does not answer; nothing was stored.
        """
        await self.open()
        try:
            async with self._connected().acquire() as connection, connection.transaction():
                fresh = await _claim(connection, incarnation, records)
                for table, rows in collect(fresh, incarnation):
                    await _insert(connection, table, rows)
        except _DOWN as error:
            raise SinkUnavailable(f"PostgreSQL does not answer: {error}") from error

    def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            raise SinkUnavailable("PostgreSQL is not connected: call open() first")
        return self._pool


async def _claim(connection: Any, incarnation: int, records: Sequence[Record]) -> list[Record]:
    """Move the positions over a batch, and give the records that lie above where they stood."""
    ends = next_offsets(records)
    places = sorted(ends)
    topics, partitions = [topic for topic, _ in places], [partition for _, partition in places]
    await connection.execute(
        "insert into sink_offsets select $1, t, p, 0 from unnest($2::text[], $3::int[]) as x(t, p) "
        "order by t, p on conflict do nothing",
        incarnation,
        topics,
        partitions,
    )
    rows = await connection.fetch(
        "select topic, partition, next_offset from sink_offsets where incarnation = $1 "
        "and (topic, partition) in (select * from unnest($2::text[], $3::int[])) "
        "order by topic, partition for update",
        incarnation,
        topics,
        partitions,
    )
    stood = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    await connection.executemany(
        "update sink_offsets set next_offset = greatest(next_offset, $4) "
        "where incarnation = $1 and topic = $2 and partition = $3",
        [(incarnation, topic, partition, ends[topic, partition]) for topic, partition in places],
    )
    return [record for record in records if record.offset >= stood[record.topic, record.partition]]


def collect(records: Sequence[Record], incarnation: int) -> list[tuple[Table, list[Row]]]:
    """The rows of a batch by table, in the order of `TABLES`, at most one a key where rows replace each other."""
    rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    for stored in read(records):
        for table, row in rows_of(stored, incarnation):
            rows[table.name].append(row)
    return [(table, _reduced(table, rows[table.name])) for table in TABLES if rows[table.name]]


def _reduced(table: Table, rows: list[Row]) -> list[Row]:
    """`ON CONFLICT DO UPDATE` can't touch a row twice in one statement, so a batch's rows are merged before."""
    if table.conflict == "do nothing":
        return rows
    names = list(table.columns)
    at = [names.index(column) for column in table.key]
    merged: dict[Row, Row] = {}
    for row in rows:
        key = tuple(row[index] for index in at)
        old = merged.get(key)
        merged[key] = row if old is None else _merge(table, names, old, row)
    return [merged[key] for key in sorted(merged)]


def _merge(table: Table, names: list[str], old: Row, new: Row) -> Row:
    if table is COMMANDS:
        rank = names.index("state_rank")
        ahead = new if new[rank] > old[rank] else old
        moving = {names.index(column) for column in ("state", "state_rank", "settled_at", "failure")}
        known = (old[i] if old[i] is not None else new[i] for i in range(len(names)))
        return tuple(ahead[i] if i in moving else fact for i, fact in enumerate(known))
    if table is DEVICES:
        order = (names.index("last_seen"), names.index("last_event"))
        return max(old, new, key=lambda row: tuple(row[index] for index in order))
    where = (names.index("incarnation"), names.index("position"))
    return max(old, new, key=lambda row: tuple(row[index] for index in where))


async def _insert(connection: Any, table: Table, rows: list[Row]) -> None:
    names = ", ".join(table.columns)
    arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(table.columns.values(), 1))
    key = ", ".join(table.key)
    statement = (
        f"insert into {table.name} ({names}) select * from unnest({arrays}) "  # noqa: S608 - all names are ours
        f"on conflict ({key}) {table.conflict}"
    )
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        columns = zip(*rows[start : start + ROWS_A_STATEMENT], strict=True)
        await connection.execute(statement, *(list(column) for column in columns))
