"""What is read of a batch is the same whatever the names of its headers are."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.engine.kafka_records import KeptRecords, TolerantPartition, read_patiently

HEADER_BYTES = 61
NAMES = ("a", "naïve", "x" * 200, "")
LOG_APPEND_TIME, GZIP = 8, 1


def batch(codec: int = 0, attributes: int = 0, *, bad: bytes | None = None, first: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1_000_000)
    for at, name in enumerate(NAMES):
        headers: list[tuple[str, Any]] = [(name, b"1"), ("stand-in", None)]
        builder.append(at, 1_772_409_600_000 + at * 70_000, None if at == 1 else b"k" * at, b"v" * 300 * at, headers)
    data = bytes(builder.build())
    if bad is not None:
        at = data.rindex(b"stand-in")
        data = data[:at] + bad + data[at + len(bad) :]
    records = gzip.compress(data[HEADER_BYTES:]) if codec == GZIP else data[HEADER_BYTES:]
    head = bytearray(data[:HEADER_BYTES])
    struct.pack_into(">i", head, 8, HEADER_BYTES - 12 + len(records))
    struct.pack_into(">h", head, 21, codec | attributes)
    struct.pack_into(">q", head, 0, first)
    struct.pack_into(">I", head, 17, calc_crc32c(bytes(head[21:]) + records))
    return bytes(head) + records


def fetched(data: bytes, position: int = 0) -> TolerantPartition:
    return TolerantPartition(TopicPartition("t", 0), KeptRecords(data), [], position, None, None, True, 0)


def rows(records: Any) -> list[tuple[Any, ...]]:
    return [(one.offset, one.timestamp, one.timestamp_type, one.key, one.value, tuple(one.headers)) for one in records]


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize("attributes", [0, LOG_APPEND_TIME])
def test_the_patient_reader_reads_what_the_quick_one_reads(codec: int, attributes: int) -> None:
    data = batch(codec, attributes)
    assert rows(fetched(data)) == rows(read_patiently(data))
    assert len(rows(read_patiently(data))) == len(NAMES)


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize("position", [0, 2, 3])
def test_a_name_that_is_not_utf8_stands_in_hex_and_nothing_else_changes(codec: int, position: int) -> None:
    bad = b"stand-i\xff"
    good = rows(read_patiently(batch(first=0))) + rows(read_patiently(batch(first=4)))
    records = fetched(batch(codec, bad=bad) + batch(first=4), position)
    found = rows(records)
    altered = len(NAMES) - 1
    assert found[altered - position][-1] == (("", b"1"), ("doorstream-not-utf8-" + bad.hex(), None))
    del found[altered - position], good[altered]
    assert found == good[position:]
    assert records.next_fetch_offset == 8
