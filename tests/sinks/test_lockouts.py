"""Lockouts in the stores: as they stand, and every step of them (A4)."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from schemas.record import Record
from schemas.registry import decode
from sinks.postgres import PostgresSink
from streams.core.admission import Keys
from streams.core.lockout_publication import publish_everywhere, signed_until
from streams.core.processor import Context
from tests.sinks.records import Topics, example
from tests.sinks.stores import Postgres, Store

MASTER = bytes(range(32))
INCARNATION = 1_772_000_000
FAR = "2199-01-01T00:00:00Z"
IDS = [f"00000000-0000-8000-8000-{number:012}" for number in range(4)]


def a_week() -> list[Record]:
    """One that ran out, one that an operator ended, one in force, one without an end."""
    topics = Topics()
    for number, (id_, end) in enumerate(zip(IDS, ("2026-03-02T09:04:58Z", FAR, FAR, None), strict=True)):
        fields: dict[str, Any] = {"lockout_id": id_, "locked_until": end, "number": number + 1}
        topics.add("lockouts", example("lockout_started", **fields))
        if number == 0:
            more = {"cause": "expired", "ended_at": end, "operator_id": None, "request_id": None, "reason": ""}
            topics.add("lockouts", example("lockout_ended", **fields, **more))
        elif number == 1:
            topics.add("lockouts", example("lockout_ended", **fields))
    topics.add("lockouts", example("lockout_impending"))
    return topics.records


async def _in_force(store: Postgres) -> list[str]:
    connection = await asyncpg.connect(store.dsn)
    try:
        rows = await connection.fetch("select lockout_id from lockouts_in_force order by lockout_id")
        return [str(row["lockout_id"]) for row in rows]
    finally:
        await connection.close()


async def test_locks_are_stored_with_their_ends_and_what_led_to_them(store: Store) -> None:
    await store.sink.write(INCARNATION, a_week())
    tables = await store.tables()
    if isinstance(store, Postgres):
        assert [row[0] for row in tables["lockouts"]] == IDS
        ended = tables["lockouts"][1]
        assert {"operator", "op-7", "holder identified at the desk", "incorrect_authentication_factor"} <= set(ended)
        assert await _in_force(store) == IDS[2:]
    else:
        assert len(tables["lockout_transitions"]) == 7
        (of_credential,) = [row for row in tables["lockouts_by_day"] if "credential" in row]
        assert of_credential == ("2026-03-02", "hq", "site", "credential", "4", "1", "1")


async def test_a_lock_comes_out_the_same_in_whatever_order_its_start_and_end_are_read(store: Store) -> None:
    week = a_week()
    await store.sink.write(INCARNATION, week)
    whole = await store.tables()
    await store.forget()
    turned = [*week[1::-1], *week[3:1:-1], *week[4:]]
    for at, record in enumerate(turned):
        await store.sink.write(INCARNATION, [Record(record.topic, 0, at, b"hq", record.value, (), record.timestamp_ms)])
    assert await store.tables() == whole


async def test_a_lock_of_all_sites_is_stored_only_where_doorstream_signed_it(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("ClickHouse keeps what was published, whoever did")
    sink = PostgresSink(store.dsn, on_skipped=store.skipped.append, authenticate=signed_until(MASTER))
    context = Context(1_772_413_200_000, None, {}, 0, 1, 1)  # type: ignore[arg-type]
    message = decode("lockouts", example("lockout_started", lockout_id=IDS[0]))
    genuine = publish_everywhere(message, "/doorstream/lockouts", context, Keys(MASTER))
    topics = Topics()
    forged = topics.add("lockouts.global", example("lockout_started", lockout_id=IDS[1]), key=b"p0017")
    signed = Record("lockouts.global", 0, 1, genuine.key, genuine.value, genuine.headers, forged.timestamp_ms)
    await sink.write(INCARNATION, [forged, signed])
    await sink.close()
    assert [row[0] for row in (await store.tables())["lockouts"]] == IDS[:1]
    assert [(skipped.record.offset, skipped.reason) for skipped in store.skipped] == [(0, "unauthenticated")]
