"""A switch dies, on Kafka: hundreds of controllers fall silent, thousands of doors alarm, and somebody is under duress.

One deciding and one notifying worker, which tells a catcher of what is to be told. The same storm, on a virtual clock
and held to every detail, is in `tests/core/test_storm.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from bench.alerts import ALERTED, door_alarm
from bench.controllers import WELL, Controllers, in_turn
from bench.programs import BenchmarkError, worker
from bench.stage import PARTITIONS, Plain, Stage
from bench.world import signed_reference
from deploy.stack import StackOptions, catcher, down, up
from schemas.access import Duress
from schemas.base import Message
from schemas.devices import Heartbeat
from schemas.ids import derive
from schemas.partitioning import partition_of
from schemas.places import Device, Site
from schemas.recipients import Recipient
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode
from streams.commands.lag import measure as lag
from streams.commands.reading import read_topics
from streams.connection import started

SITE = "bench-storm"
DOORS = 10
"""Of each controller that falls silent."""
BEAT_S, SILENT_S, SPREAD_S = 15, 45, 10
WITHIN_S = 240.0
_PARTITION = partition_of(SITE, PARTITIONS)
_ENTITIES = {entity.model: entity for entity in ENTITIES}


class Weathered(NamedTuple):
    """What a storm came to.

    `told`: alerts that somebody was told of, by kind, duress excepted; `waiting`: those under the root alert.
    `duress_s`: until monitoring's gateway had taken the message; `calm_s`: from the last alarm until no reader had
    anything left. MiB at most, of the deciding and of the notifying worker.
    """

    controllers: int
    alarms: int
    offline_within_s: float
    told: dict[str, int]
    waiting: int
    duress_s: float
    calm_s: float
    decide_mib: float
    notify_mib: float


class _Plant:
    """The controllers of the site: those behind the switch, and others."""

    def __init__(self, stage: Stage, dead: int, producer: AIOKafkaProducer) -> None:
        self.stage = stage
        self.dead = [f"{SITE}-d{number:03}" for number in range(dead)]
        self.alive = [f"{SITE}-a{number:03}" for number in range(dead * 6 // 5)]
        self._controllers = Controllers(SITE)
        self._producer = producer
        self.since_ms = int(time.time() * 1000)

    async def send(self, topic: str, records: Iterable[Plain]) -> None:
        """Publish, and wait until all is there."""
        for key, value, headers in records:
            await self._producer.send(topic, value, key=key, headers=headers, partition=_PARTITION)
        await self._producer.flush()

    async def beat(self, devices: Sequence[str]) -> None:
        """These say that they live."""
        await self.send(
            "device.events", [self._controllers.say(Heartbeat, "device.events", id_, **WELL) for id_ in devices]
        )

    async def forever(self) -> None:
        """Those that live send a heartbeat each fifteen seconds."""
        async for ids in in_turn(self.alive, BEAT_S, 1):
            await self.beat(ids)

    async def messages(self, topic: str) -> list[tuple[int, Any]]:
        """What a topic says of this storm, each with the broker's time (Unix, milliseconds)."""
        found = read_topics(self.stage.options, [topic], start_ms=self.since_ms, follow=False)
        told = [(record.timestamp, decode(topic, record.value)) async for record in found]
        return [(at, one) for at, one in told if one.site_id == SITE]


async def weather(stage: Stage, dead: int) -> Weathered:
    """Let so many controllers fall silent within ten seconds."""
    async with _catching(stage) as gateways:
        producer = AIOKafkaProducer(**stage.options, acks="all", linger_ms=2)
        async with started(producer):
            plant = _Plant(stage, dead, producer)
            await _put_on_file(plant)
            decide, decides = worker("decide", stage.folder, stage.environment)
            notify, notifies = worker("notify", stage.folder, {**stage.environment, **gateways})
            async with decide, notify:
                await decide.answers(decides)
                await notify.answers(notifies)
                living = asyncio.create_task(plant.forever())
                try:
                    begun = await _fall_silent(plant)
                    duress_s, offline_within_s = await _storm(plant, begun)
                finally:
                    living.cancel()  # what is sent all the time would always be waiting
                calm_s = await _calm(plant)
                peaks = decide.memory().peak_mib, notify.memory().peak_mib
                told, waiting = await _outcome(plant)
    return Weathered(dead, dead * DOORS, offline_within_s, told, waiting, duress_s, calm_s, *peaks)


