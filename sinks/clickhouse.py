"""ClickHouse: the history. Rows may be written twice; tables and roll-ups are made so that they count once.

Why not the block discipline (a token for each block of offsets): it holds only as long as every block is repeated with
the very same edges. Counting distinct ids holds whatever is repeated, at the price of keeping the ids in the roll-ups.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from schemas.record import Record
from sinks.clickhouse_rows import TABLES, rows_of
from sinks.reading import HISTORY_TOPICS, Place, SinkUnavailable, next_offsets, read

_UNANSWERED = (OSError, OperationalError)


def connect(url: str) -> Any:
    """A client for an `http(s)://user:password@host:port/database` URL.

    Raises:
        SinkUnavailable: the server does not answer.
        ValueError: the URL is none of that form.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("DOORSTREAM_CLICKHOUSE must look like http://user:password@host:8123/database")
    try:
        return clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            secure=parts.scheme == "https",
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=parts.path.strip("/") or "default",
            compress=False,
            autogenerate_session_id=False,
        )
    except (*_UNANSWERED, DatabaseError) as error:
        raise SinkUnavailable(f"ClickHouse does not answer: {str(error)[:200]}") from error


class ClickHouseSink:
    """Writes batches of records into ClickHouse. The position is written after the rows, so a crash repeats rows."""

    name = "clickhouse"
    topics = HISTORY_TOPICS

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    async def open(self) -> None:
        """Connect.

        Raises:
            SinkUnavailable: the server does not answer.
        """
        if self._client is None:
            self._client = await asyncio.to_thread(connect, self._url)

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            client, self._client = self._client, None
            await asyncio.to_thread(client.close)

    async def positions(self, incarnation: int, partitions: Iterable[Place]) -> Mapping[Place, int]:
        """The next offset of each of these topic partitions; 0 where nothing is stored."""
        await self.open()
        found = await self._run(
            lambda client: (
                client.query(
                    "select topic, partition, max(next_offset) from sink_offsets where incarnation = {i:UInt64} "
                    "group by topic, partition",
                    parameters={"i": incarnation},
                ).result_rows
            )
        )
        known = {(topic, partition): int(offset) for topic, partition, offset in found}
        return {place: known.get(place, 0) for place in partitions}

    async def write(self, incarnation: int, records: Sequence[Record]) -> None:
        """Store a batch.

        Raises:
            SinkUnavailable: the server does not answer; some rows may have been stored.
        """
        await self.open()
        rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        for stored in read(records):
            found = rows_of(stored)
            if found is not None:
                rows[found[0]].append(found[1])
        ends = next_offsets(records)

        def insert(client: Any) -> None:
            for name, batch in rows.items():
                if batch:
                    client.insert(name, batch, column_names=TABLES[name])
            places = [(incarnation, topic, partition, offset) for (topic, partition), offset in ends.items()]
            client.insert("sink_offsets", places, column_names=["incarnation", "topic", "partition", "next_offset"])

        await self._run(insert)

    async def _run(self, work: Any) -> Any:
        try:
            return await asyncio.to_thread(work, self._client)
        except _UNANSWERED as error:
            raise SinkUnavailable(f"ClickHouse does not answer: {str(error)[:200]}") from error
