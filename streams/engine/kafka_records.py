"""Fetched records, whatever the names of their headers are.

Kafka lets any bytes pass as a header's name, and aiokafka raises where they are not UTF-8, again at every fetch: one
such record, published by anybody who may write to an input, would stop its partition for ever. Here such a name comes
as `doorstream-not-utf8-` and its bytes in hex, and the machine makes a dead letter of the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.record.util import decode_varint

from streams.engine.deadletters import NOT_UTF8_HEADER


class TolerantConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's, which gives every record that the broker took."""

    def __init__(self, *topics: str, **options: Any) -> None:
        # Its fetcher offers no other place to say so.
        fetcher.MemoryRecords, fetcher.PartitionRecords = KeptRecords, TolerantPartition
        super().__init__(*topics, **options)


class KeptRecords:
    """What a fetch gave of one partition, batch by batch, read by aiokafka's compiled reader; `data` stays at hand."""

    __slots__ = ("data", "has_next", "next_batch", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        records = MemoryRecords(data)
        self.data = data
        self.has_next = records.has_next
        self.next_batch = records.next_batch
        self.size_in_bytes = records.size_in_bytes


class TolerantPartition(PartitionRecords):  # type: ignore[misc]
    """The records of a fetch, one by one; read patiently from where a name was met that is not UTF-8."""

    _records: Any
    _records_iterator: Any

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None
            raise
        except UnicodeDecodeError:
            # Records below `next_fetch_offset` have been given, and are passed over.
            self._records = PatientRecords(self._records.data)
            self._records_iterator = self._unpack_records()
            return next(self)


class PatientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """`KeptRecords`, whatever the names are."""

    def next_batch(self) -> Any:
        """The next batch, or None."""
        data = self._next_slice
        batch = super().next_batch()
        return PatientBatch(batch, data) if isinstance(batch, DefaultRecordBatch) else batch


class PatientBatch:
    """A batch whose records are read patiently; everything else of it is as aiokafka has it."""

    def __init__(self, batch: Any, data: Any) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        return read_patiently(self._data)


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
