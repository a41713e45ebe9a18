"""Two hundred bad messages, each of them made by a rule, with what is to become of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bench.world import MASTER
from schemas.keys import ADMINISTRATION, DEVICE, OPERATOR, derive_key
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign

DEAD = "dead"
"""The fate of what can't be read: the dead-letter topic. Every other fate is the reason (or code) of a refusal."""

DEVICE_ID = "s0-c0"
SITE_ID = "s0"
POISONED = "poison"
"""A site whose policy makes every decision raise."""
JUMPY = "s0-c9"
"""A controller that has jumped far ahead with its numbers."""

Headers = list[tuple[str, bytes]]


class Bad(NamedTuple):
    """A bad message, as it is sent, and its fate. `partition_of` is the key that its partition is chosen by."""

    name: str
    topic: str
    value: bytes | None
    fate: str
    key: bytes | None = SITE_ID.encode()
    headers: Headers | None = None
    partition_of: str = SITE_ID


class Numbers:
    """The numbers of one boot of the controllers that send bad messages."""

    def __init__(self, boot: int, first: int) -> None:
        self.boot = boot
        self._last = first

    def next(self) -> int:
        """A number that was not used before."""
        self._last += 1
        return self._last


def request(numbers: Numbers, /, **changes: Any) -> dict[str, Any]:
    """A request that would be granted, with some fields changed; a field given as `...` is left out."""
    fields: dict[str, Any] = {
        "type": "access_requested",
        "site_id": SITE_ID,
        "device_id": DEVICE_ID,
        "boot": numbers.boot,
        "sequence": numbers.next(),
        "access_point_id": f"{DEVICE_ID}-d0-in",
        "occurred_at": "2026-03-02T08:59:58.120+08:00",
        "factors": [{"kind": "card", "card_number": "s0-p1-n"}],
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not ...}


def signed_by(device_id: str, topic: str, key: bytes | None, value: bytes | None, **other: Any) -> Headers:
    """The mac of a device, over whatever it is given."""
    role, version = other.get("role", DEVICE), other.get("version", 1)
    return [sign(derive_key(MASTER, role, device_id, version), version, topic, key, value)]


