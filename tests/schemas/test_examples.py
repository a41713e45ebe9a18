"""Every example that was ever committed still decodes; every message type has one."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from schemas.json_schema import path_of
from schemas.registry import carried, decode

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.rglob("*.json"))


def _names(path: Path) -> str:
    return str(path.relative_to(FOLDER))


@pytest.mark.parametrize("path", EXAMPLES, ids=_names)
def test_an_example_decodes_and_comes_back_the_same(path: Path) -> None:
    topic = path.parts[-3]
    given = json.loads(path.read_text(encoding="utf-8"))
    message = decode(topic, json.dumps(given).encode())
    assert message.type == given["type"] == path.stem
    again = decode(topic, message.to_json())
    assert again == message
    for field, value in given.items():
        if isinstance(value, str | int | bool) and not field.endswith(("_at", "_from", "_until")):
            assert json.loads(message.to_json())[field] == value


@pytest.mark.parametrize("path", EXAMPLES, ids=_names)
def test_an_example_agrees_with_the_snapshot_of_its_schema(path: Path) -> None:
    schema = json.loads(path_of(path.parts[-3], path.stem).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))


def test_every_message_type_has_an_example() -> None:
    have = {(path.parts[-3], path.stem) for path in EXAMPLES}
    assert have == set(carried())


def test_unknown_fields_are_ignored() -> None:
    path = FOLDER / "door.events" / "v1" / "door_opened.json"
    given = json.loads(path.read_text(encoding="utf-8"))
    assert decode("door.events", json.dumps(given | {"later": {"deep": [1]}}).encode()).type == "door_opened"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "tombstone"),
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"x" * 300_000, "more than"),
        (b'{"type":"no_such"}', "type"),
        (b"{}", "discriminator"),
        (b'{"type":"door_opened","site_id":"a\\u0000b"}', "site_id"),
        (b'{"type":"door_opened","site_id":"a","device_id":"d","boot":-1,"sequence":1e99}', "boot"),
    ],
)
def test_bad_bytes_are_refused_by_name(value: bytes | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode("door.events", value)


def test_a_refusal_never_repeats_a_secret() -> None:
    value = b'{"type":"access_requested","site_id":"","factors":[{"kind":"pin","pin":"' + b"471147114711" * 9 + b'"}]}'
    with pytest.raises(ValueError, match="site_id") as refused:
        decode("access.requests", value)
    assert "4711" not in str(refused.value)


def test_a_number_that_is_none_is_refused() -> None:
    given = json.loads((FOLDER / "access.requests" / "v1" / "access_requested.json").read_text(encoding="utf-8"))
    given["factors"] = [{"kind": "face", "template": [0.1, float("nan")]}]
    with pytest.raises(ValueError, match="factors"):
        decode("access.requests", json.dumps(given).encode())


def test_printing_a_message_shows_no_pin() -> None:
    given = json.loads((FOLDER / "access.requests" / "v1" / "access_requested.json").read_text(encoding="utf-8"))
    given["factors"] = [{"kind": "pin", "pin": "8302"}]
    assert "8302" not in repr(decode("access.requests", json.dumps(given).encode()))


def _at(topic: str, type_: str, field: str, text: str) -> bytes:
    given = json.loads((FOLDER / topic / "v1" / f"{type_}.json").read_text(encoding="utf-8"))
    return json.dumps(given | {field: json.loads(text)}).encode()


@pytest.mark.parametrize(
    "text",
    [
        "1772412000", "1772412000.5", '"1772412000"', '"2026-03-02"', '"2026-03-02T08:59Z"', '"2026-03-02T08:59:58"',
        '"2026-03-02T08:59:58+0800"', '"2026-03-02_08:59:58Z"', '"2026-13-02T08:59:58Z"', "null", "true", '""',
        '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"1899-12-31T23:59:59Z"', '"2200-01-01T00:00:00Z"',
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("topic", "type_"), [("access.requests", "access_requested"), ("operator.requests", "passback_forgiven")]
)
def test_what_is_no_moment_that_a_clock_shows_is_refused(topic: str, type_: str, text: str) -> None:
    with pytest.raises(ValueError, match="occurred_at"):
        decode(topic, _at(topic, type_, "occurred_at", text))


def test_a_refused_time_is_told_how_to_be_written() -> None:
    with pytest.raises(ValueError, match=r"with an offset and a year from 1900 to 2199, such as 2026-") as refused:
        decode("door.events", _at("door.events", "door_opened", "occurred_at", "1772412000"))
    assert "1772412000" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T08:59:58Z", "2026-03-02t08:59:58.120z", "2026-03-02 08:59:58+08:00", "1970-01-01T00:00:00+14:00",
        "2199-12-31T23:59:59.999999999-12:00", "1900-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_a_clock_that_was_reset_is_listened_to(text: str) -> None:
    message = decode("door.events", _at("door.events", "door_opened", "occurred_at", json.dumps(text)))
    assert message.occurred_at.isoformat()[:10] == text[:10]


def test_what_holds_for_ever_may_end_in_the_last_year() -> None:
    value = _at("reference.cardholder", "cardholder", "valid_until", '"9999-12-31T23:59:59Z"')
    assert decode("reference.cardholder", value).valid_until.year == 9999


@pytest.mark.parametrize(
    ("topic", "type_", "field", "most"),
    [
        ("reference.policy", "policy", "device_burst", 10**6),
        ("reference.policy", "policy", "device_rate_per_s", 10**6),
        ("reference.device", "device", "key_version", 10**9 - 1),
        ("reference.permission", "permission", "max_uses", 10**6),
    ],
)
def test_numbers_end_somewhere(topic: str, type_: str, field: str, most: int) -> None:
    assert getattr(decode(topic, _at(topic, type_, field, str(most))), field) == most
    for number in (most + 1, 10**400):
        with pytest.raises(ValueError, match=field):
            decode(topic, _at(topic, type_, field, str(number)))
