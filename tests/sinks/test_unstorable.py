"""What a store can't hold: passed over and told, until it is the release that is bad."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.record import Record
from sinks.poison import MOST_A_BATCH, MOST_A_SENDER, TooManyUnstorable
from sinks.reading import Messages
from tests.sinks.records import PIN, Topics, example
from tests.sinks.stores import Store

INCARNATION = 1_772_000_000
PLACES = [("access.decisions", 0)]
SENDERS = 1 + MOST_A_BATCH // MOST_A_SENDER
"""So many must have sent what can't be stored for the store to stop."""
MANY = 2 * MOST_A_BATCH


async def test_what_a_store_cannot_hold_is_passed_over_and_told(store: Store) -> None:
    topics = Topics()
    for number in range(20):
        id_ = f"00000000-0000-8000-8000-{number:012}" if number % 7 else f"no uuid {number}"
        topics.add("access.decisions", example("access_granted", decision_id=id_))
    topics.add("access.decisions", b'{"type": "access_revoked"}')
    await store.sink.write(INCARNATION, topics.records)
    assert (await store.counts()).decisions == 17
    told = {(skipped.record.offset, skipped.reason) for skipped in store.skipped}
    assert told == {(0, "unstorable"), (7, "unstorable"), (14, "unstorable"), (20, "undecodable")}
    assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == 21


def fail(_message: Any, _row: Any) -> Any:
    raise KeyError(PIN)


def recurse(message: Any, row: Any) -> Any:
    return recurse(message, row)


def mistake(_message: Any, row: Any) -> Any:
    """A row with nothing in it that any column takes."""
    return tuple(object() for _ in row)


@pytest.mark.parametrize("defect", [fail, recurse, mistake])
async def test_a_message_of_which_no_row_can_be_made_holds_up_no_other(store: Store, defect: Any) -> None:
    topics = Topics()
    for number in range(9):
        ids = {"decision_id": f"00000000-0000-8000-8000-{number:012}", "cardholder_id": f"p{number}"}
        topics.add("access.decisions", example("access_taken", **ids))
    with store.spoiling(lambda message, row: defect(message, row) if message.cardholder_id == "p4" else row):
        await store.sink.write(INCARNATION, topics.records)
        assert len((await store.tables())["passages"]) == 8
        assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == 9
        ((_, record, reason, error),) = store.skipped
        assert (record, reason) == (topics.records[4], "unstorable")
        assert PIN not in error
        await store.sink.write(INCARNATION, topics.records)
    # What was passed over lies in its topic for whoever has the defect mended.
    assert len((await store.tables())["passages"]) == 8
    await store.sink.write(INCARNATION + 1, topics.records)
    assert len((await store.tables())["passages"]) == 17


async def test_a_message_that_cannot_even_be_read_for_a_defect_is_passed_over(store: Store) -> None:
    def genuine(message: Any, _record: Record) -> bool:
        return bool({"hq-c01": True}[message.device_id])

    store.sink._messages = Messages(genuine=genuine)
    topics = Topics()
    for device_id in ("hq-c01", "hq-c02", "hq-c01"):
        topics.add("door.events", example("door_opened", device_id=device_id))
    await store.sink.write(INCARNATION, topics.records)
    ((_, record, reason, _error),) = store.skipped
    assert (record.offset, reason) == (1, "unstorable")
    assert (await store.sink.positions(INCARNATION, [("door.events", 0)]))["door.events", 0] == 3


async def test_a_defect_at_every_message_stops_the_store_instead_of_draining_the_topic(store: Store) -> None:
    topics = Topics()
    for number in range(MOST_A_BATCH + 1):
        topics.add("access.decisions", example("access_granted", device_id=f"hq-c{number % SENDERS}"))
    with store.spoiling(fail), pytest.raises(TooManyUnstorable, match="db status"):
        await store.sink.write(INCARNATION, topics.records)
    assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == 0


async def test_a_batch_of_bad_records_alone_stops_the_store_instead_of_draining_the_topic(store: Store) -> None:
    topics = Topics()
    for number in range(MOST_A_BATCH + 1):
        ids = {"decision_id": f"no uuid {number}", "device_id": f"hq-c{number % SENDERS}"}
        topics.add("access.decisions", example("access_granted", **ids))
    with pytest.raises(TooManyUnstorable, match=f"of {SENDERS} senders, .*db status"):
        await store.sink.write(INCARNATION, topics.records)
    assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == 0


def _one_sender_among_others(bad_id: str) -> Topics:
    """Many bad messages of one controller, and a good and a bad one of each of some others."""
    topics = Topics()
    for number in range(MANY):
        ids = {"decision_id": bad_id.format(number), "device_id": "broken"}
        topics.add("access.decisions", example("access_granted", **ids))
    for number in range(SENDERS):
        good = {"decision_id": f"00000000-0000-8000-8000-{number:012}", "device_id": f"hq-c{number}"}
        topics.add("access.decisions", example("access_granted", **good))
        bad = {"decision_id": bad_id.format(MANY + number), "device_id": f"hq-c{number}"}
        topics.add("access.decisions", example("access_granted", **bad))
    return topics


async def _stored_but_for_the_bad(store: Store, topics: Topics) -> None:
    await store.sink.write(INCARNATION, topics.records)
    assert (await store.counts()).decisions == SENDERS
    assert (await store.sink.positions(INCARNATION, PLACES))["access.decisions", 0] == len(topics.records)
    assert [skipped.reason for skipped in store.skipped] == ["unstorable"] * (MANY + SENDERS)


async def test_one_controller_whose_rows_are_refused_stops_the_store_for_nobody(store: Store) -> None:
    await _stored_but_for_the_bad(store, _one_sender_among_others("no uuid {}"))


async def test_one_controller_at_whose_messages_the_code_fails_stops_the_store_for_nobody(store: Store) -> None:
    topics = _one_sender_among_others("00000000-0000-8000-8000-1{:011}")

    def spoil(message: Any, row: Any) -> Any:
        return fail(message, row) if message.decision_id.startswith("00000000-0000-8000-8000-1") else row

    with store.spoiling(spoil):
        await _stored_but_for_the_bad(store, topics)


@pytest.mark.parametrize("keys", [1, SENDERS])
async def test_what_cannot_be_read_for_a_defect_counts_by_its_key(store: Store, keys: int) -> None:
    def genuine(_message: Any, _record: Record) -> bool:
        raise KeyError(PIN)

    store.sink._messages = Messages(genuine=genuine)
    topics = Topics()
    for number in range(MANY):
        message = example("door_opened", device_id=f"claimed-{number}")
        topics.add("door.events", message, key=f"s{number % keys}".encode())
    if keys > 1:
        with pytest.raises(TooManyUnstorable):
            await store.sink.write(INCARNATION, topics.records)
    else:
        await store.sink.write(INCARNATION, topics.records)
        assert len(store.skipped) == MANY
