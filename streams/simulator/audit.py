"""Watches every lock that was released, and asks for what: the number of stale actuations is measured, not assumed.

The auditor trusts no controller. It has its own book of what people presented and pressed, its own copy of each command
as it lay in the topic, and its own clock; a release that these do not account for is stale. Whoever wants to leave
where nobody may be kept in must be let out, in whatever mode the door is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.commands import AccessDoor, ModeCommand
from streams.simulator.effects import Number, Released
from streams.simulator.lock import Moment
from streams.simulator.mode_audit import ModeAudit

PENDING_S = 10.0
"""How long a request may be acted on (contract: the controller's own timer)."""

ALONE_AFTER_S = 2.0
"""How long a controller waits for an answer before it decides alone."""

LET_OUT_WITHIN_S = ALONE_AFTER_S + 1.0
"""How long who wants to leave may have to wait where nobody is asked."""

BUTTON_S = 1.0

Presented = tuple[str, Number]
"""Which request: the controller and its number."""


@dataclass
class _Request:
    door_id: str
    at_s: float
    online: bool
    leaves: bool
    free: bool


@dataclass
class Auditor:
    """Keeps the books of one run. `stale` has a sentence for each release that nothing accounts for.

    `modes` has those of the doors; `ways_out` counts who wanted to leave where nobody is asked.
    """

    stale: list[str] = field(default_factory=list)
    releases: int = 0
    ways_out: int = 0
    modes: ModeAudit = field(default_factory=ModeAudit)
    _requests: dict[Presented, _Request] = field(default_factory=dict)
    _used: set[Presented] = field(default_factory=set)
    _buttons: dict[str, float] = field(default_factory=dict)
    _commands: dict[str, AccessDoor] = field(default_factory=dict)
    _obeyed: set[str] = field(default_factory=set)
    _last: dict[str, int] = field(default_factory=dict)
    _granted: set[Presented] = field(default_factory=set)
    _by_command: set[Presented] = field(default_factory=set)

    def presented(
        self,
        device_id: str,
        number: Number,
        door_id: str,
        now: Moment,
        *,
        online: bool,
        leaves: bool = False,
        free: bool = False,
    ) -> None:
        """Somebody presented something at a reader of that door. `free`: nobody may be kept from leaving there."""
        self.ways_out += free
        self._requests[device_id, number] = _Request(door_id, now.timer_s, online, leaves, free)

    def pressed(self, door_id: str, now: Moment) -> None:
        """Somebody pressed the exit button of that door."""
        self.ways_out += 1
        self._buttons[door_id] = now.timer_s

    def commanded(self, command: AccessDoor | ModeCommand, *, signed: bool = True) -> None:
        """A command lay in the topic, for the first time."""
        self.modes.commanded(command, signed=signed)
        if isinstance(command, AccessDoor) and signed:
            self._commands.setdefault(command.command_id, command)

    def granted(self, device_id: str, number: Number) -> None:
        """That request was granted, says `access.decisions`."""
        self._granted.add((device_id, number))

    def released(self, release: Released, now: Moment) -> None:
        """A lock was released."""
        self.releases += 1
        problem = self._problem(release, now)
        if problem is not None:
            self.stale.append(f"{release.door_id} released by {release.cause} {release.number or ''}: {problem}")

    def undecided_releases(self) -> list[str]:
        """At the end: doors that a command opened for a request that was never granted."""
        return [f"{device} {number}: a command opened, no grant" for device, number in self._by_command - self._granted]

    def kept_in(self, now: Moment) -> list[str]:
        """Everybody who wanted to leave where nobody may be kept in, and was not let out in time."""
        kept = [f"{door_id}: the exit button was pressed, and nothing happened" for door_id in self._buttons]
        for key, request in self._requests.items():
            if request.free and key not in self._used and now.timer_s - request.at_s > LET_OUT_WITHIN_S:
                kept.append(f"{request.door_id}: {key[0]} {key[1]} wanted to leave, and was not let out")
        return kept

    def _problem(self, release: Released, now: Moment) -> str | None:
        if release.cause == "exit":
            if release.number is not None:
                return self._consume((release.device_id, release.number), release.door_id, now)
            pressed_s = self._buttons.pop(release.door_id, None)
            return None if pressed_s is not None and now.timer_s - pressed_s <= BUTTON_S else "no button was pressed"
        if release.cause == "degraded":
            return self._alone(release, now)
        return self._commanded(release, now)

    def _alone(self, release: Released, now: Moment) -> str | None:
        if release.number is None:
            return "no request"
        request = self._requests.get((release.device_id, release.number))
        if request is not None and not request.leaves and self.modes.shut(release.door_id):
            return "decided alone to let somebody in at a door that is shut"
        if request is not None and request.online and now.timer_s - request.at_s < ALONE_AFTER_S:
            return "decided alone before the answer was due"
        return self._consume((release.device_id, release.number), release.door_id, now, extra_s=1.0)

    def _commanded(self, release: Released, now: Moment) -> str | None:
        command = self._commands.get(release.command_id or "")
        if command is None:
            return "no such command was ever published"
        if command.command_id in self._obeyed:
            return "the command was obeyed before"
        self._obeyed.add(command.command_id)
        if (command.device_id, command.door_id) != (release.device_id, release.door_id):
            return "the command is for another door"
        last = self._last.get(command.door_id, -1)
        self._last[command.door_id] = max(last, command.sequence)
        if command.sequence <= last:
            return f"its sequence {command.sequence} is not above {last}"
        asked = command.request
        request = self._requests.get((release.device_id, (asked.boot, asked.sequence))) if asked is not None else None
        problem = self.modes.problem(command, leaves=request is not None and request.leaves)
        if problem is not None:
            return problem
        if command.request is None:
            return _unsolicited(command, now.clock)
        number = (command.request.boot, command.request.sequence)
        self._by_command.add((release.device_id, number))
        return self._consume((release.device_id, number), release.door_id, now)

    def _consume(self, key: Presented, door_id: str, now: Moment, extra_s: float = 0.0) -> str | None:
        request = self._requests.get(key)
        if request is None:
            return "nobody presented anything"
        if request.door_id != door_id:
            return "the request was made at another door"
        if key in self._used:
            return "the request was used before"
        self._used.add(key)
        age_s = now.timer_s - request.at_s
        return f"the request was {age_s:.1f} s old" if age_s > PENDING_S + extra_s else None


def _unsolicited(command: AccessDoor, clock: datetime) -> str | None:
    if command.not_after is None:
        return "it names no request and has no end"
    return None if clock <= command.not_after else "its end has passed"
