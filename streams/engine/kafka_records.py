"""Fetched records, whatever the names of their headers are.

Kafka lets any bytes pass as a header's name, and aiokafka raises where they are not UTF-8, again at every fetch: one
such record, published by anybody who may write to an input, would stop its partition for ever. Here such a name comes
as `doorstream-not-utf8-` and its bytes in hex, and the machine makes a dead letter of the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint

from streams.engine.deadletters import NOT_UTF8_HEADER


class TolerantConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's, which gives every record that the broker took."""

    def __init__(self, *topics: str, **options: Any) -> None:
        fetcher.MemoryRecords = TolerantRecords  # its fetcher offers no other place to say so
        super().__init__(*topics, **options)


class TolerantRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """What a fetch gave of one partition, batch by batch."""

    def next_batch(self) -> Any:
        """The next batch, or None."""
        data = self._next_slice
        batch = super().next_batch()
        return TolerantBatch(batch, data) if isinstance(batch, DefaultRecordBatch) else batch


class TolerantBatch:
    """A batch that reads the rest of itself patiently once a name is not UTF-8."""

    def __init__(self, batch: Any, data: Any) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                given += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(read_patiently(self._data), given, None)


def read_patiently(data: Any) -> Iterator[_DefaultRecordPy]:
    """The records of a batch in Kafka's format 2, as `KIP-98` has it; much slower than aiokafka's compiled reader."""
    batch = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()  # noqa: SLF001 - aiokafka offers no other way to it
    buffer, at = batch._buffer, batch._pos  # noqa: SLF001
    for _ in range(batch._num_records):  # noqa: SLF001
        _, at = decode_varint(buffer, at)  # its length
        _, at = decode_varint(buffer, at)  # its attributes, of which there are none
        since_ms, at = decode_varint(buffer, at)
        further, at = decode_varint(buffer, at)
        key, at = _bytes(buffer, at)
        value, at = _bytes(buffer, at)
        count, at = decode_varint(buffer, at)
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(count):
            name, at = _bytes(buffer, at)
            data_of, at = _bytes(buffer, at)
            headers.append((_name(name or b""), data_of))
        stamped = batch.timestamp_type == batch.LOG_APPEND_TIME
        time_ms = batch.max_timestamp if stamped else batch.first_timestamp + since_ms
        yield _DefaultRecordPy(batch.base_offset + further, time_ms, batch.timestamp_type, key, value, headers)


def _bytes(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(buffer, at)
    return (None, at) if length < 0 else (bytes(buffer[at : at + length]), at + length)


def _name(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return NOT_UTF8_HEADER + data.hex()
