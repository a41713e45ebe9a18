"""Virtual door controllers: they ask, keep what they asked pending, and obey commands by the contract's rules.

They share no code with the decisions: only the messages' form and the mac.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from bench.world import MASTER, Shape
from schemas.access import AccessRequested
from schemas.base import DeviceMessage
from schemas.devices import CommandConfirmed, CommandFailed
from schemas.envelope import event_headers, type_of
from schemas.factors import Card
from schemas.keys import DEVICE, derive_key
from schemas.registry import topic_of
from schemas.signing import MAC_HEADER, sign, verify
from streams.connection import partitions_of, started
from tests.e2e.cluster import LARGEST_REQUEST, Cluster, partition_of_site

PENDING_S = 10.0
"""How long a controller waits for the answer to a request."""
STEP_S = 0.01
Name = tuple[str, int, int]
"""Device, boot and number of a request."""


class Signed(NamedTuple):
    """A record as its controller sends it."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Answer(NamedTuple):
    """A decision as somebody sees it who reads along."""

    at_s: float
    partition: int
    name: Name


class Controllers:
    """All controllers of a world, in one boot. Use `controllers_of`."""

    def __init__(self, cluster: Cluster, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self.boot = next(cluster.boots)
        self.since_ms = time.time_ns() // 1_000_000
        """When they were switched on."""
        self.sent: list[Name] = []
        self.decided: dict[Name, dict[str, dict[str, Any]]] = {}
        """The decisions that were heard, by request and by decision id."""
        self.answers: list[Answer] = []
        self.acted: Counter[str] = Counter()
        """How often each command id moved a lock."""
        self.opened: Counter[Name] = Counter()
        """How often each request's door was opened."""
        self.refused: Counter[str] = Counter()
        """Commands that were not obeyed, by reason."""
        self.heard = 0
        self.producer = producer
        self._consumer = consumer
        self._sequences: Counter[str] = Counter()
        self._keys: dict[str, bytes] = {}
        self._pending: dict[Name, float] = {}
        self._commands: set[str] = set()
        self._doors: dict[str, int] = {}

    # -- asking -------------------------------------------------------------------------------------------------

    def next_number(self, device_id: str) -> int:
        """The next number of a device in this boot."""
        self._sequences[device_id] += 1
        return self._sequences[device_id]

    def request(self, access_point_id: str, card_number: str) -> AccessRequested:
        """A request of somebody at an access point called `<site>-<controller>-<door>-<side>`."""
        site, controller, _, _ = access_point_id.split("-")
        device = f"{site}-{controller}"
        return AccessRequested(
            site_id=site,
            device_id=device,
            boot=self.boot,
            sequence=self.next_number(device),
            access_point_id=access_point_id,
            occurred_at=datetime.now(UTC),
            factors=(Card(kind="card", card_number=card_number),),
        )

    def signed(self, message: DeviceMessage) -> Signed:
        """A message as the controller sends it."""
        topic, key, value = topic_of(type_of(message)), message.site_id.encode(), message.to_json()
        device = message.device_id
        id_ = f"{device}/{message.boot}/{message.sequence}"
        headers = list(event_headers(id_, f"/devices/{device}", type_of(message), message.occurred_at.isoformat()))
        headers.append(sign(self._key(device), 1, topic, key, value, headers))
        return Signed(topic, key, value, headers)

    def _key(self, device_id: str) -> bytes:
        found = self._keys.get(device_id)
        if found is None:
            found = self._keys[device_id] = derive_key(MASTER, DEVICE, device_id)
        return found

    async def ask(self, access_point_id: str, card_number: str) -> Name:
        """Send a request and keep it pending."""
        message = self.request(access_point_id, card_number)
        name = (message.device_id, message.boot, message.sequence)
        self._pending[name] = time.monotonic() + PENDING_S
        self.sent.append(name)
        await self.send(self.signed(message))
        return name

    async def send(self, record: Signed) -> asyncio.Future[Any]:
        """Send any record to its site's partition; awaits room, not the acknowledgement."""
        partition = partition_of_site(record.key.decode())
        future: asyncio.Future[Any] = await self.producer.send(
            record.topic, record.value, key=record.key, partition=partition, headers=record.headers
        )
        return future

    async def ask_steadily(self, shape: Shape, rate: int, seconds: float, *, seed: int = 1) -> None:
        """Requests of people who may pass, spread over sites, devices and doors, `rate` a second."""
        chance = random.Random(seed)
        begun, asked = time.monotonic(), 0
        while asked < rate * seconds:
            due = min(int((time.monotonic() - begun) * rate), int(rate * seconds))
            for _ in range(asked, due):
                site = f"s{chance.randrange(shape.sites)}"
                door = f"{site}-c{chance.randrange(shape.devices)}-d{chance.randrange(shape.doors)}"
                await self.ask(f"{door}-in", f"{site}-p{chance.randrange(shape.people)}-n")
            asked = due
            await asyncio.sleep(STEP_S)
        await self.producer.flush()

    # -- obeying ------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Follow commands and decisions for ever."""
        while True:
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    await self.hear(record)

    async def hear(self, record: ConsumerRecord) -> None:
        """Take a command or read a decision; hearing the same record again must not matter."""
        self.heard += 1
        fields = json.loads(record.value)
        if record.topic == "access.decisions":
            if fields["type"] in ("access_granted", "access_denied") and fields["boot"] == self.boot:
                name = (fields["device_id"], fields["boot"], fields["sequence"])
                self.decided.setdefault(name, {})[fields["decision_id"]] = fields
                self.answers.append(Answer(time.monotonic(), record.partition, name))
            return
        headers = dict(record.headers)
        mac = headers.get(MAC_HEADER, b"")
        if not verify(self._key(fields["device_id"]), mac, record.topic, record.key, record.value, record.headers):
            self.refused["invalid_signature"] += 1
        elif fields["type"] == "access_door":
            await self._obey(fields)

    async def _obey(self, command: dict[str, Any]) -> None:
        asked, device, door = command["request"], command["device_id"], command["door_id"]
        if asked is None or asked["boot"] != self.boot:
            self.refused["another boot"] += 1
            return
        name: Name = (device, asked["boot"], asked["sequence"])
        if command["command_id"] in self._commands or command["sequence"] <= self._doors.get(door, -1):
            self.refused["repeated"] += 1
            await self._tell(command, repeated=True)
            return
        self._commands.add(command["command_id"])
        self._doors[door] = command["sequence"]
        if self._pending.pop(name, 0.0) < time.monotonic():
            self.refused["not_pending"] += 1
            await self._tell(command, failed=True)
            return
        self.acted[command["command_id"]] += 1
        self.opened[name] += 1
        await self._tell(command)

    async def _tell(self, command: dict[str, Any], *, repeated: bool = False, failed: bool = False) -> None:
        fields: dict[str, Any] = {
            "site_id": command["site_id"],
            "device_id": command["device_id"],
            "boot": self.boot,
            "sequence": self.next_number(command["device_id"]),
            "occurred_at": datetime.now(UTC),
            "command_id": command["command_id"],
        }
        result = (
            CommandFailed(**fields, reason="not_pending") if failed else CommandConfirmed(**fields, repeated=repeated)
        )
        await self.send(self.signed(result))

    # -- waiting ------------------------------------------------------------------------------------------------

    async def wait_decided(self, names: Iterable[Name] | None = None, within_s: float = 150.0) -> None:
        """Wait until these requests (all that were sent) have a decision."""
        wanted = set(self.sent if names is None else names)
        deadline = time.monotonic() + within_s
        while missing := wanted - self.decided.keys():
            assert time.monotonic() < deadline, f"{len(missing)} of {len(wanted)} undecided, such as {min(missing)}"
            await asyncio.sleep(STEP_S)

    async def outcome(self, name: Name) -> tuple[str, str | None]:
        """The type and the reason of a request's one decision, when all has been heard."""
        await self.wait_decided([name])
        await self.wait_settled(0.5)
        (found,) = self.decided[name].values()
        return found["type"], found["reason"]

    async def wait_settled(self, quiet_s: float = 1.5) -> None:
        """Wait until nothing more is heard: a command may leave after its decision."""
        heard = -1
        while heard != self.heard:
            heard = self.heard
            await asyncio.sleep(quiet_s)

    def longest_silence_s(self, since_s: float, until_s: float) -> dict[int, float]:
        """The longest time without any decision of each partition between two moments."""
        found: dict[int, float] = {}
        for partition in sorted({answer.partition for answer in self.answers}):
            times = [a.at_s for a in self.answers if a.partition == partition and since_s <= a.at_s <= until_s]
            edges = [since_s, *times, until_s]
            found[partition] = max(after - before for before, after in itertools.pairwise(edges))
        return found


@asynccontextmanager
async def controllers_of(cluster: Cluster) -> AsyncIterator[Controllers]:
    """Controllers that hear everything from now on."""
    reading = AIOKafkaConsumer(**cluster.options, enable_auto_commit=False, fetch_max_wait_ms=50)
    writing = AIOKafkaProducer(**cluster.options, acks="all", linger_ms=0, max_request_size=LARGEST_REQUEST)
    async with started(reading) as consumer, started(writing) as producer:
        known = await partitions_of(consumer, ["access.decisions", "device.commands"])
        places = [place for found in known.values() for place in found]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)
        controllers = Controllers(cluster, producer, consumer)
        listening = asyncio.create_task(controllers.listen())
        try:
            yield controllers
            assert not listening.done(), listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
