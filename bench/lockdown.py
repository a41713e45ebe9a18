"""A lockdown of one very large site: how soon its commands are out, and what the other sites' people notice of it.

The site's controllers live all the while: each sends a heartbeat when it is its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.controllers import Controllers, in_turn
from bench.latency import Answered, Latency, summary, typical
from bench.people import answers, people
from bench.programs import BenchmarkError, Program, worker
from bench.stage import COMMANDS, PARTITIONS, Plain, Stage
from bench.world import MASTER, PATIENCE_S, signed_reference
from schemas.base import Message
from schemas.devices import CommandConfirmed, Heartbeat
from schemas.envelope import type_of
from schemas.incidents import LockdownReleaseRequested, LockdownRequested
from schemas.keys import OPERATOR, derive_key
from schemas.operators import OperatorRequest
from schemas.partitioning import partition_of
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.reference import ENTITIES, id_of
from schemas.rules import OperatorRights, Policy, SingleMethod
from schemas.vocabulary import Direction, FactorKind, ThreatLevel
from streams.signed import Event, signed_headers

SITE, OPERATOR_ID = "vast", "op-1"
DOORS_A_CONTROLLER = 10
BEFORE_S = 1.0
"""How long people ask before the request."""
WARM_UP = 8
"""Rounds before those that count: a broker that has just been started still compiles its code, on cores that all share
(the first lockdown costs it six times the CPU of the fourth, and that a third more than the tenth)."""

WITHIN_S = 60.0
HEARTBEAT_S = 15.0
TURN_S = 0.1
"""Those whose turn it is send their heartbeats together, that often."""

INCIDENTS, RESULTS, REQUESTS, DEVICES = "incidents", "command.results", "operator.requests", "device.events"
_BY_MODEL = {entity.model: entity for entity in ENTITIES}


class Waited(NamedTuple):
    """How long other sites' people waited in one part of each round: medians of the rounds.

    `pooled_p99_ms` is that of all rounds together, which is that of the few in which the machine stood still.
    """

    latency: Latency
    pooled_p99_ms: float


class Locked(NamedTuple):
    """Seconds from the request published to the last command received and to every door confirmed, medians of rounds.

    `cpu_s`: of the worker's CPU from the request to the last command. `meanwhile`: those who asked between the request
    and the last command; `confirming`: from when the controllers began to confirm until every door counted.
    `unanswered`: of all who asked.
    """

    doors: int
    commanded_s: float
    confirmed_s: float
    cpu_s: float
    meanwhile: Waited
    confirming: Waited
    unanswered: int


async def lockdowns(stage: Stage, doors: int, rounds: int) -> Locked:
    """Lock a site of so many doors down and release it, round by round, while people ask at the other sites.

    `rounds` count, after `WARM_UP` others.

    Raises:
        BenchmarkError: a door got no command, or did not count as confirmed.
    """
    rows: dict[str, list[Plain]] = {}
    for message in _site(doors):
        entity = _BY_MODEL[type(message)]
        id_ = id_of(entity, message)
        rows.setdefault(entity.topic, []).append(signed_reference(entity.topic, id_, message)[1:])
    for topic, records in rows.items():
        await stage.publish(topic, 0, records)
    program, ready = worker("decide", stage.folder, stage.environment)
    async with program:
        await program.answers(ready)
        site = _Site(stage, doors)
        await site.start()
        try:
            async with people(stage.kafka, stage.shape, stage.boot(), stage.folder) as asking:
                found = [await _round(site, program) for _ in range(WARM_UP + rounds)][WARM_UP:]
                took, unanswered = await answers(asking)
        finally:
            await site.stop()
    return Locked(
        doors,
        median([one.commanded_s - one.started_s for one in found]),
        median([one.commanded_s - one.started_s + one.confirmed_s - one.confirming_s for one in found]),
        median([one.cpu_s for one in found]),
        _waited(took, [(one.started_s, one.commanded_s) for one in found]),
        _waited(took, [(one.confirming_s, one.confirmed_s) for one in found]),
        unanswered,
    )


async def _round(site: _Site, program: Program) -> _Round:
    await asyncio.sleep(BEFORE_S)
    started_s, before_s = time.perf_counter(), program.cpu_s()
    await site.ask(LockdownRequested, threat_level=ThreatLevel.EXTREME, zone_id=SITE)
    commands = await site.commanded("lock_down_door")
    commanded_s, cpu_s = max(commands.values()), program.cpu_s() - before_s
    # 500 controllers would sign side by side, each on a machine of its own: what it takes here does not count.
    confirmations = site.confirmations(commands)
    confirming_s = time.perf_counter()
    await site.confirm(confirmations)
    confirmed = await site.told("lockdown_confirmed")
    confirmed_s = time.perf_counter()
    await site.ask(LockdownReleaseRequested, incident_id=confirmed["incident_id"])
    await site.confirm(site.confirmations(await site.commanded("lock_down_release_door")))
    await site.told("lockdown_released")
    return _Round(started_s, commanded_s, confirming_s, confirmed_s, cpu_s)


class _Round(NamedTuple):
    """When it was asked for, the last command came, controllers began to confirm, and the last of them counted.

    `cpu_s`: until the last command.
    """

    started_s: float
    commanded_s: float
    confirming_s: float
    confirmed_s: float
    cpu_s: float


def _waited(took: list[Answered], windows: list[tuple[float, float]]) -> Waited:
    """Of those who asked in these windows."""
    rounds = [[one.took_s for one in took if start <= one.sent_s <= end] for start, end in windows]
    pooled = summary([took_s for one in rounds for took_s in one], 0)
    return Waited(typical([summary(one, 0) for one in rounds]), pooled.p99_ms)


class _Site:
    """The large site's operator and its controllers: they confirm when all doors have their command."""

    def __init__(self, stage: Stage, doors: int) -> None:
        self.stage = stage
        self._doors = doors
        self._partition = partition_of(SITE.encode(), PARTITIONS)
        self._consumer = AIOKafkaConsumer(
            **stage.options, enable_auto_commit=False, fetch_max_wait_ms=50, max_partition_fetch_bytes=16 * 1024 * 1024
        )
        self._boot, self._asked = int(time.time()), 0
        self._controllers = Controllers(SITE, self._boot)
        self._incidents: list[dict[str, Any]] = []
        self._commands: list[tuple[float, bytes]] = []
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen from now on, and live."""
        await self._consumer.start()
        places = [TopicPartition(topic, self._partition) for topic in (COMMANDS, INCIDENTS)]
        self._consumer.assign(places)
        await self._consumer.seek_to_end(*places)
        for place in places:
            await self._consumer.position(place)
        self._living = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """Listen no more, and fall silent."""
        if self._living is not None:
            self._living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._living
        await self._consumer.stop()

    async def ask(self, kind: type[OperatorRequest], **fields: Any) -> None:
        """The operator asks for something."""
        now, self._asked = datetime.now(UTC), self._asked + 1
        named = {"request_id": f"bench-{self._boot}-{self._asked}", "site_id": SITE, "operator_id": OPERATOR_ID}
        request = kind(**{**named, "occurred_at": now, "reason": "a benchmark", **fields})
        key, value = SITE.encode(), request.to_json()
        event = Event(request.request_id, f"/operators/{OPERATOR_ID}", type_of(request), now.isoformat())
        end, secret = now + timedelta(seconds=60), derive_key(MASTER, OPERATOR, OPERATOR_ID)
        headers = signed_headers(secret, event, REQUESTS, key, value, end)
        await self.stage.publish(REQUESTS, self._partition, [(key, value, headers)])

    async def commanded(self, type_: str) -> dict[tuple[str, str], float]:
        """Wait until every door has a command of that type. Gives device and id of each, and when it was received."""
        found: dict[str, tuple[tuple[str, str], float]] = {}
        deadline = time.perf_counter() + WITHIN_S
        while len(found) < self._doors:
            await self._hear(deadline, f"{len(found)} of {self._doors} doors have their command")
            # Read only when there may be one for each door: controllers have machines of their own to do that.
            if len(self._commands) < self._doors - len(found):
                continue
            for at_s, value in self._commands:
                command = json.loads(value)
                if command["site_id"] == SITE and command["type"] == type_:
                    found.setdefault(command["door_id"], ((command["device_id"], command["command_id"]), at_s))
            self._commands.clear()
        return dict(found.values())

    def confirmations(self, commands: Iterable[tuple[str, str]]) -> list[Plain]:
        """What the controllers say when they have obeyed these."""
        return [self._controllers.say(CommandConfirmed, RESULTS, device, command_id=id_) for device, id_ in commands]

    async def confirm(self, confirmations: Iterable[Plain]) -> None:
        """They say so, all at once."""
        await self.stage.publish(RESULTS, self._partition, confirmations)

    async def told(self, type_: str) -> dict[str, Any]:
        """Wait until that is told of the lockdown."""
        deadline = time.perf_counter() + WITHIN_S
        while True:
            for one in self._incidents:
                if one["type"] == type_:
                    self._incidents.clear()
                    return one
            await self._hear(deadline, f"no {type_}")

    async def _hear(self, deadline: float, lacking: str) -> None:
        if time.perf_counter() > deadline:
            raise BenchmarkError(f"{lacking} after {WITHIN_S:g} s")
        for place, records in (await self._consumer.getmany(timeout_ms=100)).items():
            at_s = time.perf_counter()
            if place.topic == COMMANDS:
                self._commands += [(at_s, record.value) for record in records]
                continue
            told = [json.loads(record.value) for record in records]
            self._incidents += [one for one in told if one["site_id"] == SITE]

    async def _live(self) -> None:
        async for ids in in_turn(_devices(self._doors), HEARTBEAT_S, TURN_S):
            if ids:
                beats = [self._controllers.say(Heartbeat, DEVICES, id_) for id_ in ids]
                await self.stage.publish(DEVICES, self._partition, beats)


def _devices(doors: int) -> list[str]:
    return [f"{SITE}-c{number}" for number in range(-(-doors // DOORS_A_CONTROLLER))]


def _site(doors: int) -> Iterator[Message]:
    rights = OperatorRights(operator_id=OPERATOR_ID, rights=("start_lockdown", "release_lockdown"))
    methods = (SingleMethod(factor=FactorKind.CARD),)
    yield Policy(policy_id=SITE, methods=methods, online_s=PATIENCE_S, operators=(rights,),
                 device_rate_per_s=10**6, device_burst=10**6)  # fmt: skip
    yield Site(site_id=SITE, name=SITE, time_zone="UTC", policy_id=SITE)
    yield Zone(zone_id=SITE, site_id=SITE, kind="site", name=SITE)
    yield Zone(zone_id=f"{SITE}-out", site_id=SITE, kind="outside", name="outside")
    devices = _devices(doors)
    for device_id in devices:
        yield Device(device_id=device_id, site_id=SITE)
    for number in range(doors):
        device_id, door_id = devices[number // DOORS_A_CONTROLLER], f"{SITE}-d{number}"
        yield Door(door_id=door_id, site_id=SITE, device_id=device_id, name=door_id, has_dps=False)
        yield AccessPoint(access_point_id=f"{door_id}-in", site_id=SITE, door_id=door_id,
                          zone_from=f"{SITE}-out", zone_to=SITE, direction=Direction.ENTRY)  # fmt: skip