_WRONG_VALUES: tuple[Any, ...] = (None, ..., True, 3.5, -1, 1e300, "", "a\x00b", "x" * 5000, [], {}, [[]], {"a": 1})
_FIELDS = ("type", "site_id", "device_id", "boot", "sequence", "access_point_id", "occurred_at", "factors")
_NO_TIMES = ("1772412000", "2026-03-02T08:59:58", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
_FACTORS: tuple[Any, ...] = (
    [{}],
    [{"kind": "retina"}],
    [{"kind": "card"}],
    [{"kind": "card", "card_number": ""}],
    [{"kind": "card", "card_number": 7}],
    [{"kind": "card", "card_number": "a\x00"}],
    [{"kind": "face", "score": 1.5}],
    [{"kind": "face", "score": "high"}],
    [{"kind": "face", "template": [0.1]}],
    [{"kind": "face", "template": ["a", "b"]}],
    [{"kind": "fingerprint", "score": -0.1}],
    [{"kind": "card", "card_number": "1"}] * 9,
    "card",
    [None],
    [["card"]],
)
_TEXTS: tuple[tuple[str, bytes], ...] = (
    ("empty", b""),
    ("broken utf-8", b'{"type":"\xff\xfe"}'),
    ("latin-1", '{"type":"é"}'.encode("latin-1")),
    ("utf-16", '{"type":"access_requested"}'.encode("utf-16")),
    ("byte order mark", b"\xef\xbb\xbf{}"),
    ("no json", b"open sesame"),
    ("cut off", b'{"type":"access_requested","site_id":"s0"'),
    ("two objects", b"{}{}"),
    ("a number", b"42"),
    ("a list", b"[]"),
    ("null", b"null"),
    ("a string", b'"access_requested"'),
    ("null bytes", b"\x00" * 64),
    ("deep nesting", b"[" * 50_000 + b"]" * 50_000),
    ("deep objects", b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    ("huge number", b'{"type":"access_requested","boot":' + b"9" * 5000 + b"}"),
    ("plain pin, undecodable", b'{"type":"access_requested","factors":[{"kind":"pin","pin":"8302"}'),
)
_OTHER_TOPICS = ("access.backlog", "door.events", "device.events", "command.results", "operator.requests")


def bad_messages(numbers: Numbers, known: tuple[dict[str, Any], bytes]) -> Iterator[Bad]:
    """All of them. `known`: the fields and the value of a request that was decided."""
    yield from _unreadable(numbers)
    yield from _wrong_fields(numbers)
    yield from _from_the_wrong_sender(numbers)
    yield from _out_of_order(numbers, known)
    yield from _unknown(numbers)
    yield from _of_other_topics(numbers)
    yield from _of_operators()


def _bytes(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def _unreadable(numbers: Numbers) -> Iterator[Bad]:
    for name, value in _TEXTS:
        yield Bad(name, "access.requests", value, DEAD)
    for topic in _OTHER_TOPICS:
        for name, value in _TEXTS[:9]:
            yield Bad(f"{name} on {topic}", topic, value, DEAD)
        yield Bad(f"tombstone on {topic}", topic, None, DEAD)
    yield Bad("tombstone", "access.requests", None, DEAD)
    nan, infinity = float("nan"), float("inf")
    made = {
        "NaN": request(numbers, boot=nan),
        "infinity": request(numbers, sequence=infinity),
        "NaN in a template": request(numbers, factors=[{"kind": "face", "template": [0.1, nan]}]),
        "unknown type": request(numbers, type="door_exploded"),
        "type of another topic": request(numbers, type="heartbeat"),
        "a megabyte": request(numbers, note="x" * 1_000_000),
        "ten megabytes": request(numbers, note="x" * 10_000_000),
    }
    for name, fields in made.items():
        yield Bad(name, "access.requests", _bytes(fields), DEAD)


def _wrong_fields(numbers: Numbers) -> Iterator[Bad]:
    for field in _FIELDS:
        for wrong in (*_WRONG_VALUES, *(_NO_TIMES if field == "occurred_at" else ())):
            if (field, wrong) == ("factors", []):
                # It can be read: somebody shows nothing, which opens the way out and nothing else.
                continue
            fields = request(numbers, **{field: wrong})
            yield _by_its_device(f"{field} = {str(wrong)[:20]!r}", fields, DEAD)
    for factors in _FACTORS:
        yield _by_its_device(f"factors = {str(factors)[:40]}", request(numbers, factors=factors), DEAD)


def _by_its_device(name: str, fields: dict[str, Any], fate: str, topic: str = "access.requests", **other: Any) -> Bad:
    value = _bytes(fields)
    key = other.pop("key", SITE_ID.encode())
    device = str(fields.get("device_id", DEVICE_ID))
    return Bad(name, topic, value, fate, key, signed_by(device, topic, key, value), **other)


def _from_the_wrong_sender(numbers: Numbers) -> Iterator[Bad]:
    topic, key = "access.requests", SITE_ID.encode()
    fate = "invalid_signature"
    value = _bytes(request(numbers))
    yield Bad("no mac", topic, value, fate)
    value = _bytes(request(numbers))
    yield Bad("mac of another device", topic, value, fate, headers=signed_by("s0-c1", topic, key, value))
    value = _bytes(request(numbers))
    yield Bad("mac of an operator", topic, value, fate, headers=signed_by(DEVICE_ID, topic, key, value, role=OPERATOR))
    value = _bytes(request(numbers))
    yield Bad("mac for another topic", topic, value, fate, headers=signed_by(DEVICE_ID, "access.backlog", key, value))
    value = _bytes(request(numbers))
    yield Bad("mac of a newer key", topic, value, fate, headers=signed_by(DEVICE_ID, topic, key, value, version=2))
    value = _bytes(request(numbers))
    yield Bad("mac of other content", topic, value, fate, headers=signed_by(DEVICE_ID, topic, key, value + b" "))
    for mac in (b"", b"v1", b"v1:1:", b"v1:1:zz", b"v2:1:00", b"v1:-1:00", b"\xff\xfe", b"v1:" + b"9" * 4000 + b":00"):
        headers = [("doorstream-mac", mac)]
        yield Bad(f"mac = {mac[:12]!r}", topic, _bytes(request(numbers)), fate, headers=headers)


def _out_of_order(numbers: Numbers, known: tuple[dict[str, Any], bytes]) -> Iterator[Bad]:
    fields, value = known
    fate = "replayed_request"
    yield _by_its_device("a number again, other content", {**fields, "access_point_id": "s0-c0-d1-in"}, fate)
    yield _by_its_device("a lower boot", request(numbers, boot=numbers.boot - 1), fate)
    yield _by_its_device("boot 0", request(numbers, boot=0), fate)
    old = request(numbers, device_id=JUMPY, sequence=1, access_point_id=f"{JUMPY}-d0-in")
    yield _by_its_device("a number below the window", old, fate)
    # The very same bytes where another site's order is kept: nobody there knows that they were decided.
    key = SITE_ID.encode()
    headers = signed_by(DEVICE_ID, "access.requests", key, value)
    fate = "unknown_access_point"
    yield Bad("copied to another partition", "access.requests", value, fate, key, headers, partition_of="s1")


def _unknown(numbers: Numbers) -> Iterator[Bad]:
    fate = "unknown_access_point"
    yield _by_its_device("unknown device", request(numbers, device_id="s0-c999"), fate)
    yield _by_its_device("unknown access point", request(numbers, access_point_id="s0-c0-d99-in"), fate)
    yield _by_its_device("access point of another device", request(numbers, access_point_id="s0-c1-d0-in"), fate)
    yield _by_its_device("access point of another site", request(numbers, access_point_id="s1-c0-d0-in"), fate)
    yield _by_its_device("device of another site", request(numbers, device_id="s1-c0"), fate)
    nowhere = request(numbers, site_id="nowhere")
    yield _by_its_device("unknown site", nowhere, fate, key=b"nowhere", partition_of="nowhere")
    yield _by_its_device("no key", request(numbers), fate, key=None)
    yield _by_its_device("empty key", request(numbers), fate, key=b"")
    yield _by_its_device("key of another site", request(numbers), fate, key=b"s1", partition_of="s1")
    yield _by_its_device("key in no alphabet", request(numbers), fate, key=b"\xff\xfe")
    # Nobody can say that there is no such card where no database is: unknown means denied.
    card = [{"kind": "card", "card_number": "0000"}]
    yield _by_its_device("unknown card", request(numbers, factors=card), "authentication_unavailable")
    pin = [{"kind": "pin", "pin": "8302", "cardholder_id": "s0-p1"}]
    yield _by_its_device("no factors", request(numbers, factors=[]), "authentication_factor_timeout")
    yield _by_its_device("no method of the policy", request(numbers, factors=pin), "authentication_factor_timeout")
    poisoned = request(numbers, site_id=POISONED, device_id=f"{POISONED}-c0", access_point_id=f"{POISONED}-c0-d0-in")
    yield _by_its_device(
        "a policy beyond all bounds", poisoned, "unknown_access_point", key=b"poison", partition_of=POISONED
    )


def _of_other_topics(numbers: Numbers) -> Iterator[Bad]:
    common = {name: request(numbers)[name] for name in ("site_id", "device_id", "boot", "occurred_at")}
    opened = {"type": "door_opened", **common, "door_id": "s0-c0-d0"}
    topic = "door.events"
    yield Bad("unsigned door event", topic, _bytes({**opened, "sequence": numbers.next()}), "invalid_signature")
    other = {**opened, "sequence": numbers.next(), "door_id": "s0-c1-d0"}
    yield _by_its_device("door of another controller", other, "unknown_access_point", topic)
    nowhere = {**opened, "sequence": numbers.next(), "door_id": "s0-c0-d99"}
    yield _by_its_device("unknown door", nowhere, "unknown_access_point", topic)
    beat = {"type": "heartbeat", **common, "sequence": numbers.next()}
    yield Bad("unsigned heartbeat", "device.events", _bytes(beat), "invalid_signature")
    result = {"type": "command_confirmed", **common, "sequence": numbers.next(), "command_id": "c"}
    yield Bad("unsigned result", "command.results", _bytes(result), "invalid_signature")
    backlog = {**request(numbers, type="access_recorded"), "outcome": "granted", "mode": "snapshot"}
    yield Bad("unsigned backlog", "access.backlog", _bytes(backlog), "invalid_signature")


def _of_operators() -> Iterator[Bad]:
    def asked(name: str, fate: str, *, signer: str = "op-1", role: str = OPERATOR, end_s: float = 60.0) -> Bad:
        topic, key = "operator.requests", SITE_ID.encode()
        value = _bytes(
            {
                "type": "door_unlock_requested",
                "request_id": name,
                "site_id": SITE_ID,
                "operator_id": "op-1",
                "occurred_at": "2026-03-02T08:59:58+08:00",
                "door_id": "s0-c0-d0",
            }
        )
        end = (datetime.now(UTC) + timedelta(seconds=end_s)).isoformat().encode()
        headers = [(NOT_AFTER_HEADER, end), (NONCE_HEADER, name.encode())]
        headers.append(sign(derive_key(MASTER, role, signer), 1, topic, key, value, headers))
        return Bad(name, topic, value, fate, headers=headers)

    yield asked("operator-without-rights", "unknown_operator")
    yield asked("signed by another operator", "invalid_signature", signer="op-2")
    yield asked("signed by the administration", "invalid_signature", role=ADMINISTRATION)
    yield asked("too late", "expired", end_s=-60.0)
    yield asked("too far ahead", "expired", end_s=1e6)