@contextlib.asynccontextmanager
async def _catching(stage: Stage) -> AsyncIterator[dict[str, str]]:
    """The settings of a worker whose messages arrive at a catcher."""
    folder = stage.folder / "catcher"
    options = StackOptions(folder, with_kafka=False, with_postgres=False, with_clickhouse=False, with_catcher=True,
                           owner_pid=os.getpid())  # fmt: skip
    endpoints = await up(options)
    try:
        yield {f"DOORSTREAM_{name.upper()}": value for name, value in catcher.settings(endpoints.catcher).items()}
    finally:
        await down(folder)


async def _put_on_file(plant: _Plant) -> None:
    people = [
        *(
            Recipient.model_validate({"recipient_id": who, "addresses": addresses})
            for who, addresses in ALERTED.items()
        ),
        Recipient.model_validate(
            {"recipient_id": "centre", "monitoring": True, "addresses": [{"channel": "sms", "to": "+86 10 5550 0130"}]}
        ),
    ]
    devices = [Device(device_id=id_, site_id=SITE, upstream="switch") for id_ in plant.dead]
    devices += [Device(device_id=id_, site_id=SITE) for id_ in plant.alive]
    site = Site(site_id=SITE, name=SITE, time_zone="Europe/Berlin", policy_id="bench")
    rows: dict[str, list[Plain]] = {}
    records: list[Message] = [site, *devices, *people]
    for record in records:
        entity = _ENTITIES[type(record)]
        rows.setdefault(entity.topic, []).append(signed_reference(entity.topic, id_of(entity, record), record)[1:])
    for topic, plain in rows.items():
        await plant.stage.publish(topic, 0, plain)


async def _fall_silent(plant: _Plant) -> float:
    """The last that is heard of those behind the switch, within ten seconds; gives when it began."""
    begun = time.monotonic()
    for second in range(SPREAD_S):
        await plant.beat(plant.dead[second::SPREAD_S])
        await asyncio.sleep(max(0.0, begun + second + 1 - time.monotonic()))
    return begun


async def _storm(plant: _Plant, begun: float) -> tuple[float, float]:
    """Doors alarm as their controllers go; gives until duress was told, and within what time all had gone (seconds).

    Raises:
        BenchmarkError: some did not go, or of the duress nobody was told.
    """
    gone: dict[str, int] = {}
    forced_at = 0.0
    await asyncio.sleep(max(0.0, begun + SILENT_S - time.monotonic()))
    deadline = time.monotonic() + WITHIN_S
    while len(gone) < len(plant.dead):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{len(gone)} of {len(plant.dead)} controllers are offline")
        states = await plant.messages("device.states")
        now_gone = {one.device_id: at for at, one in states if one.event == "controller_offline"}
        for device in now_gone.keys() - gone.keys():
            await plant.send("door.alarms", [_held_open(device, number) for number in range(DOORS)])
        gone |= now_gone
        if not forced_at and len(gone) > len(plant.dead) / 2:
            forced_at = time.time()
            await plant.send("duress.events", [_duress()])
        await asyncio.sleep(0.2)
    while not (sent := await plant.messages("duress.notifications")):
        if time.monotonic() > deadline:
            raise BenchmarkError("nobody was told of the duress")
        await asyncio.sleep(0.1)
    return sent[0][0] / 1000 - forced_at, (max(gone.values()) - min(gone.values())) / 1000


def _held_open(device: str, number: int) -> Plain:
    door = f"{device}-{number}"
    return door.encode(), door_alarm(SITE, door, "door_held_open", door, device_id=device), []


def _duress() -> Plain:
    at, who = datetime.now(UTC), {"access_point_id": f"{SITE}-in", "door_id": f"{SITE}-door", "cardholder_id": "ann"}
    ids = {"duress_id": derive("duress", SITE), "decision_id": derive("decision", SITE), "site_id": SITE}
    message = Duress.model_validate({**ids, **who, "occurred_at": at, "decided_at": at})
    return SITE.encode(), message.to_json(), []


async def _calm(plant: _Plant) -> float:
    """Seconds until no reader has anything left.

    Raises:
        BenchmarkError: some always has.
    """
    begun = time.monotonic()
    while rows := [row for row in await lag(plant.stage.options) if row.messages and row.reader != "record"]:
        if time.monotonic() > begun + WITHIN_S:
            raise BenchmarkError(f"lag: {rows}")
        await asyncio.sleep(0.5)
    return time.monotonic() - begun


async def _outcome(plant: _Plant) -> tuple[dict[str, int], int]:
    alerts = [one for _, one in await plant.messages("alerts")]
    last = {one.alert_id: one for one in alerts}
    told = Counter(one.kind for one in alerts if one.notify is not None)
    return dict(told), sum(one.state == "suppressed" for one in last.values())
