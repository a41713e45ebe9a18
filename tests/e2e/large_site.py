"""A site of 500 doors on 50 virtual controllers, with people at the doors and an auditor, on a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.world import MASTER
from schemas.base import Message
from schemas.commands import AccessDoor, ModeCommand
from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.reference import ENTITIES, id_of
from schemas.rules import DeviceTiming, Monitoring, OperatorRights, Policy, SingleMethod
from schemas.vocabulary import Direction, FactorKind
from streams.loading.campus import Campus
from streams.simulator.audit import Auditor
from streams.simulator.book import Book
from streams.simulator.broker import COMMANDS, DECISIONS, INCIDENTS, MODES, SNAPSHOTS, Arrived, KafkaLine, Line, Marks
from streams.simulator.effects import ModeSet
from streams.simulator.factors import CardShown
from streams.simulator.happenings import Happenings
from streams.simulator.judge import Judge
from streams.simulator.mode_audit import ModeAudit
from streams.simulator.oracle import Oracle
from streams.simulator.people import People
from streams.simulator.places import Places
from streams.simulator.premises import TICK_S, Premises
from tests.e2e.cluster import Cluster

DEVICES, DOORS, PEOPLE = 50, 10, 20
AWAY = 5
"""So many controllers have no network when it is locked down: a tenth."""

HEARTBEAT_S, OFFLINE_AFTER_S = 2, 5
ASKING_EVERY_S = 0.05
_BY_MODEL = {entity.model: entity for entity in ENTITIES}


def large_campus(site: str) -> Campus:
    """The site's reference data; its building is `<site>-b`."""
    rights = OperatorRights(operator_id="op-1", rights=("start_lockdown", "release_lockdown"))
    timing = DeviceTiming(heartbeat_s=HEARTBEAT_S, offline_after_s=OFFLINE_AFTER_S)
    records: list[Message] = [
        Policy(
            policy_id=site,
            methods=(SingleMethod(factor=FactorKind.CARD),),
            operators=(rights,),
            monitoring=Monitoring(**timing.model_dump()),
            device_rate_per_s=1_000,
            device_burst=1_000,
        ),
        Site(site_id=site, name=site, time_zone="UTC", policy_id=site),
        Zone(zone_id=site, site_id=site, kind="site", name=site),
        Zone(zone_id=f"{site}-out", site_id=site, kind="outside", name="street"),
        Zone(zone_id=f"{site}-b", site_id=site, parent_id=site, kind="building", name="building"),
    ]
    for device in (f"{site}-c{number:02}" for number in range(DEVICES)):
        records.append(Device(device_id=device, site_id=site))
        for door in (f"{device}-d{number}" for number in range(DOORS)):
            records.append(Door(door_id=door, site_id=site, device_id=device, name=door))
            for end, direction, way in (
                ("in", Direction.ENTRY, (f"{site}-out", f"{site}-b")),
                ("out", Direction.EGRESS, (f"{site}-b", f"{site}-out")),
            ):
                place = {"access_point_id": f"{door}-{end}", "site_id": site, "door_id": door, "direction": direction}
                records.append(AccessPoint(**place, zone_from=way[0], zone_to=way[1]))
    for person in (f"{site}-p{number}" for number in range(PEOPLE)):
        records += [
            Cardholder(cardholder_id=person, name=person),
            Credential(credential_id=person, kind=FactorKind.CARD, cardholder_id=person, card_number=person),
            Permission(permission_id=person, site_id=site, cardholder_id=person, zone_ids=(f"{site}-b",)),
        ]
    found: dict[str, dict[str, Message]] = {}
    for record in records:
        entity = _BY_MODEL[type(record)]
        found.setdefault(entity.name, {})[id_of(entity, record)] = record
    return Campus(found, {}, {})


