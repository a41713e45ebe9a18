"""Heartbeats in ClickHouse: the last of each hour and their number, however often they are read."""

from __future__ import annotations

import pytest
from msgspec import structs

from schemas.record import Record
from tests.sinks.records import Topics, example
from tests.sinks.stores import ClickHouse, Store

INCARNATION = 1_772_000_000
BEGIN_MS = 1_772_445_600_000
"""A full hour."""


def two_hours() -> list[Record]:
    """One every ten minutes, and a restart after the first hour."""
    topics = Topics()
    for number in range(12):
        boot, sequence = 1 + number // 6, 1 + number % 6
        topics.add("device.events", example("heartbeat", device_id="c1", boot=boot, sequence=sequence))
    return [structs.replace(one, timestamp_ms=BEGIN_MS + at * 600_000) for at, one in enumerate(topics.records)]


async def test_the_last_heartbeat_of_an_hour_is_kept_and_all_are_counted_once(store: Store) -> None:
    if not isinstance(store, ClickHouse):
        pytest.skip("the history is ClickHouse's")
    sent = two_hours()
    await store.sink.write(INCARNATION, sent)
    await store.sink.write(INCARNATION, sent[3:9])
    tables = await store.tables()
    assert [(row[1:4], row[5]) for row in tables["device_messages"]] == [
        (("c1", "1", "6"), "heartbeat"),
        (("c1", "2", "6"), "heartbeat"),
    ]
    assert [row[2:] for row in tables["device_heartbeats_by_hour"]] == [("c1", "6"), ("c1", "6")]
