"""A controller, an operator and an administration as strangers build them: from `docs/controllers.md` alone.

Nothing of doorstream is imported here, on purpose: keys by `cryptography`, macs by `hmac`, boxes by PyNaCl, records by
aiokafka. What this client can't do, no manufacturer can.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.public import PrivateKey, SealedBox

Headers = list[tuple[str, bytes]]
Json = dict[str, Any]


def _with_lengths(parts: Iterable[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def derived_key(master: bytes, role: str, id_: str, version: int = 1) -> bytes:
    """HKDF-SHA256, no salt, 32 bytes."""
    info = _with_lengths([b"doorstream/v1", role.encode(), id_.encode(), str(version).encode()])
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master)


def mac_of(key: bytes, version: int, topic: str, record_key: bytes, value: bytes, headers: Headers) -> bytes:
    """The content of `doorstream-mac`."""
    parts = [b"doorstream-mac/v1", topic.encode(), record_key, value]
    for name, content in sorted(headers):
        if name.startswith("ce_") or name in {"doorstream-not-after", "doorstream-nonce"}:
            parts += [name.encode(), content]
    return f"v1:{version}:{hmac.new(key, _with_lengths(parts), sha256).hexdigest()}".encode()


def sealed(master: bytes, content: Json) -> str:
    """A libsodium sealed box for the decide role, base64."""
    public = PrivateKey(derived_key(master, "sealing", "decide")).public_key
    return base64.b64encode(SealedBox(public).encrypt(json.dumps(content).encode())).decode()


def pin_secret(master: bytes, pin: str, duress: str | None = None) -> Json:
    """What the secret box of a PIN credential holds: argon2id hashes, peppered."""
    pepper = derived_key(master, "pepper", "pin").hex()
    hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
    hashes = [hasher.hash(f"{pepper}:{text}") if text is not None else None for text in (pin, duress)]
    return {"pin_hash": hashes[0], "duress_hash": hashes[1]}


def now() -> str:
    """RFC 3339, with an offset that is not UTC."""
    return (datetime.now(UTC) + timedelta(hours=8)).isoformat(timespec="milliseconds")[:23] + "+08:00"


def once(valid_s: float, nonce: str | None = None) -> Headers:
    """An end and a number used once."""
    end = datetime.now(UTC) + timedelta(seconds=valid_s)
    number = nonce or secrets.token_hex(16)
    return [("doorstream-not-after", end.isoformat().encode()), ("doorstream-nonce", number.encode())]


class Sent(NamedTuple):
    """A record as it was published, so that it can be sent again."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class Controller:
    """Speaks and listens as one device."""

    def __init__(self, wire: Wire, master: bytes, site: str, device: str, *, version: int = 1, boot: int = 1) -> None:
        self.wire, self.site, self.device, self.version, self.boot = wire, site, device, version, boot
        self.key = derived_key(master, "device", device, version)
        self.sequence = 0

    def message(self, type_: str, **fields: Any) -> Json:
        """A message with the next number; a field given as `...` is left out."""
        self.sequence += 1
        message = {
            "type": type_,
            "site_id": self.site,
            "device_id": self.device,
            "boot": self.boot,
            "sequence": self.sequence,
            "occurred_at": now(),
            **fields,
        }
        return {name: value for name, value in message.items() if value is not ...}

    def signed(self, topic: str, message: Json, headers: Headers | None = None, *, key: bytes | None = None) -> Sent:
        """A record under this device's key."""
        value, record_key = json.dumps(message).encode(), key or self.site.encode()
        headers = list(headers or [])
        mac = mac_of(self.key, self.version, topic, record_key, value, headers)
        return Sent(topic, record_key, value, [*headers, ("doorstream-mac", mac)])

    async def send(self, topic: str, message: Json) -> Sent:
        """Sign and publish."""
        record = self.signed(topic, message)
        await self.wire.send(record)
        return record

    async def ask(self, point: str, *factors: Json, **fields: Any) -> Json:
        """Somebody waits at the door; gives the message as sent."""
        message = self.message("access_requested", access_point_id=point, factors=list(factors), **fields)
        await self.send("access.requests", message)
        return message

    def is_signed(self, record: ConsumerRecord) -> bool:
        """Whether a command carries this device's mac."""
        headers = [(name, content) for name, content in record.headers if name != "doorstream-mac"]
        given = dict(record.headers).get("doorstream-mac", b"")
        wanted = mac_of(self.key, self.version, record.topic, record.key, record.value, headers)
        return hmac.compare_digest(given, wanted)


