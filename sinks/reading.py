"""From records to messages, as every sink reads them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from schemas.base import DeviceMessage
from schemas.canonical import Reader
from schemas.faults import kind_and_place
from schemas.record import Record
from schemas.reference import ENTITIES
from schemas.registry import LARGEST_VALUE, MODELS, decode
from schemas.topics import registry

Place = tuple[str, int]

HISTORY_TOPICS = (
    "access.decisions",
    "device.commands",
    "command.results",
    "door.events",
    "device.events",
    "device.states",
    "exceptions",
    "alerts",
    "notifications",
    "deliveries",
    "lockouts",
    "threats",
    "lockouts.global",
    "door.modes",
    "incidents",
)
"""What both stores keep."""

OUR_TOPICS = ("access.decisions", "device.commands", "device.states", "alerts", "notifications")
"""What the decide role writes, in its one form; what controllers send has as many forms as there are makers."""

DURESS_TOPICS = ("duress.alerts", "duress.threats")
"""What PostgreSQL keeps besides, in tables for monitoring alone."""

REFERENCE_TOPICS = tuple(entity.topic for entity in ENTITIES if entity.name not in {"secret", "recipient"})
"""What PostgreSQL keeps besides, for lookups; secrets are stored nowhere, nor addresses, which may hold a token."""

SLICE_RECORDS = 500
"""Records that are read before the event loop gets its turn: some 5 ms."""

_IN_THE_BYTES = ("checks", "factors")
"""Most of a decision: of these, stores keep what the record says as it is."""

UNSTORABLE = "unstorable"
"""Why a record is passed over of which no row can be made, or whose row the store refuses."""

_KEPT_RECORDS = 40_000
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_MOST = 2**63 - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


class SinkUnavailable(Exception):  # noqa: N818 - a state of the server
    """The database does not answer; the batch may be written again."""


class Skipped(NamedTuple):
    """A record that a sink passed over; `reason`: `undecodable` (a dead letter elsewhere), `unstorable` and others."""

    sink: str
    record: Record
    reason: str
    error: str


class ForgedError(ValueError):
    """A message that another sent in a controller's name."""


class DefectError(ValueError):
    """A message at which our own code fails."""


def why_unread(error: ValueError) -> str:
    """The word for what `Messages.read` could give no message of."""
    if isinstance(error, DefectError):
        return UNSTORABLE
    return "unauthenticated" if isinstance(error, ForgedError) else "undecodable"


Genuine = Callable[[DeviceMessage, Record], bool]
"""Whether a message of a controller is its own."""


class Messages:
    """Reads records for `readers` sinks that are given the very same ones, so that each is decoded once.

    What one sink has read is kept for the others until they have read it, up to a limit. Where one falls far behind,
    the oldest are kept, which it comes to first; where it never comes, all are let go. `genuine` says which messages of
    controllers count; None = all.
    """

    def __init__(self, readers: int = 1, genuine: Genuine | None = None) -> None:
        self._readers = readers
        self._genuine = genuine
        self._kept: dict[int, tuple[Record, Any, int]] = {}
        self._in_vain = 0
        """Records decoded since the last one that had been kept was asked for."""

    def read(self, records: Iterable[Record]) -> Iterable[tuple[Record, Any]]:
        """Each record with its message: None for a tombstone, a `ValueError` (see `why_unread`) where there is none."""
        kept = self._kept
        for record in records:
            found = kept.pop(id(record), None)
            if found is not None and found[0] is record:
                _, message, left = found
                self._in_vain = 0
            else:
                message, left = self._message(record), self._readers
                self._in_vain += 1
            if left > 1:
                if len(kept) >= _KEPT_RECORDS and self._in_vain > _KEPT_RECORDS:
                    kept.clear()
                    self._in_vain = 0
                if len(kept) < _KEPT_RECORDS:
                    kept[id(record)] = (record, message, left - 1)
            yield record, message

    def _message(self, record: Record) -> Any:
        try:
            message = _message(record)
            if self._genuine is not None and isinstance(message, DeviceMessage) and not self._genuine(message, record):
                return ForgedError(f"not of device {message.device_id}")
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - tried again, it would fail again
            return DefectError(f"reading it: {kind_and_place(error)}")
        return message


@cache
def _reader(topic: str) -> Reader:
    return Reader({type_: MODELS[type_] for type_ in registry()[topic].messages}, _IN_THE_BYTES)


def _message(record: Record) -> Any:
    if record.value is None:
        return None
    if record.topic in OUR_TOPICS and len(record.value) <= LARGEST_VALUE:
        message = _reader(record.topic).read(record.header("ce_type"), record.value)
        if message is not None:
            return message
    try:
        return decode(record.topic, record.value)
    except (ValueError, LookupError) as error:
        return ValueError(str(error))


async def in_slices(records: Sequence[Record]) -> AsyncIterator[Sequence[Record]]:
    """The records in slices, with a turn of the event loop between them."""
    for start in range(0, len(records), SLICE_RECORDS):
        yield records[start : start + SLICE_RECORDS]
        await asyncio.sleep(0)


def next_offsets(records: Sequence[Record]) -> dict[Place, int]:
    """The offset after the last record of each topic partition."""
    ends: dict[Place, int] = {}
    for record in records:
        place = (record.topic, record.partition)
        if record.offset >= ends.get(place, 0):
            ends[place] = record.offset + 1
    return ends


def within(moment: datetime) -> datetime:
    """A device's clock may say anything; both stores hold 1970 to 2200."""
    if _EARLIEST.year < moment.year < _LATEST.year:  # all but always, and much cheaper than comparing moments
        return moment
    return max(_EARLIEST, min(moment, _LATEST))


def appended_at(record: Record) -> datetime:
    """When the broker got the record."""
    return within(datetime.fromtimestamp(record.timestamp_ms / 1000, UTC))


def whole(number: int) -> int:
    """A number that a signed column of 64 bits holds."""
    return min(max(number, -_MOST), _MOST)


def is_uuid(text: str) -> bool:
    """Whether it is a UUID. Controllers may send anything as a command's id."""
    return _UUID.match(text) is not None