class _Timed(ModeAudit):
    """Notes when each door was given its mode, and when the latest command about one was issued (`time.time()`)."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s: dict[tuple[str, str], float] = {}
        self.issued_s = 0.0

    def commanded(self, command: AccessDoor | ModeCommand, *, signed: bool) -> None:
        super().commanded(command, signed=signed)
        if isinstance(command, ModeCommand):
            self.issued_s = command.issued_at.timestamp()

    def applied(self, change: ModeSet) -> None:
        super().applied(change)
        self.at_s.setdefault((change.door_id, change.mode), time.time())


class LargeSite:
    """The site as it lives. Use `lived_in`."""

    def __init__(self, site: str, campus: Campus, line: Line) -> None:
        self.site_id, self.line = site, line
        self.places = Places(campus)
        people = People(campus, self.places)
        self.oracle = Oracle(people, self.places, Happenings(self.places))
        self.book, self.modes = Book(), _Timed()
        self.auditor = Auditor(modes=self.modes)
        self.judge = Judge(self.oracle, people, self.places, self.book)
        self.premises = Premises(self.places, self.oracle, self.book, self.auditor, MASTER, line.say)
        self.judge.on_passage = self.premises.passage
        self.away = sorted(self.places.devices)[:: DEVICES // AWAY]
        self.missing = sorted(d.door_id for d in self.places.doors.values() if d.device_id in self.away)
        self.reachable = sorted(self.places.doors.keys() - {*self.missing})
        self.incidents: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        """What `door.modes` says."""
        self._marks, self._chance = Marks(), random.Random(1)

    def hear(self, arrived: Arrived) -> None:
        """A record that the line brings; those of other sites are nobody's here."""
        fresh = self._marks.fresh(arrived.topic, arrived.partition, arrived.headers)
        if arrived.topic in (COMMANDS, SNAPSHOTS):
            if fresh and arrived.topic == COMMANDS:
                self.premises.seen_command(arrived)
            self.premises.commanded(arrived)
            return
        fields = json.loads(arrived.value) if fresh else {}
        if fields.get("site_id") != self.site_id:
            return
        if arrived.topic == INCIDENTS:
            self.incidents.append(fields)
            self.oracle.lockdowns.told(fields)
        elif arrived.topic == MODES:
            self.told.append(fields)
            self.oracle.lockdowns.mode(fields)
        elif arrived.topic == DECISIONS:
            self.judge.read(fields)

    async def listen(self) -> None:
        """Hear everything, for ever."""
        while True:
            for arrived in await self.line.hear(0.1):
                self.hear(arrived)

    async def tick(self) -> None:
        """Let the controllers' timers run, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.premises.tick()

    async def people_come_and_go(self) -> None:
        """People ask at the doors that can be reached, most of them to get in, for ever."""
        asking: set[asyncio.Task[None]] = set()
        try:
            while True:
                await asyncio.sleep(ASKING_EVERY_S)
                task = asyncio.create_task(self._pass(self._chance.choice(self.reachable), self._chance.random()))
                asking.add(task)
                task.add_done_callback(asking.discard)
        finally:
            for task in asking:
                task.cancel()

    async def _pass(self, door_id: str, kind: float) -> None:
        card = CardShown(f"{self.site_id}-p{self._chance.randrange(PEOPLE)}")
        async with self.premises.turns[door_id]:
            reply = await self.premises.ask(f"{door_id}-{'out' if kind < 0.25 else 'in'}", [card])
            if reply.granted:
                await self.premises.walk_through(door_id, None if reply.alone else reply.key, 0.05)

    def lose_those_who_are_away(self) -> None:
        """The controllers that are to be away have no network any more."""
        for device_id in self.away:
            self.premises.disconnect(device_id)

    async def until(self, so: Any, within_s: float, what: str) -> None:
        """Wait until it is so."""
        end = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < end, f"{what}: not within {within_s} s"
            await asyncio.sleep(0.02)

    def locked(self, door_ids: list[str]) -> bool:
        """Whether all of these doors were locked down by their controllers."""
        return all((door_id, "locked_down") in self.modes.at_s for door_id in door_ids)


@asynccontextmanager
async def lived_in(cluster: Cluster, site: str) -> AsyncIterator[LargeSite]:
    """Publish the site's data; then its controllers live, and people are at its doors."""
    campus = large_campus(site)
    records = [(entity, id_, one) for entity, found in campus.records.items() for id_, one in found.items()]
    topics = {entity.name: entity.topic for entity in ENTITIES}
    await cluster.publish_references((topics[entity], id_, one) for entity, id_, one in records)
    async with KafkaLine.opened(cluster.options, lambda _outgoing, _at_s: None) as line:
        found = LargeSite(site, campus, line)
        living = [asyncio.create_task(one) for one in (found.listen(), found.tick())]
        try:
            yield found
            for task in living:
                assert not task.done(), task
        finally:
            for task in living:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*living, return_exceptions=True)
