"""What every store promises: whatever is written again, and in whatever pieces, the tables are the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.canonical import Canonical
from schemas.record import Record
from sinks.queries import Counts
from sinks.reading import HISTORY_TOPICS, Messages, SinkUnavailable
from tests.conftest import examples
from tests.sinks.records import EXAMPLES, PIN, Topics, a_day, as_we_write, example
from tests.sinks.stores import Postgres, Store

INCARNATION = 1_772_000_000
PLACES = [(topic, partition) for topic in ("access.decisions", "device.commands") for partition in range(3)]


def _expected(records: list[Record]) -> Counter[str]:
    found: Counter[str] = Counter()
    for record in records:
        with contextlib.suppress(ValueError):
            found[str((json.loads(record.value or b"null") or {}).get("type"))] += 1
    return found


@pytest.mark.branch("A2.14", "A2.15", "A3.05", "A3.09", "A3.12")
async def test_a_day_is_stored_and_counted(store: Store) -> None:
    day = a_day()
    expected = _expected(day)
    await store.sink.write(INCARNATION, day)
    granted, denied = expected["access_granted"], expected["access_denied"]
    counts = await store.counts()
    assert counts == Counts(granted + denied, granted, denied, expected["access_door"], expected["access_door"])
    tables = await store.tables()
    passages = tables["passages"]
    assert len(passages) == expected["access_taken"]


async def test_messages_in_the_form_that_we_write_give_the_same_tables_as_in_any_other(store: Store) -> None:
    day = a_day(60)
    await store.sink.write(INCARNATION, day)
    tables = await store.tables()
    await store.forget()
    ours = as_we_write(day)
    read = [message for _, message in Messages().read(ours) if isinstance(message, Canonical)]
    assert len(read) > 100
    await store.sink.write(INCARNATION, ours)
    assert await store.tables() == tables


async def test_every_kind_of_message_that_is_read_is_taken(store: Store) -> None:
    topics = Topics()
    for topic in HISTORY_TOPICS:
        for path in sorted((EXAMPLES / topic / "v1").glob("*.json")):
            topics.add(topic, path.read_bytes())
    assert len(topics.records) > len(HISTORY_TOPICS)
    await store.sink.write(INCARNATION, as_we_write(topics.records))
    places = {(record.topic, record.partition): record.offset + 1 for record in topics.records}
    assert await store.sink.positions(INCARNATION, places) == places


async def test_positions_are_where_the_batch_ended(store: Store) -> None:
    assert set((await store.sink.positions(INCARNATION, PLACES)).values()) == {0}
    day = a_day(20)
    await store.sink.write(INCARNATION, day)
    ends: dict[tuple[str, int], int] = {}
    for record in day:
        ends[record.topic, record.partition] = record.offset + 1
    assert await store.sink.positions(INCARNATION, list(ends)) == ends
    assert set((await store.sink.positions(INCARNATION + 1, PLACES)).values()) == {0}


async def test_positions_are_moved_over_what_was_left_out_at_the_end(store: Store) -> None:
    day = a_day(5)
    last = day[-1]
    place = (last.topic, last.partition)
    await store.sink.write(INCARNATION, day, {place: last.offset + 3})
    assert await store.sink.positions(INCARNATION, [place]) == {place: last.offset + 3}
    whole = await store.tables()
    await store.sink.write(INCARNATION, [], {place: last.offset + 5})
    await store.sink.write(INCARNATION, day, {place: last.offset + 3})
    assert await store.sink.positions(INCARNATION, [place]) == {place: last.offset + 5}
    assert await store.tables() == whole


STEPS = st.lists(
    st.tuples(
        st.integers(1, 160),  # records
        st.integers(0, 80),  # of them read before
        st.sampled_from(["go on", "restart", "zombie"]),
        st.one_of(st.none(), st.integers(0, 6)),  # the statement at which the write dies
    ),
    min_size=2,
    max_size=8,
)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(6),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
async def test_any_pieces_repeats_restarts_and_zombies_give_the_same_tables(store: Store, steps: list[Any]) -> None:
    day = a_day(60)
    await store.forget()
    await store.sink.write(INCARNATION, day)
    whole = await store.tables()
    await store.forget()
    at = 0
    for size, back, how, dies_at in [*steps, (len(day), 0, "go on", None)]:
        old = store.sink
        if how != "go on":
            store.sink = await store.again()
        piece = day[max(0, at - back) : at + size]
        if dies_at is not None:
            with store.breaking(dies_at), contextlib.suppress(SinkUnavailable):
                await store.sink.write(INCARNATION, piece)
        if piece:
            await store.sink.write(INCARNATION, piece)
        if how == "zombie":
            await old.write(INCARNATION, day[: max(1, at // 2)])
        if old is not store.sink:
            await old.close()
        at += size
    assert await store.tables() == whole
    assert whole["decisions"]


async def test_a_writer_that_is_behind_changes_nothing(store: Store) -> None:
    day = a_day(60)
    zombie = await store.again()
    await zombie.positions(INCARNATION, PLACES)
    await store.sink.write(INCARNATION, day)
    whole = await store.tables()
    await zombie.write(INCARNATION, day[:100])
    await zombie.close()
    assert await store.tables() == whole


async def test_two_writers_at_once_store_every_record_once(store: Store) -> None:
    day = a_day(60)
    other = await store.again()
    await asyncio.gather(store.sink.write(INCARNATION, day), other.write(INCARNATION, day))
    await other.close()
    expected = _expected(day)
    assert (await store.counts()).decisions == expected["access_granted"] + expected["access_denied"]


async def test_a_new_life_of_the_broker_begins_again_and_keeps_what_was_stored(store: Store) -> None:
    day = a_day(30)
    await store.sink.write(INCARNATION, day)
    before = await store.counts()
    later = INCARNATION + 100
    assert set((await store.sink.positions(later, PLACES)).values()) == {0}
    # The same controllers with the same numbers: the same ids, decided anew.
    for _ in range(2):
        await store.sink.write(later, day)
    assert await store.counts() == Counts(*(2 * number for number in before))
    await store.sink.write(INCARNATION, day)
    assert await store.counts() == Counts(*(2 * number for number in before))


async def test_no_secret_reaches_a_table(store: Store) -> None:
    await store.sink.write(INCARNATION, a_day(60))
    assert PIN not in str(await store.tables())


async def test_a_batch_of_nothing_readable_moves_on(store: Store) -> None:
    topics = Topics()
    topics.add("access.decisions", b"\xff")
    await store.sink.write(INCARNATION, topics.records)
    assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == 1


@pytest.mark.branch("A2.14")
async def test_a_granted_access_is_stored_with_cardholder_access_point_and_checks(store: Store) -> None:
    topics = Topics()
    checks = [["credential", "passed", "method=card"], ["lockout", "passed", "none"]]
    topics.add("access.decisions", example("access_granted", cardholder_id="p1", access_point_id="ap1", checks=checks))
    await store.sink.write(INCARNATION, topics.records)
    (stored,) = (await store.tables())["decisions"]
    assert {"p1", "ap1", "granted"} <= set(stored)
    if isinstance(store, Postgres):
        assert any('["lockout", "passed", "none"]' in field for field in stored)


@pytest.mark.branch("A2.15", "M2.06")
async def test_one_more_access_raises_the_statistics_of_its_door_and_hour_by_one(store: Store) -> None:
    topics = Topics()
    number = 0
    for door, hour, count in (("d1", 8, 3), ("d1", 9, 2), ("d2", 8, 1)):
        for _ in range(count):
            number += 1
            id_ = f"00000000-0000-8000-8000-{number:012}"
            moment = f"2026-03-02T{hour:02}:30:00Z"
            value = example("access_granted", decision_id=id_, door_id=door, decided_at=moment)
            topics.add("access.decisions", value)
            await store.sink.write(INCARNATION, topics.records[-2:])
            assert (await store.counts()).granted == number
    if not isinstance(store, Postgres):
        found = [(row[0][11:13], row[3], row[-1]) for row in (await store.tables())["decisions_by_device"]]
        assert sorted(found) == [("08", "d1", "3"), ("08", "d2", "1"), ("09", "d1", "2")]


BAD: dict[str, bytes] = {
    "a clock that is far ahead": example("access_granted", occurred_at="9999-12-31T23:59:59-14:00"),
    "a clock at the beginning of time": example("access_granted", occurred_at="0001-01-01T00:00:00+14:00"),
    "a number out of range": example("access_granted", age_ms=10**30),
    "a null character": example("access_granted", method="card\0", extra="\0"),
    "no number": example("access_granted")[:-1] + b',"extra":NaN,"huge":1e999999}',
}


@pytest.mark.parametrize("what", BAD)
async def test_odd_values_are_stored_all_the_same(store: Store, what: str) -> None:
    topics = Topics()
    topics.add("access.decisions", BAD[what])
    await store.sink.write(INCARNATION, topics.records)
    assert (await store.counts()).decisions == 1
    assert store.skipped == []


async def test_a_commands_state_is_the_furthest_that_its_own_controller_told(store: Store) -> None:
    topics = Topics()
    id_ = "00000000-0000-8000-8000-000000000001"
    topics.add("command.results", example("command_confirmed", command_id=id_, device_id="another"))
    topics.add("command.results", example("command_delivered", command_id=id_, device_id="c1"))
    topics.add("device.commands", example("access_door", command_id=id_, device_id="c1"))
    topics.add("command.results", example("command_failed", command_id=id_, device_id="c1", reason="stale_sequence"))
    topics.add("command.results", example("command_delivered", command_id=id_, device_id="c1"))
    topics.add("command.results", example("command_confirmed", command_id="not ours", device_id="c1"))
    for record in topics.records:
        await store.sink.write(INCARNATION, [record])
    rows = [row for row in (await store.tables())["commands"] if "access_door" in row]
    assert [("c1" in row, "superseded" in row) for row in rows] == [(True, True)]


@pytest.mark.branch("A3.12")
async def test_a_failed_authentication_is_stored_with_its_reason(store: Store) -> None:
    topics = Topics()
    topics.add("access.decisions", example("access_denied", reason="incorrect_authentication_factor"))
    await store.sink.write(INCARNATION, topics.records)
    (stored,) = (await store.tables())["decisions"]
    assert {"denied", "incorrect_authentication_factor"} <= set(stored)


async def test_no_secret_comes_along_in_a_field_that_nobody_knows(store: Store) -> None:
    topics = Topics()
    factors = [{"kind": "pin", "result": "passed", "pin": PIN, "template": [0.123456], "key": PIN}]
    topics.add("access.decisions", example("access_granted", pin=PIN, factors=factors))
    topics.add("alerts", example("alert_raised", pin=PIN))
    if isinstance(store, Postgres):
        topics.add("reference.credential", example("credential", pin=PIN, pin_hash=PIN), key=b"c1")
        assert "reference.secret" not in store.sink.topics
    await store.sink.write(INCARNATION, topics.records)
    tables = str(await store.tables())
    assert PIN not in tables
    assert "0.123456" not in tables
    assert store.skipped == []
