"""One door as its controller drives it: lock, mode, position, and the last command's number."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.doors import (
    DoorClosed,
    DoorEvent,
    DoorForcedOpen,
    DoorHeldOpen,
    DoorHeldOpenCleared,
    DoorOpened,
    DoorPreAlarm,
    NoEntryAfterGranted,
)
from schemas.places import Door
from schemas.vocabulary import DoorMode

PRE_ALARM_S = 15.0
"""How long a door may stand open before the reader warns."""

HELD_OPEN_S = 20.0
"""How long a door may stand open before that is an event."""

FREE = (DoorMode.UNLOCKED, DoorMode.LOCKED_OPEN)
SHUT = (DoorMode.LOCKED_DOWN, DoorMode.BLOCKED)


class Moment(NamedTuple):
    """A controller's two clocks: a timer that only runs forward (seconds), and the time of day, which never decides."""

    timer_s: float
    clock: datetime


Now = Callable[[], Moment]
"""What tells the time."""


def present() -> Moment:
    """This moment, by the clocks of this machine."""
    return Moment(time.monotonic(), datetime.now(UTC))


@dataclass
class DoorMemory:
    """What a controller remembers of a door through a restart."""

    last_sequence: int = -1
    mode: DoorMode = DoorMode.LOCKED
    mode_epoch: int = 0


@dataclass
class Lock:
    """The lock, the door position switch and the held-open timer of one door."""

    door: Door
    memory: DoorMemory = field(default_factory=DoorMemory)
    released_until_s: float | None = None
    released_for: str | None = None
    by_command: bool = False
    open_since_s: float | None = None
    warned: bool = False
    held: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the door stands open."""
        return self.open_since_s is not None

    def set_mode(self, mode: DoorMode, mode_epoch: int) -> bool:
        """Apply a mode; it is absolute, so any higher epoch wins from any mode. Says whether it was applied."""
        if mode_epoch <= self.memory.mode_epoch:
            return False
        self.memory.mode, self.memory.mode_epoch = mode, mode_epoch
        return True

    def release(self, now: Moment, seconds: int, command_id: str | None, *, by_command: bool) -> None:
        """Let the door be opened for some seconds."""
        self.released_until_s = now.timer_s + seconds
        self.released_for, self.by_command = command_id, by_command

    def may_open(self, now: Moment) -> bool:
        """Whether the door opens without force."""
        if self.memory.mode in FREE:
            return True
        return self.released_until_s is not None and now.timer_s <= self.released_until_s

    def opened(self, now: Moment) -> tuple[type[DoorEvent], dict[str, Any]]:
        """The door swings open: the event and its own fields. The lock falls again behind it."""
        freely, command_id = self.may_open(now), self.released_for
        self.open_since_s = now.timer_s
        self.released_until_s = self.released_for = None
        if not freely:
            return DoorForcedOpen, {}
        return DoorOpened, {"command_id": command_id}

    def closed(self) -> list[type[DoorEvent]]:
        """The door falls shut."""
        events: list[type[DoorEvent]] = [DoorClosed]
        if self.held:
            events.append(DoorHeldOpenCleared)
        self.open_since_s = None
        self.warned = self.held = False
        return events

    def tick(self, now: Moment) -> list[tuple[type[DoorEvent], dict[str, Any]]]:
        """What the door's timers say: nobody went in, about to be held open, held open."""
        events: list[tuple[type[DoorEvent], dict[str, Any]]] = []
        if self.released_until_s is not None and now.timer_s > self.released_until_s:
            if self.by_command and self.door.has_dps:
                events.append((NoEntryAfterGranted, {"command_id": self.released_for}))
            self.released_until_s = self.released_for = None
        if self.open_since_s is not None and self.door.has_dps and self.memory.mode not in FREE:
            open_s = now.timer_s - self.open_since_s
            if open_s >= PRE_ALARM_S and not self.warned:
                self.warned = True
                events.append((DoorPreAlarm, {}))
            if open_s >= HELD_OPEN_S and not self.held:
                self.held = True
                events.append((DoorHeldOpen, {}))
        return events
