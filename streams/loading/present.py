"""What the reference topics hold now: the last record of every key, whose it is, and whether it is signed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from pydantic import ValidationError

from schemas.base import Message
from schemas.keys import ADMINISTRATION, derive_key
from schemas.reference import BY_NAME, ENTITIES
from schemas.signing import MAC_HEADER, verify

KEY_NAME = "reference"
"""The administration's key is derived for this id."""

_SOURCE = "/administration/"


def administration_key(master: bytes) -> bytes:
    """The key that reference records are signed with."""
    return derive_key(master, ADMINISTRATION, KEY_NAME)


def source_of(home: str) -> str:
    """`ce_source` of records that a folder published: its first site tells which folder."""
    return _SOURCE + quote(home, safe="")


class Present(NamedTuple):
    """A record that is there. `home`: the first site of the folder that it came from; None where no folder did."""

    value: bytes
    home: str | None
    signed: bool


class PresentState:
    """The last record of each key in each reference topic; feed it with records in their order."""

    def __init__(self, master: bytes, prefix: str = "") -> None:
        self._key = administration_key(master)
        self._by_topic = {prefix + entity.topic: entity.name for entity in ENTITIES}
        self._last: dict[str, dict[str, Any]] = {entity.name: {} for entity in ENTITIES}

    @property
    def topics(self) -> list[str]:
        """The topics to read."""
        return list(self._by_topic)

    def take(self, record: Any) -> None:
        """Take one record (an aiokafka `ConsumerRecord`) of one of the topics."""
        last, id_ = self._last[self._by_topic[record.topic]], (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            last.pop(id_, None)
        else:
            last[id_] = record

    def of(self, entity: str) -> dict[str, Present]:
        """What is there of an entity, by id."""
        return {id_: self._present(record) for id_, record in self._last[entity].items()}

    def _present(self, record: Any) -> Present:
        headers: Iterable[tuple[str, bytes]] = record.headers
        named = dict(headers)
        mac, source = named.get(MAC_HEADER), named.get("ce_source", b"").decode("utf-8", "replace")
        signed = mac is not None and verify(self._key, mac, record.topic, record.key, record.value, headers)
        home = unquote(source.removeprefix(_SOURCE)) if source.startswith(_SOURCE) else None
        return Present(record.value, home, signed)


def decoded(entity: str, present: Present) -> Message | None:
    """The record as a model; None where it is none."""
    try:
        return BY_NAME[entity].model.model_validate_json(present.value)
    except ValidationError:
        return None
