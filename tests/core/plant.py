"""A site's controllers in memory and the devices processor that watches them, engine and all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from schemas.base import Message
from schemas.keys import DEVICE, derive_key
from schemas.places import Device, Site
from schemas.record import Record
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode
from schemas.rules import Policy, SingleMethod
from schemas.signing import sign, verify
from schemas.vocabulary import FactorKind
from streams.core.devices import DevicesProcessor
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions
from tests.core.world import MASTER
from tests.engine.watching import Watching

EVENTS = "device.events"
STATES = "device.states"
COMMANDS = "device.commands"
_TOPICS = {entity.model: entity for entity in ENTITIES}
_QUIET = {"probe_every_s": 0}


class Plant:
    """Site `hq` with the controllers `c1`, `c2`, ...; nothing is probed unless `monitoring` says so."""

    def __init__(self, *, devices: int = 1, monitoring: Mapping[str, Any] | None = None, **harness: Any) -> None:
        self.processor = DevicesProcessor(MASTER)
        self.watching = Watching()
        options = MachineOptions(session_timeout_s=1e9)
        self.harness = Harness(
            self.processor, **{"options": options, "observer": self.watching, **harness}, start=False
        )
        self.sequence: dict[str, int] = {}
        self.boots: dict[str, int] = {}
        self.put(Site(site_id="hq", name="HQ", time_zone="Europe/Berlin", policy_id="usual"))
        self.monitor(**(_QUIET if monitoring is None else monitoring))
        for number in range(1, devices + 1):
            self.put(Device(device_id=f"c{number}", site_id="hq"))
        self.harness.start()
        self.harness.run_until_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()

    # -- given ----------------------------------------------------------------------------------------------------

    def put(self, record: Message) -> None:
        """Publish a reference record."""
        entity = _TOPICS[type(record)]
        self.harness.publish(entity.topic, id_of(entity, record), record.to_json())

    def remove(self, record: Message) -> None:
        """Publish a tombstone."""
        entity = _TOPICS[type(record)]
        self.harness.publish(entity.topic, id_of(entity, record), None)

    def monitor(self, **monitoring: Any) -> None:
        """The policy's `monitoring`."""
        methods = [SingleMethod(factor=FactorKind.CARD)]
        self.put(Policy.model_validate({"policy_id": "usual", "methods": methods, "monitoring": monitoring}))

    # -- when -----------------------------------------------------------------------------------------------------

    def make(self, type_: str, device: str, *, off_s: float = 0, **fields: Any) -> bytes:
        """A controller's next message, its clock `off_s` ahead."""
        number = self.sequence[device] = self.sequence.get(device, 0) + 1
        at = datetime.fromtimestamp(self.harness.clock.now_ms() / 1000 + off_s, UTC)
        given = {"site_id": "hq", "device_id": device, "boot": self.boots.get(device, 1), "sequence": number}
        return msgspec.json.encode({"type": type_, "occurred_at": at.isoformat(), **given, **fields})

    def say(self, type_: str = "heartbeat", device: str = "c1", *, off_s: float = 0, **fields: Any) -> Record:
        """The same, signed and published; decided by the next step of time."""
        return self.send(self.make(type_, device, off_s=off_s, **fields), None, device)

    def send(self, value: bytes, key: bytes | None = None, device: str = "c1") -> Record:
        """Bytes under the device's key, or another."""
        version = self.key_version(device)
        secret = derive_key(MASTER, DEVICE, device, version) if key is None else key
        return self.harness.publish(EVENTS, "hq", value, (sign(secret, version, EVENTS, b"hq", value, ()),))

    def key_version(self, device: str) -> int:
        """Which key a controller has."""
        found = [one for one in self.harness.broker.records("reference.device") if one.key == device.encode()]
        return int(json.loads(found[-1].value or b"{}").get("key_version", 1)) if found else 1

    def tell(self, type_: str = "heartbeat", device: str = "c1", **fields: Any) -> list[str]:
        """The same, decided at once; what was told because of it."""
        before = len(self.states())
        self.say(type_, device, **fields)
        self.harness.run_until_idle()
        return [state["event"] for state in self.states()[before:]]

    def beat(self, seconds: float, *devices: str, every_s: float = 15, **fields: Any) -> None:
        """Let time pass while controllers (`c1` unless told) send heartbeats."""
        for _ in range(round(seconds / every_s)):
            for device in devices or ("c1",):
                self.say("heartbeat", device, **fields)
            self.wait(every_s)

    def wait(self, seconds: float) -> None:
        """Let time pass in silence."""
        self.harness.run_until_idle()
        self.harness.advance(seconds)

    # -- then -----------------------------------------------------------------------------------------------------

    def states(self, device: str | None = None) -> list[dict[str, Any]]:
        """Every state that was told, as a reader with marks has it; each is one that the schema knows."""
        found = []
        for record in self.harness.outputs(STATES):
            decode(STATES, record.value)
            fields = json.loads(record.value or b"null")
            assert (record.key or b"").decode() == fields["device_id"]
            if device is None or fields["device_id"] == device:
                found.append(fields)
        return found

    def events(self, device: str | None = None) -> list[str]:
        """What was told."""
        return [state["event"] for state in self.states(device)]

    def state(self, device: str = "c1") -> dict[str, Any]:
        """The last state of a device."""
        return self.states(device)[-1]

    def kept(self, device: str = "c1") -> Any:
        """What the processor keeps of a device."""
        (partition,) = (slot.partition for slot in self.harness.worker.machine._slots.values())
        assert partition is not None
        return partition.store.get(f"device/{device}")

    def probes(self, device: str | None = None) -> list[dict[str, Any]]:
        """The probes that were sent, each with the mac under the device's key."""
        found = []
        for record in self.harness.outputs(COMMANDS):
            fields = json.loads(record.value or b"null")
            key = derive_key(MASTER, DEVICE, fields["device_id"], self.key_version(fields["device_id"]))
            mac = record.header("doorstream-mac")
            assert mac is not None
            assert verify(key, mac, COMMANDS, record.key, record.value, record.headers)
            if device is None or fields["device_id"] == device:
                found.append(fields)
        return found
