"""A controller's voice: messages as signed records, and whether a record is signed for this controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from schemas.access import AccessRecorded
from schemas.base import DeviceMessage
from schemas.envelope import event_headers, type_of
from schemas.registry import topic_of
from schemas.signing import MAC_HEADER, key_version_of, sign, verify
from streams.simulator.lock import DoorMemory
from streams.simulator.vault import Vault

Headers = tuple[tuple[str, bytes], ...]


class Outgoing(NamedTuple):
    """A record that a controller publishes, and the message in it."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    message: DeviceMessage


class Incoming(NamedTuple):
    """A record as a controller reads it from `device.commands`."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def device_of_part(key: str) -> str:
    """The device that the key of a snapshot's part names: those after the first have `/<part>` behind it."""
    return key.rpartition("/")[0]


class Signature:
    """Signs as one device under one version of its key, and checks what is addressed to it."""

    def __init__(self, device_id: str, secret: bytes, key_version: int) -> None:
        self._device_id = device_id
        self._secret = secret
        self._key_version = key_version

    def record(self, message: DeviceMessage) -> Outgoing:
        """The signed record of a message; its key is the site."""
        type_ = type_of(message)
        topic = topic_of(type_)
        key, value = message.site_id.encode(), message.to_json()
        event_id = f"{self._device_id}/{topic}/{message.boot}/{message.sequence}"
        headers = event_headers(event_id, f"/devices/{self._device_id}", type_, message.occurred_at.isoformat())
        mac = sign(self._secret, self._key_version, topic, key, value, headers)
        return Outgoing(topic, key, value, (*headers, mac), message)

    @property
    def secret(self) -> bytes:
        """The device's key."""
        return self._secret

    def signed(self, record: Incoming) -> bool:
        """Whether a record is for this device and carries the mac of its key."""
        header = next((content for name, content in record.headers if name == MAC_HEADER), None)
        key = (record.key or b"").decode(errors="replace")
        for_device = self._device_id in (key, device_of_part(key))
        if header is None or key_version_of(header) != self._key_version or not for_device:
            return False
        return verify(self._secret, header, record.topic, record.key, record.value, record.headers)


@dataclass
class Memory:
    """What survives a restart: the number of starts, the backlog counter, each door's memory and the snapshot."""

    boot: int
    backlog_sequence: int = 0
    doors: dict[str, DoorMemory] = field(default_factory=dict)
    vault: Vault = field(default_factory=Vault)


class Voice:
    """Numbers, signs and, while the server can't be reached, keeps what a controller has to say."""

    def __init__(self, site_id: str, device_id: str, signature: Signature, memory: Memory) -> None:
        self.online = True
        self._names = {"site_id": site_id, "device_id": device_id}
        self._signature = signature
        self._memory = memory
        self._sequence = 0
        self._unsent: list[Outgoing] = []

    def begin(self) -> None:
        """A new boot: its numbers start afresh."""
        self._sequence = 0

    def number(self) -> tuple[int, int]:
        """The next number: boot and sequence."""
        self._sequence += 1
        return self._memory.boot, self._sequence

    def say(
        self, kind: type[DeviceMessage], at: datetime, /, number: tuple[int, int] | None = None, **fields: Any
    ) -> list[Outgoing]:
        """A message: to be published now, or nothing while it has to wait."""
        boot, sequence = number or self.number()
        message = kind(**self._names, boot=boot, sequence=sequence, occurred_at=at, **fields)
        return self._out(self._signature.record(message))

    def record(self, at: datetime, **fields: Any) -> list[Outgoing]:
        """What the controller decided alone, under the backlog's own number."""
        self._memory.backlog_sequence += 1
        sequence = self._memory.backlog_sequence
        message = AccessRecorded(**self._names, boot=self._memory.boot, sequence=sequence, occurred_at=at, **fields)
        return self._out(self._signature.record(message))

    def catch_up(self) -> list[Outgoing]:
        """The server is back: everything that waited, in the order in which it happened."""
        self.online = True
        unsent, self._unsent = self._unsent, []
        return unsent

    def _out(self, outgoing: Outgoing) -> list[Outgoing]:
        if self.online:
            return [outgoing]
        self._unsent.append(outgoing)
        return []
