"""A virtual controller: what a good one does, as a state machine without I/O and without a clock of its own.

Every method takes the moment and gives effects: records to publish, locks that were released, and answers at readers.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from schemas.access import AccessRequested
from schemas.commands import AccessDoor, Command, ModeCommand, Probe, ShowDisplay, SyncPermissions
from schemas.devices import (
    Announced,
    CommandConfirmed,
    CommandDelivered,
    CommandFailed,
    ControllerOffline,
    ControllerOnline,
    DeviceFault,
    DoorState,
    Fault,
    FaultCleared,
    Heartbeat,
)
from schemas.doors import RequestToExit
from schemas.permission_snapshots import PermissionSnapshot
from schemas.places import AccessPoint, Device, Door
from schemas.registry import decode
from schemas.sealing import Sealer
from schemas.vocabulary import DoorMode
from streams.simulator.effects import Answered, Effect, ModeSet, Number, Released
from streams.simulator.factors import Shown, travelling
from streams.simulator.lock import SHUT, DoorMemory, Lock, Moment
from streams.simulator.pending import PENDING_S, FailureReason, Waiting, decide_alone, free_egress, refusal
from streams.simulator.wire import Incoming, Memory, Signature, Voice

ANSWER_WITHIN_S = 2.0
"""Without an answer for that long, the door's degraded mode decides."""

HEARTBEAT_S = 15.0
"""How often it tells its whole state, unless it is set to something else."""

COMMANDS_REMEMBERED = 512


