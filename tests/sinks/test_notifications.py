"""What the stores answer about notifications."""

from __future__ import annotations

import asyncpg

from sinks.postgres import PostgresSink
from tests.sinks.records import Topics, example
from tests.sinks.stores import ClickHouse, Postgres, Store

INCARNATION = 1_772_000_000


def told(topics: Topics, type_: str, notification_id: str, **fields: object) -> None:
    """What became of a notification."""
    topics.add("notifications", example(type_, notification_id=notification_id, **fields))


async def test_the_last_that_was_said_of_a_notification_counts(store: Store) -> None:
    topics = Topics()
    told(topics, "notification_held", "n1")
    told(topics, "notification_sent", "n1", attempts=2)
    told(topics, "notification_failed", "n2", error="answered 503")
    await store.sink.write(INCARNATION, topics.records)
    tables = await store.tables()
    if isinstance(store, Postgres):
        assert len(tables["notifications"]) == 2
        assert {row[9] for row in tables["notifications"]} == {"sent", "failed"}
    if isinstance(store, ClickHouse):
        assert len(tables["notification_outcomes"]) == 3
        ((*_, sent, failed, held, skipped, _instead, _median, _p95),) = tables["notification_channels"]
        assert (sent, failed, held, skipped) == ("1", "1", "1", "0")


async def test_an_open_alert_whose_last_step_reached_nobody_is_found(store: Store) -> None:
    if not isinstance(store, Postgres):
        return
    topics = Topics()
    for alert_id in ("lost", "reached"):
        topics.add("alerts", example("alert_raised", alert_id=alert_id, state="unacknowledged"))
    told(topics, "notification_sent", "n0", alert_id="lost", step=1)
    told(topics, "notification_failed", "n1", alert_id="lost", step=2, error="answered 503")
    told(topics, "notification_failed", "n2", alert_id="reached", step=2)
    told(topics, "notification_sent", "n3", alert_id="reached", step=2, channel="email")
    sink: PostgresSink = store.sink
    await sink.write(INCARNATION, topics.records)
    connection = await asyncpg.connect(store.dsn)
    try:
        rows = await connection.fetch("select alert_id, step, errors from untold_alerts")
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == [("lost", 2, ["sms: answered 503"])]
