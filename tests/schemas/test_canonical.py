"""What is read the short way is what the model reads; and whatever has another form is left to the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, StringConstraints, field_validator

from schemas.base import Counter, Id, Message, Text, Timestamp
from schemas.canonical import Canonical, Reader, mirror, model_of
from schemas.registry import MODELS, decode, topic_of
from schemas.topics import registry

EXAMPLES = Path(__file__).parents[1] / "examples"
TOPICS = ("access.decisions", "device.commands", "alerts")
OURS = [
    pytest.param(path.stem, path.read_bytes(), id=path.stem)
    for topic in TOPICS
    for path in sorted((EXAMPLES / topic).glob("v*/*.json"))
]


class Note(Message):
    """A message with one field of each kind."""

    id: Id
    text: Text = ""
    count: Counter = 0
    share: float = 0.0
    at: Timestamp | None = None
    type: str = "note"


read_note = Reader({"note": Note}).read


def note(**fields: Any) -> bytes:
    """A note as we write it."""
    return Note.model_validate({"id": "n"} | fields).to_json()


def test_every_type_of_our_topics_can_be_read_the_short_way() -> None:
    types = {type_ for topic in TOPICS for type_ in registry()[topic].messages}
    assert {str(one.values[0]) for one in OURS} == types
    for type_ in types:
        mirror(MODELS[type_])


def test_a_list_that_is_let_go_is_checked_all_the_same() -> None:
    value = decode("access.decisions", (EXAMPLES / "access.decisions/v1/access_granted.json").read_bytes()).to_json()
    models = {"access_granted": MODELS["access_granted"]}
    whole, head = (Reader(models, unkept).read(b"access_granted", value) for unkept in ((), ("checks", "factors")))
    assert len(whole.checks) > 1
    assert (head.checks, head.factors) == ((), ())
    assert head == msgspec.structs.replace(whole, checks=(), factors=())
    assert Reader(models, ["checks"]).read(b"access_granted", value.replace(b'"passed"', b'"perhaps"', 1)) is None


def test_a_model_without_a_mirror_reads_its_messages_itself() -> None:
    value = _Limited.model_validate({"id": "abc"}).to_json()
    assert Reader({"limited": _Limited}).read(b"limited", value) is None


@pytest.mark.parametrize(("type_", "value"), OURS)
def test_a_message_as_we_write_it_is_read_as_its_model_reads_it(type_: str, value: bytes) -> None:
    message: Message = decode(topic_of(type_), value)
    found = Reader({type_: MODELS[type_]}).read(type_.encode(), message.to_json())
    assert isinstance(found, Canonical)
    assert model_of(type(found)) is type(message)
    assert found.to_json() == message.to_json()
    for name, field in message:
        if not isinstance(field, BaseModel | tuple):
            assert getattr(found, name) == field, name
            assert type(getattr(found, name)) is type(field), name


@pytest.mark.parametrize(
    "value",
    [
        note() + b" ",
        note().replace(b'"id":"n"', b'"id": "n"'),
        note().replace(b'"count":0', b'"count":0.0'),
        note().replace(b'"count":0', b'"count":false'),
        note().replace(b'"count":0', b'"count":-1'),
        note().replace(b'"share":0.0', b'"share":0'),
        note().replace(b'"id":"n"', b'"id":""'),
        note().replace(b'"id":"n"', b'"id":"m","id":"n"'),
        note().replace(b'"id":"n"', b'"id":"n","pin":"1234"'),
        note().replace(b'"id":"n"', b'"id":"n\\n"'),
        note().replace(b'"id":"n"', b'"id":"\\u006e"'),
        note().replace(b'"id":"n"', b'"id":"\x7f"'),
        note().replace(b'"id":"n"', b'"id":"\xff"'),
        note().replace(b'"count":0,', b""),
        note(at="2026-03-02T10:00:00.123456Z").replace(b"123456Z", b"1234567Z"),
        note(at="2026-03-02T10:00:00.100000Z").replace(b"100000Z", b"1Z"),
        note(at="2026-03-02T10:00:00Z").replace(b"00Z", b"00"),
        note(at="2026-03-02T10:00:00Z").replace(b"T", b" "),
        note(at="2026-03-02T10:00:00Z").replace(b'"2026-03-02T10:00:00Z"', b"1772445600"),
        json.dumps(dict(reversed(json.loads(note()).items())), separators=(",", ":")).encode(),
        b"not json",
        b"null",
        b"",
    ],
)
def test_any_other_form_is_left_to_the_model(value: bytes) -> None:
    assert read_note(b"note", note()) is not None
    assert read_note(b"note", value) is None


def test_a_type_that_is_not_told_or_not_known_is_left_to_the_model() -> None:
    assert read_note(None, note()) is None
    assert read_note(b"letter", note()) is None


PIECES = [
    b"0",
    b"1",
    b"1.0",
    b"1e3",
    b"-1",
    b"9007199254740992",
    b'"1"',
    b"true",
    b"null",
    b'""',
    b'"n"',
    b'"a b"',
    b"[]",
    b'"\xc3\xa9"',
    b'"\x7f"',
    b'"\\u0000"',
    b"NaN",
    b"1e400",
    b'"2026-03-02T10:00:00Z"',
    b'"2026-03-02 10:00:00Z"',
    b'"2026-03-02T10:00:00.123456+01:30"',
    b'"2026-03-02T10:00:00.999999999Z"',
    b'"2026-03-02T24:00:00Z"',
    b'"9999-12-31T23:59:59.999999-01:00"',
    b'"2026-03-02T10:00:00"',
    b"1772445600",
    b'"note"',
]
FIELDS = {
    b"id": [b'"n"', b'"a b"', b'"\xc3\xa9"', b'"\x7f"', b'""'],
    b"text": [b'""', b'"\t"', b'"n"'],
    b"count": [b"0", b"1", b"1.0", b"9007199254740991", b"9007199254740992"],
    b"share": [b"0.0", b"1.0", b"1", b"1e-7", b"1e400"],
    b"at": [one for one in PIECES if b"T" in one or b"null" in one],
    b"type": [b'"note"'],
}
names = st.sampled_from([*FIELDS, b"more"])
all_fields = st.fixed_dictionaries({name: st.sampled_from(found) for name, found in FIELDS.items()}).map(
    lambda fields: list(fields.items())
)
any_fields = st.lists(st.tuples(names, st.sampled_from(PIECES)), max_size=8)


@given(st.one_of(all_fields, all_fields, any_fields))
def test_nothing_is_read_the_short_way_that_the_model_reads_otherwise(fields: Any) -> None:
    value = b"{" + b",".join(b'"%b":%b' % field for field in fields) + b"}"
    found = read_note(b"note", value)
    if found is not None:
        message = Note.model_validate_json(value)
        assert {name: getattr(found, name) for name in Note.model_fields} == dict(message)
        assert message.to_json() == value


class _Checked(Message):
    id: Id

    @field_validator("id")
    @classmethod
    def _checked(cls, value: str) -> str:
        return value


class _Renamed(Message):
    id: Id = Field(alias="name")


class _Patterned(Message):
    id: Annotated[str, StringConstraints(pattern="^a+$")]


class _Limited(Message):
    id: str = Field(max_length=3)


class _Trimmed(Message):
    id: Annotated[str, StringConstraints(strip_whitespace=True)]


@pytest.mark.parametrize("model", [_Checked, _Renamed, _Patterned, _Limited, _Trimmed])
def test_a_model_that_checks_more_than_a_mirror_can_has_none(model: type[Message]) -> None:
    with pytest.raises(TypeError, match=r"no mirror|another name|the screen"):
        mirror(model)
