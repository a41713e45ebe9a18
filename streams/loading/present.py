"""What the reference topics hold now: the last record of every key, whose it is, and whether it counts."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from pydantic import ValidationError

from schemas.base import Message
from schemas.record import Record
from schemas.reference import BY_NAME, ENTITIES
from streams.core.reference_tables import tables
from streams.engine.kafka_reading import LOG_APPEND_TIME, now_ms, to_records

_SOURCE = "/administration/"


def source_of(home: str) -> str:
    """`ce_source` of records that a folder published: its first site tells which folder."""
    return _SOURCE + quote(home, safe="")


class Present(NamedTuple):
    """A record that is there. `home`: the first site of the folder that it came from; None where no folder did.

    `signed`: the decide role counts it; else it holds to an older one, or to none.
    """

    value: bytes
    home: str | None
    signed: bool


class PresentState:
    """The last record of each key in each reference topic; feed it with records in their order."""

    def __init__(self, master: bytes, prefix: str = "") -> None:
        self._by_topic = {prefix + entity.topic: entity.name for entity in ENTITIES}
        self._authenticate = {table.entity: table.authenticate for table in tables(master)}
        self._last: dict[str, dict[str, Present]] = {entity.name: {} for entity in ENTITIES}
        self._until: dict[str, dict[str, int]] = {entity.name: {} for entity in ENTITIES}
        self.latest_end_ms = 0
        """The latest end of a signature (Unix, milliseconds): what is published must not end before it."""

    @property
    def topics(self) -> list[str]:
        """The topics to read."""
        return list(self._by_topic)

    def of(self, entity: str) -> dict[str, Present]:
        """What is there of an entity, by id."""
        return self._last[entity]

    def take(self, fetched: Any) -> None:
        """Take one record (an aiokafka `ConsumerRecord`) of one of the topics."""
        (record,) = to_records([fetched], now_ms())
        name, id_ = self._by_topic[record.topic], (record.key or b"").decode("utf-8", "replace")
        signed = self._counts(name, id_, record, stamped=fetched.timestamp_type == LOG_APPEND_TIME)
        if record.value is None:
            self._last[name].pop(id_, None)
            return
        source = (record.header("ce_source") or b"").decode("utf-8", "replace")
        home = unquote(source.removeprefix(_SOURCE)) if source.startswith(_SOURCE) else None
        self._last[name][id_] = Present(record.value, home, signed)

    def _counts(self, name: str, id_: str, record: Record, *, stamped: bool) -> bool:
        """Whether the decide role counts a record: signed, in time, and no old version published again."""
        authenticate, until = self._authenticate[name], self._until[name]
        until_ms = authenticate(record) if authenticate is not None else None
        if until_ms is None or (stamped and record.timestamp_ms > until_ms) or until_ms < until.get(id_, 0):
            return False
        until[id_] = until_ms
        self.latest_end_ms = max(self.latest_end_ms, until_ms)
        return True


def decoded(entity: str, present: Present) -> Message | None:
    """The record as a model; None where it is none."""
    try:
        return BY_NAME[entity].model.model_validate_json(present.value)
    except ValidationError:
        return None
