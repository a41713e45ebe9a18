"""The store classes every event as `schemas.event_classes` does, and a normal passage counts once (M2)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.stack.model import Endpoints
from schemas.event_classes import ALERT_CLASSES, class_of
from schemas.ids import derive
from schemas.topics import registry
from schemas.vocabulary import Classification, DeviceEvent
from sinks.clickhouse import ClickHouseSink, connect
from tests.sinks.databases import empty_clickhouse
from tests.sinks.records import Topics, example

INCARNATION = 1_772_000_000
REPORTED = {topic: [type_ for type_ in registry()[topic].messages if type_ != "heartbeat"]
            for topic in ("door.events", "device.events")}  # fmt: skip
"""What controllers say; of heartbeats, only their number is kept."""


def events() -> Iterator[tuple[str, bytes]]:
    """One of everything that is kept, and of everything that its class may depend on."""
    for number, given in enumerate(Classification):
        for type_ in ("access_granted", "access_denied"):
            id_ = derive(type_, number)
            yield "access.decisions", example(type_, decision_id=id_, classification=given.value)
    for type_ in ("access_taken", "access_not_taken", "message_refused"):
        yield "access.decisions", example(type_)
    yield from plain()
    for number, event in enumerate(DeviceEvent):
        yield "device.states", example("device_state", event=event.value, event_id=derive("state", number))
    for kind in {*ALERT_CLASSES, "somebody's own"} - {"duress"}:
        yield "alerts", example("alert_raised", alert_id=derive("alert", kind), kind=kind)


def plain() -> Iterator[tuple[str, bytes]]:
    """One of each type whose class depends on nothing else."""
    for number, type_ in enumerate(("lockout_impending", "lockout_started", "lockout_ended")):
        yield "lockouts", example(type_, lockout_id=derive("lock", number))
    for topic, types in REPORTED.items():
        for number, type_ in enumerate(types):
            yield topic, example(type_, sequence=100 + number)
    for topic in ("exceptions", "incidents", "threats"):
        for number, type_ in enumerate(registry()[topic].messages):
            yield topic, example(type_, event_id=derive(type_), transition=number + 1)


async def stored(endpoints: Endpoints, given: list[tuple[str, bytes]], *queries: str) -> list[list[tuple[Any, ...]]]:
    topics = Topics()
    for topic, value in given:
        # The refused message is none of these.
        topics.add(topic, value, partition=11)
    async with empty_clickhouse(endpoints) as url:
        sink = ClickHouseSink(url)
        await sink.write(INCARNATION, topics.records)
        await sink.write(INCARNATION, topics.records)
        await sink.close()

        def ask() -> list[list[tuple[Any, ...]]]:
            client = connect(url)
            try:
                return [client.query(query).result_rows for query in queries]
            finally:
                client.close()

        return await asyncio.to_thread(ask)


@pytest.mark.branch("M2.01")
async def test_every_event_has_the_same_class_in_the_store(endpoints: Endpoints) -> None:
    given = list(events())
    messages = [json.loads(value) for _, value in given]
    wanted = Counter((one["type"], str(class_of(one))) for one in messages)
    (rows,) = await stored(endpoints, given, "select type, event_class from events")
    assert Counter((type_, found) for type_, found in rows) == wanted


@pytest.mark.branch("M2.02", "M2.06")
async def test_a_normal_passage_is_in_the_log_and_raises_the_statistics_by_one(endpoints: Endpoints) -> None:
    id_ = derive("decision", 1)
    passage = [
        ("access.decisions", example("access_granted", decision_id=id_, classification="normal")),
        ("access.decisions", example("access_taken", decision_id=id_)),
    ]
    log, hours, classes, alerts = await stored(
        endpoints,
        passage,
        "select toString(decision_id), outcome from passages",
        "select sum(passages) from passages_by_hour",
        "select event_class, sum(events) from events_by_class group by event_class",
        "select count() from alert_transitions",
    )
    assert log == [(id_, "taken")]
    assert (hours, classes, alerts) == ([(1,)], [("normal", 2)], [(0,)])
