"""ClickHouse: the history. Rows may be written twice; tables and roll-ups are made so that they count once.

Why not the block discipline (a token for each block of offsets): it holds only as long as every block is repeated with
the very same edges. Counting distinct ids holds whatever is repeated, at the price of keeping the ids in the roll-ups.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError
from urllib3 import Timeout

from schemas.record import Record
from sinks.chdb import served
from sinks.clickhouse_rows import TABLES, row_of
from sinks.clickhouse_rows.table import Row
from sinks.poison import OnSkipped, PassedOver, log_skipped, write_around
from sinks.reading import HISTORY_TOPICS, Messages, Place, SinkUnavailable, in_slices, next_offsets

ANSWER_TIMEOUT_S = 10
"""A server that accepts a connection and says nothing is given up after this."""
STATEMENT_TIMEOUT_S = 120
_UNANSWERED = (OSError, OperationalError)
_POISON = (DataError, ValueError, OverflowError, TypeError, AttributeError, struct.error)
_OFFSETS = {"incarnation": "UInt64", "topic": "LowCardinality(String)", "partition": "UInt32", "next_offset": "UInt64"}


def connect(url: str) -> Any:
    """A client for an `http(s)://user:password@host:port/database` or `chdb:<folder>` URL; not on an event loop.

    Raises:
        SinkUnavailable: the server does not answer.
        ValueError: the URL is none of that form.
    """
    parts = urlsplit(served(url))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(
            "DOORSTREAM_CLICKHOUSE must look like http://user:password@host:8123/database or chdb:<folder>"
        )
    try:
        client = clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            secure=parts.scheme == "https",
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=parts.path.strip("/") or "default",
            compress=False,
            autogenerate_session_id=False,
            connect_timeout=ANSWER_TIMEOUT_S,
            send_receive_timeout=ANSWER_TIMEOUT_S,
        )
    except (*_UNANSWERED, DatabaseError) as error:
        raise SinkUnavailable(f"ClickHouse does not answer: {str(error)[:200]}") from error
    # It has answered what the driver asks at first; what it is asked now may take longer.
    client.timeout = Timeout(connect=ANSWER_TIMEOUT_S, read=STATEMENT_TIMEOUT_S)
    return client


class ClickHouseSink:
    """Writes batches of records into ClickHouse. The position is written after the rows, so a crash repeats rows.

    `on_skipped` hears of what can't be stored.
    """

    name = "clickhouse"
    topics = HISTORY_TOPICS

    def __init__(self, url: str, messages: Messages | None = None, on_skipped: OnSkipped = log_skipped) -> None:
        self._url = url
        self._messages = messages or Messages()
        self._on_skipped = on_skipped
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

    async def write(self, incarnation: int, records: Sequence[Record], ends: Mapping[Place, int] | None = None) -> None:
        """Store a batch that leads to `ends` (None: past its records); what can't be stored is passed over and told.

        Raises:
            SinkUnavailable: the server does not answer; some rows may have been stored.
            TooManyUnstorable: more can't be stored than can be put down to bad messages.
        """
        await self.open()
        passed_over = PassedOver(self.name)
        storable: list[tuple[Record, str, Row]] = []
        await self._read(records, storable, passed_over)
        by_record = {id(record): (table, row) for record, table, row in storable}

        async def store(part: Sequence[Record]) -> None:
            rows: dict[str, list[Row]] = {table: [] for table in TABLES}
            for record in part:
                table, row = by_record[id(record)]
                rows[table].append(row)
            await self._run(lambda client: _insert_all(client, incarnation, rows))

        await write_around(store, [record for record, _, _ in storable], _POISON, passed_over)
        reached = {**next_offsets(records), **(ends or {})}
        places = [(incarnation, topic, partition, offset) for (topic, partition), offset in reached.items()]
        await self._run(lambda client: _insert(client, "sink_offsets", _OFFSETS, list(zip(*places, strict=True))))
        passed_over.tell(self._on_skipped)

    async def _read(
        self, records: Sequence[Record], storable: list[tuple[Record, str, Row]], passed_over: PassedOver
    ) -> None:
        async for part in in_slices(records):
            for record, message in self._messages.read(part):
                if isinstance(message, ValueError):
                    passed_over.unread(record, message)
                    continue
                try:
                    found = row_of(message, record)
                except MemoryError:
                    raise
                except Exception as error:  # noqa: BLE001 - tried again, it would fail again
                    passed_over.failed(record, error)
                    continue
                if found is not None:
                    storable.append((record, *found))

    async def _run(self, work: Any) -> Any:
        if self._client is None:
            raise SinkUnavailable("ClickHouse is not connected: call open() first")
        try:
            return await asyncio.to_thread(work, self._client)
        except _UNANSWERED as error:
            await self.close()  # a server that is started anew may have another port
            raise SinkUnavailable(f"ClickHouse does not answer: {str(error)[:200]}") from error


def _insert_all(client: Any, incarnation: int, rows: Mapping[str, Sequence[Row]]) -> None:
    for table, batch in rows.items():
        if batch:
            columns = [[incarnation] * len(batch), *zip(*batch, strict=True)]
            _insert(client, table, {"incarnation": "UInt64"} | TABLES[table], columns)


def _insert(client: Any, table: str, columns: Mapping[str, str], data: Sequence[Sequence[Any]]) -> None:
    # With the types named, the driver need not ask the server for them at every insert.
    client.insert(
        table, data, column_names=list(columns), column_type_names=list(columns.values()), column_oriented=True
    )
