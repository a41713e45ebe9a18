"""What the stores answer about subscriptions' events."""

from __future__ import annotations

import json

import asyncpg

from sinks.reading import REFERENCE_TOPICS
from tests.sinks.records import Topics, example
from tests.sinks.stores import Postgres, Store

INCARNATION = 1_772_000_000


def course() -> Topics:
    """A batch that fails, is delivered, and is followed by one that still fails; in another partition, one waits."""
    topics = Topics()
    told = [
        ("events_pending", 1, 0),
        ("delivery_failed", 2, 0),
        ("events_delivered", 3, 0),
        ("delivery_failed", 4, 0),
        ("delivery_failed", 5, 0),
        ("events_pending", 6, 3),
    ]
    for type_, number, partition in told:
        journal = {"partition": partition, "number": number}
        delivery_id = f"{partition}-{1 + number // 4}"
        at = f"2026-03-02T01:00:0{number}Z"
        value = example(type_, delivery_id=delivery_id, journal=journal, pending=number, updated_at=at, oldest_at=at)
        topics.add("deliveries", value, partition=partition)
    return topics


async def test_the_history_has_every_outcome_once_with_the_events_that_it_is_about(store: Store) -> None:
    records = course().records
    await store.sink.write(INCARNATION, records)
    repeats = [record for record in records if record.offset != 3]
    await store.sink.write(INCARNATION, repeats)
    if isinstance(store, Postgres):
        return
    tables = await store.tables()
    outcomes = tables["delivery_outcomes"]
    assert len(outcomes) == len(records)
    assert [row[-3:-1] for row in outcomes if row[3] == "delivered"] == [
        ("['access.decisions', 'alerts']", "[1042, 17]")
    ]
    ((_day, id_, *counts),) = tables["deliveries_by_day"]
    assert (id_, counts) == ("visitors-office", ["2", "0", "0", "1", "3", "6"])


async def test_the_state_is_what_was_said_last_in_each_partition(store: Store) -> None:
    if not isinstance(store, Postgres):
        return
    topics = course()
    assert "reference.subscription" in REFERENCE_TOPICS
    for id_ in ("visitors-office", "quiet"):
        topics.add("reference.subscription", example("subscription", subscription_id=id_), key=id_.encode())
    connection = await asyncpg.connect(store.dsn)
    try:
        await store.sink.write(INCARNATION, topics.records)
        rows = await connection.fetch("select * from subscriptions order by subscription_id")
        quiet, office = (dict(row) for row in rows)
        assert (quiet["pending"], quiet["failing_since"], quiet["error"]) == (0, None, None)
        assert (office["pending"], office["error"]) == (11, "answered 503")
        assert office["failing_since"].isoformat() == "2026-03-02T00:59:53.250000+00:00"
        assert office["oldest_at"].isoformat() == "2026-03-02T01:00:05+00:00"
        assert json.loads(office["wants"])
        # The broker begins a new life: what waited in the one before waits no more.
        later = Topics()
        later.add("reference.subscription", example("subscription", subscription_id="quiet"), key=b"quiet")
        later.add("deliveries", example("events_pending", subscription_id="quiet"))
        await store.sink.write(INCARNATION + 1, later.records)
        rows = await connection.fetch("select subscription_id, pending from subscriptions")
        assert [tuple(row) for row in rows] == [("quiet", 1)]
    finally:
        await connection.close()