class Controller:
    """One controller with its doors and readers."""

    def __init__(
        self,
        device: Device,
        doors: Iterable[Door],
        points: Iterable[AccessPoint],
        signature: Signature,
        sealer: Sealer,
        memory: Memory,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.device_id = device.device_id
        self.points: Mapping[str, AccessPoint] = {point.access_point_id: point for point in points}
        self._device = device
        self._doors = tuple(doors)
        self._signature = signature
        self._sealer = sealer
        self._memory = memory
        self._heartbeat_s = heartbeat_s
        self._voice = Voice(device.site_id, device.device_id, signature, memory)
        self._begin()

    def _begin(self) -> None:
        self._waiting: dict[Number, Waiting] = {}
        self._answered: OrderedDict[str, FailureReason | None] = OrderedDict()
        self._heartbeat_at_s = 0.0
        self._faults: dict[str, DeviceFault] = {}
        self._probed: tuple[datetime, float] | None = None
        self._to_take: SyncPermissions | None = None
        doors = self._memory.doors
        self.locks = {door.door_id: Lock(door, doors.setdefault(door.door_id, DoorMemory())) for door in self._doors}

    @property
    def online(self) -> bool:
        """Whether the server can be reached."""
        return self._voice.online

    def start(self, now: Moment) -> list[Effect]:
        """Say that it is there, and the state of its doors."""
        announced = self._voice.say(Announced, now.clock, model=self._device.model or "virtual", firmware="1")
        return [*announced, *self._heartbeat(now)]

    def restart(self, now: Moment) -> list[Effect]:
        """Start anew: pending requests and remembered commands are lost, the doors' last numbers are not."""
        self._memory.boot += 1
        self._voice.begin()
        self._begin()
        return self.start(now)

    def present(self, point_id: str, shown: Sequence[Shown], now: Moment) -> tuple[Number, list[Effect]]:
        """Somebody presents something at a reader: the request's number and what follows."""
        number = self._voice.number()
        point, factors = self.points[point_id], travelling(shown, self._sealer)
        waiting = Waiting(point, tuple(shown), factors, now)
        self._waiting[number] = waiting
        if not self.online:
            return number, self._degrade(number, waiting, now, for_good=True)
        effects: list[Effect] = []
        effects += self._voice.say(AccessRequested, now.clock, number, access_point_id=point_id, factors=factors)
        lock = self.locks[point.door_id]
        if lock.memory.mode in SHUT and free_egress(point, lock):
            # A locked-down door lets everybody out at once; the server's command for it then releases nothing more.
            waiting.let_out = True
            lock.release(now, lock.door.access_time_s, None, by_command=False)
            effects.append(Released(self.device_id, point.door_id, "exit", None, number))
        return number, effects

    def command(self, record: Incoming, now: Moment) -> list[Effect]:
        """A record of `device.commands` arrives."""
        if not self._signature.signed(record):
            return self._failed(_command_id(record), "invalid_signature", now)
        try:
            command = decode(record.topic, record.value)
        except ValueError as error:
            return self._failed(_command_id(record), "fault", now, str(error)[:200])
        if isinstance(command, Probe):
            if self._probed is None or command.issued_at > self._server_time(now):  # an old one, played again, is not
                self._probed = command.issued_at, now.timer_s
            return self._heartbeat(now, command.command_id)
        delivered = self._voice.say(CommandDelivered, now.clock, command_id=command.command_id)
        if command.command_id in self._answered:
            failure = self._answered[command.command_id]
            if failure is None:
                return [*delivered, *self._confirmed(command, now, repeated=True)]
            return [*delivered, *self._failed(command.command_id, failure, now)]
        if isinstance(command, SyncPermissions):
            self._to_take = command
            return [*delivered, *self._taken(now)]
        if isinstance(command, ModeCommand):
            effects = self._set_mode(command, now)
        else:
            effects = self._open(command, now) if isinstance(command, AccessDoor) else self._show(command, now)
        if len(self._answered) > COMMANDS_REMEMBERED:
            self._answered.popitem(last=False)
        return [*delivered, *effects]

    def snapshot(self, record: Incoming, now: Moment) -> list[Effect]:
        """A record of `device.snapshots` arrives; one that is not signed for this controller is none."""
        if not self._signature.signed(record):
            return []
        try:
            part = decode(record.topic, record.value)
        except ValueError:
            return []
        mine = isinstance(part, PermissionSnapshot) and part.device_id == self.device_id
        if not mine or not self._memory.vault.take(part):
            return []
        return [*self._heartbeat(now), *self._taken(now)]

    def _taken(self, now: Moment) -> list[Effect]:
        """Confirm the command to take a snapshot, as soon as that or a later one is held."""
        command = self._to_take
        if command is None or self._memory.vault.version < command.version:
            return []
        self._to_take = None
        return [*self._heartbeat(now), *self._confirmed(command, now)]

    def exit(self, door_id: str, now: Moment) -> list[Effect]:
        """The exit button: the lock is released in every mode, without asking anybody."""
        lock = self.locks[door_id]
        lock.release(now, lock.door.access_time_s, None, by_command=False)
        pressed = self._voice.say(RequestToExit, now.clock, door_id=door_id)
        return [*pressed, Released(self.device_id, door_id, "exit")]

    def opened(self, door_id: str, now: Moment) -> list[Effect]:
        """The door swings open, freely or by force."""
        lock = self.locks[door_id]
        event, fields = lock.opened(now)
        return [*self._voice.say(event, now.clock, door_id=door_id, **fields)] if lock.door.has_dps else []

    def closed(self, door_id: str, now: Moment) -> list[Effect]:
        """The door falls shut."""
        lock, effects = self.locks[door_id], list[Effect]()
        for event in lock.closed():
            if lock.door.has_dps:
                effects += self._voice.say(event, now.clock, door_id=door_id)
        return effects

    def fail(self, code: str, detail: str, now: Moment) -> list[Effect]:
        """Something in the controller breaks."""
        self._faults[code] = DeviceFault(code=code, detail=detail)
        return [*self._voice.say(Fault, now.clock, code=code, detail=detail)]

    def mend(self, code: str, now: Moment) -> list[Effect]:
        """It works again."""
        self._faults.pop(code, None)
        return [*self._voice.say(FaultCleared, now.clock, code=code)]

    def tick(self, now: Moment) -> list[Effect]:
        """What the controller's own timers say."""
        effects: list[Effect] = []
        for number, waiting in list(self._waiting.items()):
            age_s = now.timer_s - waiting.since.timer_s
            if age_s >= PENDING_S:
                effects += self._degrade(number, waiting, now, for_good=True)
            elif age_s >= ANSWER_WITHIN_S and not waiting.degraded:
                effects += self._degrade(number, waiting, now, for_good=False)
        for door_id, lock in self.locks.items():
            for event, fields in lock.tick(now):
                effects += self._voice.say(event, now.clock, door_id=door_id, **fields)
        if now.timer_s - self._heartbeat_at_s >= self._heartbeat_s and self.online:
            effects += self._heartbeat(now)
        return effects

    def disconnect(self, now: Moment) -> None:
        """The server can't be reached any more: from here on the controller decides alone."""
        if self.online:
            self._voice.online = False
            self._voice.say(ControllerOffline, now.clock)

    def reconnect(self, now: Moment) -> list[Effect]:
        """The server is back: everything that waited goes out, in the order in which it happened."""
        return [*self._voice.catch_up(), *self._voice.say(ControllerOnline, now.clock), *self._heartbeat(now)]

    def _open(self, command: AccessDoor, now: Moment) -> list[Effect]:
        lock = self.locks.get(command.door_id)
        if lock is None:
            return self._failed(command.command_id, "fault", now, f"no door {command.door_id} here")
        if command.sequence <= lock.memory.last_sequence:
            return self._confirmed(command, now, repeated=True)
        lock.memory.last_sequence = command.sequence
        number = (command.request.boot, command.request.sequence) if command.request is not None else None
        waiting = None if number is None else self._waiting.get(number)
        why = refusal(command, waiting, lock, self._server_time(now), now)
        if why is not None:
            return self._failed(command.command_id, why, now)
        lock.release(now, command.access_time_s, command.command_id, by_command=True)
        effects: list[Effect] = []
        if number is None:
            effects.append(Released(self.device_id, command.door_id, "unsolicited", command.command_id))
        else:
            if not self._waiting.pop(number).let_out:
                effects.append(Released(self.device_id, command.door_id, "command", command.command_id, number))
            effects.append(Answered(self.device_id, number, "granted"))
        return [*effects, *self._confirmed(command, now)]

    def _set_mode(self, command: ModeCommand, now: Moment) -> list[Effect]:
        """Modes are absolute: a higher epoch is applied from any mode, the same one is confirmed, a lower one void."""
        lock = self.locks.get(command.door_id)
        if lock is None:
            return self._failed(command.command_id, "fault", now, f"no door {command.door_id} here")
        memory = lock.memory
        memory.last_sequence = max(memory.last_sequence, command.sequence)
        if lock.set_mode(command.mode, command.mode_epoch):
            done = ModeSet(self.device_id, command.door_id, command.mode, command.mode_epoch, command.command_id)
            return [done, *self._confirmed(command, now)]
        if (command.mode, command.mode_epoch) == (memory.mode, memory.mode_epoch):
            return self._confirmed(command, now, repeated=True)
        return self._failed(command.command_id, "stale_epoch", now)

    def _server_time(self, now: Moment) -> datetime:
        """The server's time, by the last probe and the controller's own timer since; before one, its own clock."""
        if self._probed is None:
            return now.clock
        told, timer_s = self._probed
        return told + timedelta(seconds=now.timer_s - timer_s)

    def _show(self, command: ShowDisplay, now: Moment) -> list[Effect]:
        number = (command.request.boot, command.request.sequence)
        if self._waiting.pop(number, None) is None:
            return self._failed(command.command_id, "not_pending", now)
        return [Answered(self.device_id, number, "denied"), *self._confirmed(command, now)]

    def _confirmed(self, command: Command, now: Moment, *, repeated: bool = False) -> list[Effect]:
        self._answered[command.command_id] = None
        return [*self._voice.say(CommandConfirmed, now.clock, command_id=command.command_id, repeated=repeated)]

    def _failed(self, command_id: str | None, reason: FailureReason, now: Moment, detail: str = "") -> list[Effect]:
        if command_id is None:
            return []
        if reason != "invalid_signature":  # whoever forges a command must not make the real one look answered
            self._answered[command_id] = reason
        return [*self._voice.say(CommandFailed, now.clock, command_id=command_id, reason=reason, detail=detail)]

    def _degrade(self, number: Number, waiting: Waiting, now: Moment, *, for_good: bool) -> list[Effect]:
        """The door's degraded mode decides. A denial leaves the request pending, for an answer that comes in time."""
        lock = self.locks[waiting.point.door_id]
        secret, vault = self._signature.secret, self._memory.vault
        reason, mode = decide_alone(waiting, lock, vault, secret, self._server_time(now), now)
        waiting.degraded = True
        if reason is not None and not for_good:
            return []
        del self._waiting[number]
        version = vault.version if lock.door.degraded_mode == "snapshot" else 0
        recorded = self._voice.record(
            waiting.since.clock,
            access_point_id=waiting.point.access_point_id,
            factors=waiting.factors,
            outcome="denied" if reason is not None else "granted",
            reason=reason,
            mode=mode,
            snapshot_version=str(version) if version else None,
        )
        if reason is not None:
            return [*recorded, Answered(self.device_id, number, "none", alone=True)]
        lock.release(now, lock.door.access_time_s, None, by_command=False)
        answered = Answered(self.device_id, number, "granted", alone=True)
        if waiting.let_out:
            return [*recorded, answered]
        return [*recorded, Released(self.device_id, lock.door.door_id, "degraded", None, number), answered]

    def _heartbeat(self, now: Moment, probe_id: str | None = None) -> list[Effect]:
        """The whole state; with `probe_id` as the answer to a probe."""
        self._heartbeat_at_s = now.timer_s
        doors = tuple(
            DoorState(
                door_id=door_id,
                mode=_shown_mode(lock, now),
                mode_epoch=lock.memory.mode_epoch,
                open=lock.is_open if lock.door.has_dps else None,
            )
            for door_id, lock in self.locks.items()
        )
        state: dict[str, Any] = {
            "faults": tuple(self._faults.values()),
            "tamper": False,
            "power_failure": False,
            "battery_low": False,
            "snapshot_version": str(self._memory.vault.version or "none"),
        }
        return [*self._voice.say(Heartbeat, now.clock, doors=doors, probe_id=probe_id, **state)]


def _shown_mode(lock: Lock, now: Moment) -> DoorMode:
    if lock.memory.mode is DoorMode.LOCKED and lock.may_open(now):
        return DoorMode.ACCESSED
    return lock.memory.mode


def _command_id(record: Incoming) -> str | None:
    try:
        found = json.loads(record.value or b"").get("command_id")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) and 0 < len(found) <= 128 else None  # noqa: PLR2004 - an id's length
