"""From causes to commands: each door's desired mode, told to everybody and sent to its controller until confirmed (E).

Every attempt is a command of its own, with a sequence of its own: a controller takes a sequence once only, and other
commands may have overtaken the first one. They are absolute, so that it doesn't matter which of them arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from schemas.base import trusted
from schemas.commands import (
    BlockDoor,
    LockDoor,
    LockDownDoor,
    LockDownReleaseDoor,
    LockOpenDoor,
    LockOpenReleaseDoor,
    ModeCommand,
    UnlockDoor,
)
from schemas.door_modes import ActiveCause, CauseKind, DoorModeDesired
from schemas.ids import derive
from schemas.places import Door
from schemas.vocabulary import DoorMode
from streams.core import reference
from streams.core.entities import DoorState, door_key
from streams.core.keeping import Draft
from streams.core.mode_state import Awaited, Converging, DoorModes, converging_key, mode_key
from streams.core.modes import ModeCause, desired, rank_of, with_cause, without
from streams.core.passage import INCARNATION_SHIFT, journal_position, next_sequence
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

LARGEST_REPORTED = 2**52
"""A controller that reports an epoch above this is broken: there would be none left above it."""

FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 30_000

COMMANDS_KEPT = 16_384
"""Ids that are kept ready: a confirmation is held against those of all doors that its controller has not confirmed."""

CAUSES_KEPT = 256
"""Causes as messages show them: a lockdown is the same one at thousands of doors."""

_replace = msgspec.structs.replace
_Make = Callable[[Mapping[str, Any]], ModeCommand]
_COMMANDS: dict[DoorMode, _Make] = {
    DoorMode.LOCKED: trusted(LockDoor),
    DoorMode.UNLOCKED: trusted(UnlockDoor),
    DoorMode.BLOCKED: trusted(BlockDoor),
    DoorMode.LOCKED_DOWN: trusted(LockDownDoor),
    DoorMode.LOCKED_OPEN: trusted(LockOpenDoor),
}
_RELEASES: dict[DoorMode, _Make] = {
    DoorMode.LOCKED_DOWN: trusted(LockDownReleaseDoor),
    DoorMode.LOCKED_OPEN: trusted(LockOpenReleaseDoor),
}
_desired = trusted(DoorModeDesired)


class ModeSet(msgspec.Struct, frozen=True, gc=False, tag="mode_set"):
    """Decisions and commands about a door know its mode from now on."""

    door_id: str
    mode: DoorMode
    mode_epoch: int


class Doors:
    """The modes of doors while one cause is decided. `finish` gives all that comes of it."""

    def __init__(self, state: State, context: Context, draft: Draft | None = None) -> None:
        self.draft = draft or Draft(state)
        self.state = state
        self.context = context
        self.outcomes: list[Outcome] = []
        self._changed: dict[str, DoorModes] = {}
        self._sequences: dict[str, int] = {}

    # -- causes ---------------------------------------------------------------------------------------------------

    def add(self, door: Door, cause: ModeCause) -> bool:
        """A cause asks for a mode of a door. Says whether it is a new one there."""
        before = self._begin(door)
        if any(one.kind == cause.kind and one.cause_id == cause.cause_id and one.mode is cause.mode
               and one.rank == cause.rank for one in before.causes):  # fmt: skip
            return False
        self._put(door.door_id, _replace(before, causes=with_cause(before.causes, cause)))
        return True

    def remove(self, door: Door, kind: CauseKind, cause_id: str) -> bool:
        """A cause asks for nothing any more. Says whether it was there."""
        before: DoorModes | None = self.draft.get(mode_key(door.door_id))
        if before is None or (left := without(before.causes, kind, cause_id)) == before.causes:
            return False
        self._put(door.door_id, _replace(self._begin(door), causes=left))
        return True

    def modes(self, door_id: str) -> DoorModes | None:
        """What is kept of a door, as this cause has left it so far."""
        found: DoorModes | None = self.draft.get(mode_key(door_id))
        return found

    def _begin(self, door: Door) -> DoorModes:
        key = mode_key(door.door_id)
        before: DoorModes = self.draft.get(key) or DoorModes(door.site_id, since_ms=self.context.now_ms)
        self._changed.setdefault(door.door_id, before)
        return before

    def _put(self, door_id: str, modes: DoorModes) -> None:
        self.draft.put(mode_key(door_id), modes)

    # -- what comes of it -----------------------------------------------------------------------------------------

    def finish(self) -> list[Outcome]:
        """The outcomes: what is desired now, the commands, and what is kept."""
        self.settle()
        found = [*self.outcomes, *self.draft.changes()]
        self.outcomes = []
        return found

    def settle(self) -> None:
        """Work out the modes of the doors whose causes have changed so far."""
        changed, self._changed = self._changed, {}
        for door_id, before in changed.items():
            door = reference.door(self.context.references, door_id)
            if door is not None:
                self._settle(door, before)

    def _settle(self, door: Door, before: DoorModes) -> None:
        modes: DoorModes = self.draft.get(mode_key(door.door_id)) or before
        mode = desired(modes.causes)
        if mode is before.mode:
            self.tell(door, modes)
        else:
            self.assert_mode(door, _replace(modes, mode=mode, previous=before.mode), above=modes.epoch)

    def assert_mode(self, door: Door, modes: DoorModes, *, above: int, reported: DoorMode | None = None) -> None:
        """A new epoch for a door: told, and sent until it is confirmed."""
        now_ms = self.context.now_ms
        epoch = max(above, self._door(door.door_id).mode_epoch, self.context.incarnation << INCARNATION_SHIFT) + 1
        modes = _replace(modes, epoch=epoch, since_ms=now_ms, confirmed_ms=0, refused=None)
        self.outcomes.append(ModeSet(door.door_id, modes.mode, epoch))
        self.tell(door, modes, reported=reported)
        self.send(door, Awaited(door.door_id, epoch, now_ms, 0, 0))

    def tell(
        self,
        door: Door,
        modes: DoorModes,
        *,
        reported: DoorMode | None = None,
        awaited: Awaited | None = None,
    ) -> None:
        """Publish what is desired of a door, and keep it."""
        modes = _replace(modes, revision=modes.revision + 1)
        self._put(door.door_id, modes)
        self.outcomes.append(
            _desired(
                {
                    "site_id": door.site_id,
                    "device_id": door.device_id,
                    "door_id": door.door_id,
                    "mode": modes.mode,
                    "mode_epoch": modes.epoch,
                    "rank": rank_of(modes.causes)[0],
                    "causes": tuple(map(_shown, modes.causes)),
                    "since": from_ms(modes.since_ms),
                    "revision": modes.revision,
                    "confirmed_at": from_ms(modes.confirmed_ms) if modes.confirmed_ms else None,
                    "unconfirmed": modes.refused,
                    "detail": awaited.failure if awaited is not None else "",
                    "reported": reported,
                    "attempts": awaited.attempts if awaited is not None else 0,
                    "open": self._door(door.door_id).open,
                    "decided_at": from_ms(self.context.now_ms),
                    "journal": journal_position(self.context),
                }
            )
        )

    def send(self, door: Door, awaited: Awaited) -> None:
        """Send a door's mode to its controller once more, and await its confirmation."""
        modes = self.draft.get(mode_key(door.door_id)) or DoorModes(door.site_id)
        now_ms, attempts = self.context.now_ms, awaited.attempts + 1
        released = modes.mode not in _RELEASES and modes.previous in _RELEASES
        make = _RELEASES[modes.previous] if released else _COMMANDS[modes.mode]
        self.outcomes.append(
            make(
                {
                    "command_id": command_id(door.door_id, modes.epoch, attempts),
                    "site_id": door.site_id,
                    "device_id": door.device_id,
                    "issued_at": from_ms(now_ms),
                    "door_id": door.door_id,
                    "sequence": self._sequence(door.door_id),
                    "mode_epoch": modes.epoch,
                    "mode": modes.mode,
                }
            )
        )
        next_ms = now_ms + retry_ms(attempts)
        self.await_door(door, _replace(awaited, epoch=modes.epoch, sent_ms=now_ms, attempts=attempts, next_ms=next_ms))

    def await_door(self, door: Door, awaited: Awaited) -> None:
        """Keep what is awaited of a door with its controller."""
        key = converging_key(door.device_id)
        found: Converging = self.draft.get(key) or Converging(door.site_id, ())
        others = tuple(one for one in found.doors if one.door_id != door.door_id)
        self.draft.put(key, _replace(found, doors=(*others, awaited)))

    def _door(self, door_id: str) -> DoorState:
        found: DoorState = self.state.get(door_key(door_id)) or DoorState()
        return found

    def _sequence(self, door_id: str) -> int:
        before = self._sequences.get(door_id)
        found = next_sequence(self._door(door_id), self.context) if before is None else before + 1
        self._sequences[door_id] = found
        return found


def retry_ms(attempts: int) -> int:
    """How long after an attempt the next one follows."""
    return min(FIRST_RETRY_MS << min(attempts - 1, 10), LONGEST_RETRY_MS)


@lru_cache(COMMANDS_KEPT)
def command_id(door_id: str, epoch: int, attempt: int) -> str:
    """The id of an attempt to set a door's mode."""
    return derive("mode", door_id, epoch, attempt)


@lru_cache(CAUSES_KEPT)
def _shown(cause: ModeCause) -> ActiveCause:
    return ActiveCause(
        kind=cause.kind,
        cause_id=cause.cause_id,
        mode=cause.mode,
        rank=cause.rank,
        since=from_ms(cause.since_ms),
        drill=cause.drill,
    )