class Operator:
    """Asks for things under its own key."""

    def __init__(self, wire: Wire, master: bytes, site: str, operator: str) -> None:
        self.wire, self.site, self.operator = wire, site, operator
        self.key = derived_key(master, "operator", operator)

    def signed(self, type_: str, *, valid_s: float = 20, nonce: str | None = None, **fields: Any) -> Sent:
        """A request with its end and a number used once."""
        message = {
            "type": type_,
            "request_id": secrets.token_hex(8),
            "site_id": self.site,
            "operator_id": self.operator,
            "occurred_at": now(),
            "reason": "a test",
            **fields,
        }
        topic, key, value = "operator.requests", self.site.encode(), json.dumps(message).encode()
        headers = once(valid_s, nonce)
        return Sent(topic, key, value, [*headers, ("doorstream-mac", mac_of(self.key, 1, topic, key, value, headers))])


class Administration:
    """Publishes reference records under its key."""

    def __init__(self, wire: Wire, master: bytes) -> None:
        self.wire, self.key = wire, derived_key(master, "administration", "reference")

    async def put(self, entity: str, **fields: Any) -> None:
        """One record; its key is the entity's id."""
        field = "credential_id" if entity == "secret" else f"{entity.replace('-', '_')}_id"
        topic, key = f"reference.{entity}", fields[field].encode()
        value = json.dumps({"type": entity.replace("-", "_"), **fields}).encode()
        headers = once(valid_s=60)
        mac = mac_of(self.key, 1, topic, key, value, headers)
        await self.wire.send(Sent(topic, key, value, [*headers, ("doorstream-mac", mac)]))


class Wire:
    """A producer with the standard partitioner, and everything that some topics have held since it began."""

    def __init__(self, bootstrap: str, topics: Iterable[str]) -> None:
        self._bootstrap, self._topics = bootstrap, list(topics)
        self.records: list[ConsumerRecord] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
            stack.push_async_callback(self._producer.stop)
            await self._producer.start()
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap, enable_auto_commit=False, fetch_max_wait_ms=50
            )
            stack.push_async_callback(self._consumer.stop)
            await self._consumer.start()
            places = [
                TopicPartition(topic, p) for topic in self._topics for p in await self._producer.partitions_for(topic)
            ]
            self._consumer.assign(places)
            await self._consumer.seek_to_end(*places)
            for place in places:
                await self._consumer.position(place)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._open.aclose()

    async def send(self, *records: Sent) -> None:
        """Publish, in this order."""
        for record in records:
            await self._producer.send(record.topic, record.value, key=record.key, headers=record.headers)
        await self._producer.flush()

    async def place_of(self, record: Sent) -> tuple[int, int]:
        """Publish one record; gives its partition and offset."""
        written = await self._producer.send_and_wait(record.topic, record.value, key=record.key, headers=record.headers)
        return written.partition, written.offset

    async def poll(self) -> None:
        """Take what has arrived."""
        for batch in (await self._consumer.getmany(timeout_ms=50)).values():
            self.records += batch

    async def wait(self, topic: str, found: Callable[[Json], bool], within_s: float = 20.0) -> ConsumerRecord:
        """The first record of a topic whose JSON is what is sought."""
        seen, deadline = 0, time.monotonic() + within_s
        while True:
            for record in self.records[seen:]:
                if record.topic == topic and record.value is not None and found(json.loads(record.value)):
                    return record
            seen = len(self.records)
            assert time.monotonic() < deadline, f"nothing like that in {[r.value for r in self.records[-5:]]}"
            await self.poll()

    async def about(self, message: Json, within_s: float = 20.0) -> Json:
        """The decision of a request."""
        wanted = (message["device_id"], message["boot"], message["sequence"])
        record = await self.wait(
            "access.decisions",
            lambda m: (
                m["type"] in {"access_granted", "access_denied"}
                and (m["device_id"], m["boot"], m["sequence"]) == wanted
            ),
            within_s,
        )
        decision: Json = json.loads(record.value)
        return decision

    def messages(self, topic: str, **fields: Any) -> list[Json]:
        """Everything seen on a topic with these fields."""
        found = [json.loads(record.value) for record in self.records if record.topic == topic and record.value]
        return [message for message in found if all(message.get(k) == v for k, v in fields.items())]

    async def settle(self, seconds: float = 1.0) -> None:
        """Go on reading for some time, to see that nothing more comes."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await self.poll()
