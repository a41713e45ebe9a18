"""What controllers send, as the stores show it: neither what was forged nor what was sent again changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from deploy.stack.model import Endpoints
from schemas.base import DeviceMessage
from schemas.record import Record
from sinks.postgres import PostgresSink
from sinks.reading import ForgedError, Messages, Skipped
from tests.sinks.databases import fresh_postgres
from tests.sinks.records import Topics, example

INCARNATION = 1_772_000_000


def genuine(message: DeviceMessage, record: Record) -> bool:
    return message.boot != 666 and record.key == b"hq"


def test_a_message_that_is_forged_is_none_for_every_sink_and_others_are_not_asked_about() -> None:
    topics = Topics()
    topics.add("door.events", example("door_opened"))
    topics.add("door.events", example("door_opened", boot=666))
    topics.add("access.decisions", example("access_granted", boot=666))
    topics.add("device.events", b"{")
    messages = Messages(2, genuine)
    for _ in range(2):
        read = [type(message).__name__ for _, message in messages.read(topics.records)]
        assert [read[0], read[1], read[3]] == ["DoorOpened", ForgedError.__name__, "ValueError"]
        assert read[2] not in {"ForgedError", "ValueError"}


class Doors:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.skipped: list[Skipped] = []
        self.sink = PostgresSink(dsn, Messages(1, genuine), self.skipped.append)
        self.topics = Topics()

    async def says(self, type_: str, version: int = 1, *, key: bytes = b"hq", **fields: Any) -> None:
        topic = "device.events" if type_ == "heartbeat" else "door.events"
        record = self.topics.add(topic, example(type_, **({"device_id": "c1", "door_id": "d1"} | fields)), key=key)
        record = structs.replace(record, headers=(("doorstream-mac", b"v1:%d:00" % version),))
        await self.sink.write(INCARNATION, [record])

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def doors(self) -> list[tuple[Any, ...]]:
        return await self.rows("select door_id, device_id, last_event from doors order by 1, 2")

    async def devices(self) -> list[tuple[Any, ...]]:
        return await self.rows("select device_id, boot, sequence, last_event from devices order by 1")


@pytest.fixture
async def doors(endpoints: Endpoints) -> AsyncIterator[Doors]:
    async with fresh_postgres(endpoints) as dsn:
        made = Doors(dsn)
        yield made
        await made.sink.close()


async def test_what_a_stranger_wrote_shows_nowhere(doors: Doors) -> None:
    await doors.says("door_closed", boot=7, sequence=5)
    await doors.says("door_forced_open", boot=666, sequence=6)
    await doors.says("door_forced_open", boot=8, sequence=6, key=b"elsewhere")
    assert await doors.doors() == [("d1", "c1", "door_closed")]
    assert await doors.devices() == [("c1", 7, 5, "door_closed")]
    assert [(one.record.offset, one.reason) for one in doors.skipped] == [
        (1, "unauthenticated"),
        (2, "unauthenticated"),
    ]


async def test_an_old_message_that_is_sent_again_shows_nowhere(doors: Doors) -> None:
    await doors.says("door_opened", boot=7, sequence=5)
    await doors.says("door_closed", boot=7, sequence=6)
    seen = await doors.rows("select last_seen from devices")
    await doors.says("door_opened", boot=7, sequence=5)
    await doors.says("door_closed", boot=7, sequence=6)
    assert await doors.doors() == [("d1", "c1", "door_closed")]
    assert await doors.rows("select last_seen from devices") == seen
    await doors.says("heartbeat", boot=8, sequence=1)
    assert await doors.devices() == [("c1", 8, 1, "heartbeat")]


async def test_a_swapped_controller_counts_afresh_and_the_old_one_no_longer_counts(doors: Doors) -> None:
    await doors.says("door_opened", boot=7, sequence=5)
    await doors.says("door_closed", 2, boot=1, sequence=1)
    await doors.says("door_opened", 1, boot=9, sequence=9)
    assert await doors.doors() == [("d1", "c1", "door_closed")]
    assert await doors.devices() == [("c1", 1, 1, "door_closed")]


async def test_a_door_that_was_given_to_another_controller_has_what_each_said_last(doors: Doors) -> None:
    await doors.says("door_opened", boot=7, sequence=5)
    await doors.says("door_closed", boot=1, sequence=1, device_id="c2")
    assert await doors.doors() == [("d1", "c1", "door_opened"), ("d1", "c2", "door_closed")]
