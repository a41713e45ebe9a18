"""Two hundred bad messages, each of them made by a rule, with what is to become of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

DEAD = "dead"
REFUSED = "refused"
EITHER = "either"


class Bad(NamedTuple):
    """A bad message. `fate`: the dead-letter topic, a recorded refusal (a denial or a refusal event), or either."""

    name: str
    topic: str
    value: bytes | None
    fate: str
    signed: bool = True


def request(sequence: int, /, **changes: Any) -> dict[str, Any]:
    """A request that would be granted, with some fields changed; a field given as `...` is left out."""
    fields: dict[str, Any] = {
        "type": "access_requested",
        "site_id": "s0",
        "device_id": "s0-c0",
        "boot": 1,
        "sequence": sequence,
        "access_point_id": "s0-c0-d0-in",
        "occurred_at": "2026-03-02T08:59:58.120+08:00",
        "factors": [{"kind": "card", "card_number": "s0-p1-n"}],
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not ...}


_WRONG_VALUES: tuple[Any, ...] = (None, ..., True, 3, -1, 1e300, "", "a\x00b", "x" * 5000, [], {}, [[]], {"a": 1})
_FIELDS = ("type", "site_id", "device_id", "boot", "sequence", "access_point_id", "occurred_at", "factors")
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
    ("NaN", json.dumps(request(1, boot=float("nan"))).encode()),
    ("infinity", json.dumps(request(1, sequence=float("inf"))).encode()),
    ("NaN in a template", json.dumps(request(1, factors=[{"kind": "face", "template": [0.1, float("nan")]}])).encode()),
    ("unknown type", json.dumps(request(1, type="door_exploded")).encode()),
    ("type of another topic", json.dumps(request(1, type="heartbeat")).encode()),
    ("a megabyte", json.dumps(request(1, note="x" * 1_000_000)).encode()),
    ("ten megabytes", json.dumps(request(1, note="x" * 10_000_000)).encode()),
    ("huge number", b'{"type":"access_requested","boot":' + b"9" * 5000 + b"}"),
    ("plain pin, undecodable", b'{"type":"access_requested","factors":[{"kind":"pin","pin":"8302"}'),
)
_TOPICS = ("access.requests", "access.backlog", "door.events", "device.events", "command.results", "operator.requests")


def bad_messages(first_sequence: int) -> Iterator[Bad]:
    """All of them; numbers of requests begin at `first_sequence` and are not used twice."""
    sequence = first_sequence
    for name, value in _TEXTS:
        yield Bad(name, "access.requests", value, DEAD)
    for topic in _TOPICS:
        for name, value in _TEXTS[:9]:
            if topic != "access.requests":
                yield Bad(f"{name} on {topic}", topic, value, DEAD)
        yield Bad(f"tombstone on {topic}", topic, None, DEAD)
    for field in _FIELDS:
        for wrong in _WRONG_VALUES:
            sequence += 1
            fields = request(sequence, **{field: wrong})
            yield Bad(f"{field} = {str(wrong)[:20]!r}", "access.requests", json.dumps(fields).encode(), EITHER)
    for factors in _FACTORS:
        sequence += 1
        value = json.dumps(request(sequence, factors=factors)).encode()
        yield Bad(f"factors = {str(factors)[:40]}", "access.requests", value, EITHER)
    yield from _refused(sequence)


def _refused(sequence: int) -> Iterator[Bad]:
    def made(name: str, *, signed: bool = True, **changes: Any) -> Bad:
        nonlocal sequence
        sequence += 1
        value = json.dumps(request(sequence, **changes)).encode()
        return Bad(name, "access.requests", value, REFUSED, signed)

    yield made("no mac", signed=False)
    yield made("unknown site", site_id="nowhere")
    yield made("unknown device", device_id="s0-c999")
    yield made("unknown access point", access_point_id="s0-c0-d99-in")
    yield made("access point of another device", access_point_id="s0-c1-d0-in")
    yield made("device of another site", device_id="s1-c0")
    yield made("unknown card", factors=[{"kind": "card", "card_number": "0000"}])
    yield made(
        "sealed for nobody", factors=[{"kind": "card", "card_number": "s0-p1-n"}, {"kind": "pin", "sealed": "eA=="}]
    )
    yield made("plain pin where none may be", factors=[{"kind": "pin", "pin": "8302", "cardholder_id": "s0-p1"}])
    yield made("a lower boot", boot=0)
