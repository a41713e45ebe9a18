"""Watches the modes of doors: each command that sets one, and each that a controller then says it has set."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.commands import AccessDoor, ModeCommand
from schemas.envelope import type_of
from schemas.vocabulary import DoorMode
from streams.simulator.effects import ModeSet
from streams.simulator.lock import SHUT


@dataclass
class _Known:
    """A door: the highest sequence and the last epoch that were published, and what its controller has set."""

    sequence: int = -1
    published: tuple[int, DoorMode] = (0, DoorMode.LOCKED)
    mode: DoorMode = DoorMode.LOCKED
    mode_epoch: int = 0


@dataclass
class ModeAudit:
    """Keeps the book of all doors. `violations` has a sentence for each rule that was broken."""

    violations: list[str] = field(default_factory=list)
    set: int = 0
    _doors: dict[str, _Known] = field(default_factory=dict)
    _commands: dict[str, ModeCommand] = field(default_factory=dict)

    def commanded(self, command: AccessDoor | ModeCommand, *, signed: bool) -> None:
        """A command lay in the topic, after those of before and for the first time."""
        door, what = self._door(command.door_id), f"{type_of(command)} {command.command_id} of {command.door_id}"
        if not signed:
            self._complain(f"{what} is not signed for its controller")
            return
        if command.sequence <= door.sequence:
            self._complain(f"{what}: its sequence {command.sequence} is not above {door.sequence}")
        door.sequence = max(door.sequence, command.sequence)
        if isinstance(command, AccessDoor):
            return
        self._commands[command.command_id] = command
        epoch, mode = door.published
        if command.mode_epoch < epoch:
            self._complain(f"{what}: its epoch {command.mode_epoch} is below {epoch}")
        elif command.mode_epoch == epoch and command.mode is not mode:
            self._complain(f"{what}: its epoch {epoch} was that of {mode} before")
        else:
            door.published = command.mode_epoch, command.mode

    def applied(self, change: ModeSet) -> None:
        """A controller has given a door another mode."""
        self.set += 1
        door, command = self._door(change.door_id), self._commands.get(change.command_id)
        what = f"{change.door_id} set to {change.mode} {change.mode_epoch}"
        if command is None:
            self._complain(f"{what}: no such command was ever published")
        elif (command.device_id, command.door_id) != (change.device_id, change.door_id):
            self._complain(f"{what}: the command is for another door")
        elif (command.mode, command.mode_epoch) != (change.mode, change.mode_epoch):
            self._complain(f"{what}: the command said {command.mode} {command.mode_epoch}")
        if change.mode_epoch <= door.mode_epoch:
            self._complain(f"{what}: it had {door.mode} {door.mode_epoch}")
        door.mode, door.mode_epoch = change.mode, change.mode_epoch

    def shut(self, door_id: str) -> bool:
        """Whether a door's controller lets nobody in without an override."""
        return self._door(door_id).mode in SHUT

    def problem(self, command: AccessDoor, *, leaves: bool) -> str | None:
        """Why a command that opened a door should not have, as far as the door's mode tells."""
        door = self._door(command.door_id)
        if command.mode_epoch < door.mode_epoch:
            return f"it knew the mode of epoch {command.mode_epoch}, and the door had {door.mode} {door.mode_epoch}"
        if door.mode in SHUT and not leaves and not (command.override and command.mode_epoch == door.mode_epoch):
            return f"the door was {door.mode}, and the command no override of that"
        return None

    def _door(self, door_id: str) -> _Known:
        return self._doors.setdefault(door_id, _Known())

    def _complain(self, sentence: str) -> None:
        self.violations.append(sentence)
