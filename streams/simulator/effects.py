"""What follows from something that happens at a controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.vocabulary import DoorMode
from streams.simulator.wire import Outgoing

Number = tuple[int, int]
"""A request of a controller: its boot and sequence."""


@dataclass(frozen=True)
class Released:
    """A lock was released: for a command (solicited or not), by the degraded mode, or by the exit button."""

    device_id: str
    door_id: str
    cause: Literal["command", "unsolicited", "degraded", "exit"]
    command_id: str | None = None
    number: Number | None = None


@dataclass(frozen=True)
class ModeSet:
    """A door has another mode, by a command."""

    device_id: str
    door_id: str
    mode: DoorMode
    mode_epoch: int
    command_id: str


@dataclass(frozen=True)
class Answered:
    """What the person at the reader learns: the door opens, it does not, or nobody answered.

    `alone`: the controller decided in its degraded mode.
    """

    device_id: str
    number: Number
    outcome: Literal["granted", "denied", "none"]
    alone: bool = False


Effect = Outgoing | Released | ModeSet | Answered
