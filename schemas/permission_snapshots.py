"""Permission snapshots: what a controller needs to decide alone, and no more (A5).

It says who may pass with a card alone at the doors whose degraded mode is `snapshot`. The server has worked out
everything but the time, so that no name, PIN, template or clear card number is in it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Counter, Frozen, Id, JournalPosition, Message, Timestamp
from schemas.places import TimeZone
from schemas.rules import Holiday, HolidayWindow, Window

CARDS_CONTEXT = b"doorstream-snapshot/v1"
CARD_DIGEST_HEX = 32

Index = Annotated[int, Field(ge=0)]
CardDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]

SnapshotCard = tuple[CardDigest, Id | None, Timestamp | None, Timestamp | None, tuple[Index, ...]]
"""A card: digest of its number, facility code, valid from, valid until (exclusive), and its grants' indexes."""


def cards_key(device_key: bytes) -> bytes:
    """The key that card numbers are digested with: HMAC-SHA256 of `doorstream-snapshot/v1` under the device's key."""
    return hmac.digest(device_key, CARDS_CONTEXT, sha256)


def card_digest(key: bytes, card_number: str) -> str:
    """A card number as snapshots have it: the first 16 bytes of its HMAC-SHA256 (UTF-8), in hexadecimal."""
    return hmac.digest(key, card_number.encode(), sha256).hex()[:CARD_DIGEST_HEX]


class SnapshotPoint(Frozen):
    """A reader that the controller decides for alone. `card_alone`: a card is enough there; else nobody passes."""

    access_point_id: Id
    door_id: Id
    card_alone: bool


class SnapshotSchedule(Frozen):
    """When, in the site's time; as in `reference.schedule`."""

    windows: tuple[Window, ...] = ()
    holidays: tuple[HolidayWindow, ...] = ()
    observes_holidays: bool = True


class SnapshotGrant(Frozen):
    """Who has it may pass these points: at the times of the schedule (None: always), within its validity."""

    points: tuple[Index, ...]
    schedule: Index | None = None
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None


class PermissionSnapshot(Message):
    """One part of a controller's permission snapshot; its lists are those of all parts, one after the other.

    `version` only rises; `snapshot_key` is the device id, and for the parts after the first `<device id>/<part>`. At
    `valid_until` the snapshot ends, whoever it lets in. A `day` that is listed twice in `holidays` counts as the first.
    """

    type: Literal["permission_snapshot"] = "permission_snapshot"
    snapshot_id: Id
    snapshot_key: Annotated[str, Field(min_length=1, max_length=140)]
    site_id: Id
    device_id: Id
    version: Counter
    part: Annotated[int, Field(ge=1)] = 1
    parts: Annotated[int, Field(ge=1)] = 1
    issued_at: Timestamp
    valid_until: Timestamp
    time_zone: TimeZone
    points: tuple[SnapshotPoint, ...] = ()
    schedules: tuple[SnapshotSchedule, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    grants: tuple[SnapshotGrant, ...] = ()
    cards: tuple[SnapshotCard, ...] = ()
    journal: JournalPosition
