"""The reference topics: how each is indexed, and whose records count."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

from schemas.keys import administration_key
from schemas.record import Record
from schemas.reference import BY_NAME
from schemas.signing import MAC_HEADER, NONCE_HEADER, NOT_AFTER_HEADER, verify
from streams.core.processor import ReferenceTable
from streams.core.times import to_ms

LONGEST_VALIDITY_MS = 3_600_000
"""How long after its append a reference record's signature may end: whose clock runs ahead is not believed."""


class _Indexed(msgspec.Struct):
    """The few fields that indexes are made of; the rest of the JSON is skipped unread."""

    card_number: str | None = None
    cardholder_id: str | None = None
    site_id: str | None = None
    device_id: str | None = None
    door_id: str | None = None
    zone_to: str | None = None
    parent_id: str | None = None
    zone_ids: tuple[str, ...] = ()
    door_ids: tuple[str, ...] = ()
    access_point_ids: tuple[str, ...] = ()
    interlock: dict[str, str] | None = None
    groups: tuple[str, ...] = ()
    monitoring: bool = False


_read = lru_cache(maxsize=1)(msgspec.json.Decoder(_Indexed).decode)
"""Kept for one value: a record's indexes are made one after the other."""
_Index = Callable[[bytes], Sequence[str]]


def _field(name: str) -> _Index:
    def index(data: bytes) -> Sequence[str]:
        value = getattr(_read(data), name)
        return () if value is None else (value,)

    return index


def _targets(data: bytes) -> Sequence[str]:
    fields = _read(data)
    return (
        *(f"zone/{id_}" for id_ in fields.zone_ids),
        *(f"door/{id_}" for id_ in fields.door_ids),
        *(f"access-point/{id_}" for id_ in fields.access_point_ids),
    )


def _interlock_group(data: bytes) -> Sequence[str]:
    interlock = _read(data).interlock
    return () if interlock is None else (interlock["group"],)


EVERY = "every"
"""The index, and its only value, by which all records of an entity are found."""
_INDEXES: dict[str, dict[str, _Index]] = {
    "site": {EVERY: lambda _: (EVERY,)},
    "device": {"site_id": _field("site_id")},
    "credential": {"card_number": _field("card_number"), "cardholder_id": _field("cardholder_id")},
    "permission": {"cardholder_id": _field("cardholder_id"), "target": _targets},
    "door": {"site_id": _field("site_id"), "device_id": _field("device_id"), "interlock": _interlock_group},
    "access-point": {"door_id": _field("door_id"), "zone_to": _field("zone_to")},
    "zone": {"parent_id": _field("parent_id")},
    "recipient": {
        "group": lambda data: _read(data).groups,
        "monitoring": lambda data: ("yes",) if _read(data).monitoring else (),
    },
    "subscription": {EVERY: lambda _: (EVERY,)},
}
FOR_DECISIONS = tuple(name for name in BY_NAME if name not in {"recipient", "on-call", "subscription"})
"""What the site's decisions depend on: all but who is told of alerts or sent events."""


def tables(master: bytes | None = None, entities: Collection[str] = tuple(BY_NAME)) -> tuple[ReferenceTable, ...]:
    """The reference topics that decisions read; with a master secret, only what the administration signed counts.

    Two tables of one entity are equal, so that the processors of a process can share what is loaded.
    """
    authenticate = authentication(master) if master is not None else None
    return tuple(
        ReferenceTable(name, entity.topic, entity.model.model_validate_json, _INDEXES.get(name, {}), authenticate)
        for name, entity in BY_NAME.items()
        if name in entities
    )


@lru_cache
def authentication(master: bytes) -> Callable[[Record], int | None]:
    """What tells until when (Unix, milliseconds) a reference record's signature counts; None = it does not."""
    key = administration_key(master)

    def authenticate(record: Record) -> int | None:
        headers = dict(record.headers)
        header, end = headers.get(MAC_HEADER), headers.get(NOT_AFTER_HEADER)
        if header is None or end is None or NONCE_HEADER not in headers:
            return None
        if not verify(key, header, record.topic, record.key, record.value, record.headers):
            return None
        try:
            until_ms = to_ms(datetime.fromisoformat(end.decode("ascii")))
        except (ValueError, OverflowError):
            return None
        return until_ms if until_ms <= record.timestamp_ms + LONGEST_VALIDITY_MS else None

    return authenticate
