"""What a site keeps of its doors' modes, and of the controllers that have not confirmed them yet."""

from __future__ import annotations

import msgspec

from schemas.door_modes import Unconfirmed
from schemas.vocabulary import DoorMode
from streams.core.modes import CALM, Causes
from streams.core.numbering import NO_MESSAGE, MessageNumber


class DoorModes(msgspec.Struct, frozen=True, gc=False, tag="modes", array_like=True):
    """The mode of a door: `mode/<door>`; there is none of a door that never had a cause.

    `previous` is the mode before this `epoch`. `confirmed_ms` 0 = the controller has not confirmed it, `confirmed_by`
    is the newest message that did. `refused`: why it counts as unconfirmed, once that was told.
    """

    site_id: str
    causes: Causes = ()
    mode: DoorMode = CALM
    epoch: int = 0
    previous: DoorMode = CALM
    since_ms: int = 0
    confirmed_ms: int = 0
    confirmed_by: MessageNumber = NO_MESSAGE
    refused: Unconfirmed | None = None
    revision: int = 0


class Awaited(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A mode that a controller has not confirmed: wanted since `since_ms`, sent `attempts` times, last at `sent_ms`.

    It is sent again at `next_ms`; 0 = as soon as anything is heard of its controller, which is silent.
    """

    door_id: str
    epoch: int
    since_ms: int
    sent_ms: int
    attempts: int
    failure: str = ""
    told: bool = False
    next_ms: int = 0


class Converging(msgspec.Struct, frozen=True, gc=False, tag="converging", array_like=True):
    """The modes that a controller has not confirmed: `converging/<device>`; there is none where all are."""

    site_id: str
    doors: tuple[Awaited, ...]


class Timetable(msgspec.Struct, frozen=True, gc=False, tag="timetable", array_like=True):
    """When it is looked next which doors of a partition stand unlocked by a schedule: `timetable`."""

    due_ms: int


TIMETABLE = "timetable"


def mode_key(door_id: str) -> str:
    """`mode/<door>`."""
    return f"mode/{door_id}"


def converging_key(device_id: str) -> str:
    """`converging/<device>`."""
    return f"converging/{device_id}"
