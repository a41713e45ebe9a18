"""The premises: controllers, doors, and people before them; where effects become records and opened doors."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.access import AccessRecorded, AccessRequested
from schemas.base import DeviceMessage
from schemas.commands import AccessDoor, ModeCommand
from schemas.devices import CommandConfirmed, CommandFailed
from schemas.keys import DEVICE, derive_key
from schemas.registry import decode
from schemas.sealing import Sealer
from schemas.vocabulary import Direction
from streams.simulator.audit import Auditor
from streams.simulator.book import Asked, Book, RequestKey
from streams.simulator.broker import SNAPSHOTS, Arrived
from streams.simulator.controller import Controller
from streams.simulator.effects import Answered, Effect, ModeSet, Number, Released
from streams.simulator.factors import Shown
from streams.simulator.lock import Moment, Now, present
from streams.simulator.oracle import Oracle
from streams.simulator.places import Places
from streams.simulator.wire import Incoming, Memory, Outgoing, Signature, device_of_part

TICK_S = 0.1
RECORDS_KEPT = 1000
"""Requests of which the record is kept, for those who listen on the wire."""

COMMANDS_KEPT = 20
"""Commands that a controller may read once more."""

PASSAGE_KNOWN_S = 15.0
"""How long somebody waits at most until the site knows where they are."""


class Reply(NamedTuple):
    """What somebody at a reader learned."""

    key: RequestKey
    outcome: str
    alone: bool = False

    @property
    def granted(self) -> bool:
        """Whether the lock was released."""
        return self.outcome == "granted"


class Premises:
    """All controllers of a campus, with everything that happens at their doors."""

    def __init__(
        self,
        places: Places,
        oracle: Oracle,
        book: Book,
        auditor: Auditor,
        master: bytes,
        say: Callable[[Outgoing], None],
        now: Now = present,
    ) -> None:
        self._now = now
        self.places = places
        self.turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.records: OrderedDict[RequestKey, Outgoing] = OrderedDict()
        self._oracle, self._book, self._auditor, self._say = oracle, book, auditor, say
        self._answers: dict[tuple[str, Number], asyncio.Future[Answered]] = {}
        self._passages: dict[RequestKey, asyncio.Future[str]] = {}
        self._held: dict[str, list[Arrived]] = defaultdict(list)
        self._last_commands: dict[str, deque[Arrived]] = defaultdict(lambda: deque(maxlen=COMMANDS_KEPT))
        self._door_states: dict[str, tuple[str, float]] = {}
        self._shown: dict[tuple[str, datetime], Sequence[Shown]] = {}
        sealer = Sealer.of_master(master)
        self._signatures = {
            id_: Signature(id_, derive_key(master, DEVICE, id_, device.key_version), device.key_version)
            for id_, device in places.devices.items()
        }
        boot = int(now().clock.timestamp())  # rises from run to run, so that nothing has to be kept
        self._controllers = {
            device_id: Controller(
                device,
                [door for door in places.doors.values() if door.device_id == device_id],
                [p for p in places.points.values() if places.doors[p.door_id].device_id == device_id],
                self._signatures[device_id],
                sealer,
                Memory(boot),
                places.timings[device_id].heartbeat_s,
            )
            for device_id, device in places.devices.items()
            if device.status == "active"
        }

    def moment(self) -> Moment:
        """Now."""
        return self._now()

    def start(self) -> None:
        """Every controller announces itself."""
        for controller in self._controllers.values():
            self._perform(controller.start(self._now()))

    def controller_of(self, door_id: str) -> Controller | None:
        """The controller of a door; None where it is out of service."""
        return self._controllers.get(self.places.doors[door_id].device_id)

    @property
    def device_ids(self) -> list[str]:
        """The controllers that are in service."""
        return list(self._controllers)

    async def ask(self, point_id: str, shown: Sequence[Shown]) -> Reply:
        """Present something at a reader, and wait for what becomes of it."""
        point = self.places.points[point_id]
        controller, now = self._controllers[self.places.doors[point.door_id].device_id], self._now()
        number, effects = controller.present(point_id, shown, now)
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._answers[controller.device_id, number] = future
        leaves = point.direction is Direction.EGRESS
        free = leaves and self.places.doors[point.door_id].egress == "free"
        self._auditor.presented(
            controller.device_id, number, point.door_id, now, online=controller.online, leaves=leaves, free=free
        )
        key = RequestKey(controller.device_id, *number)
        if controller.online:
            self._passages[key] = asyncio.get_running_loop().create_future()
            self._book.asks(key, Asked(point, shown, now.clock))
        self._shown[point_id, now.clock] = shown
        self._perform(effects)
        answer = await future
        asked = self._book.asked.get(key)
        if answer.alone and asked is not None:
            asked.passed = None  # the controller opened by itself: the site's own decision need not see a passage
        shown_as = "granted" if answer.outcome == "granted" else "denied"
        self._door_states[point.door_id] = (shown_as, self._now().timer_s)
        return Reply(key, answer.outcome, answer.alone)

    async def walk_through(self, door_id: str, key: RequestKey | None, open_s: float) -> None:
        """Open a released door, pass, and let it fall shut."""
        self.open(door_id, key)
        await asyncio.sleep(open_s)
        self.close(door_id)

    def open(self, door_id: str, key: RequestKey | None = None) -> None:
        """Push a door open; by force where it is not released."""
        controller, now = self._controllers[self.places.doors[door_id].device_id], self._now()
        asked = self._book.asked.get(key) if key is not None else None
        if asked is not None:
            asked.passed = True
        if self.places.doors[door_id].has_dps:
            self._oracle.happenings.door_moved(door_id, now.clock, is_open=True)
        self._door_states[door_id] = ("open", self._now().timer_s)
        self._perform(controller.opened(door_id, now))

    def close(self, door_id: str) -> None:
        """Let a door fall shut."""
        controller, now = self._controllers[self.places.doors[door_id].device_id], self._now()
        if self.places.doors[door_id].has_dps:
            self._oracle.happenings.door_moved(door_id, now.clock, is_open=False)
        self._door_states[door_id] = ("granted", self._now().timer_s)
        self._perform(controller.closed(door_id, now))

    def press_exit(self, door_id: str) -> None:
        """Press the exit button."""
        now = self._now()
        self._auditor.pressed(door_id, now)
        self._perform(self._controllers[self.places.doors[door_id].device_id].exit(door_id, now))

    async def known(self, key: RequestKey) -> None:
        """Wait until the site knows that somebody has passed or not."""
        future = self._passages.get(key)
        asked = self._book.asked.get(key)
        if future is not None and asked is not None and self.places.doors[asked.point.door_id].has_dps:
            await asyncio.wait([future], timeout=PASSAGE_KNOWN_S)

    def passage(self, key: RequestKey, outcome: str) -> None:
        """The site says whether somebody passed."""
        future = self._passages.pop(key, None)
        if future is not None and not future.done():
            future.set_result(outcome)

    def intrude(self, record: Outgoing) -> None:
        """Somebody else publishes a record."""
        self._book.counts["hostile"] += 1
        self._say(record)

    def signed(self, message: DeviceMessage) -> Outgoing:
        """A message signed with its device's key, whoever made it."""
        return self._signatures[message.device_id].record(message)

    def disconnect(self, device_id: str) -> None:
        """A controller loses the server."""
        self._controllers[device_id].disconnect(self._now())

    def reconnect(self, device_id: str, *, unheard: bool = False, forgetful: bool = False) -> None:
        """It is back, sends what it kept, and reads what it missed, unless it is `forgetful`.

        `unheard`: the acknowledgements are lost, so it sends everything once more.
        """
        missed = self._held.pop(device_id, [])
        effects = self._controllers[device_id].reconnect(self._now())
        self._perform(effects)
        if unheard:
            for effect in effects:
                if isinstance(effect, Outgoing):
                    self._say(effect)
        for arrived in missed if not forgetful else ():
            self.commanded(arrived)

    def fail(self, device_id: str, code: str, detail: str) -> None:
        """Something in a controller breaks."""
        self._perform(self._controllers[device_id].fail(code, detail, self._now()))

    def mend(self, device_id: str, code: str) -> None:
        """It works again."""
        self._perform(self._controllers[device_id].mend(code, self._now()))

    def restart(self, device_id: str) -> None:
        """A controller starts anew."""
        self._perform(self._controllers[device_id].restart(self._now()))

    def reread(self, device_id: str) -> None:
        """A controller reads the last records of its commands once more."""
        for arrived in list(self._last_commands[device_id]):
            self.commanded(arrived)

    def commanded(self, arrived: Arrived) -> None:
        """A record of `device.commands` or `device.snapshots` arrived for its controller."""
        key = (arrived.key or b"").decode(errors="replace")
        controller = self._controllers.get(key) or self._controllers.get(device_of_part(key))
        if controller is None:
            return
        if not controller.online:
            self._held[controller.device_id].append(arrived)
            return
        if arrived.topic == SNAPSHOTS:
            self._perform(controller.snapshot(Incoming(*arrived.as_read), self._now()))
            return
        self._last_commands[controller.device_id].append(arrived)
        self._perform(controller.command(Incoming(*arrived.as_read), self._now()))

    def seen_command(self, arrived: Arrived) -> None:
        """The book and the auditor read every command for themselves, before its controller does."""
        try:
            command = decode(arrived.topic, arrived.value)
        except ValueError:
            return
        if isinstance(command, AccessDoor | ModeCommand):
            signature = self._signatures.get(command.device_id)
            signed = signature is not None and signature.signed(Incoming(*arrived.as_read))
            self._auditor.commanded(command, signed=signed)
        if isinstance(command, AccessDoor):
            number = command.request
            key = RequestKey(command.device_id, number.boot, number.sequence) if number is not None else None
            self._book.commanded(key, command.command_id, arrived.at_s)

    def tick(self) -> None:
        """Let every controller's timers run."""
        now = self._now()
        for controller in self._controllers.values():
            self._perform(controller.tick(now))

    def door_states(self) -> dict[str, str]:
        """Each door as a viewer shows it: open, granted or denied (a second long), offline, locked (down) or shut."""
        now = self._now().timer_s
        states: dict[str, str] = {}
        for door_id, door in self.places.doors.items():
            state, since = self._door_states.get(door_id, ("shut", 0.0))
            controller = self._controllers.get(door.device_id)
            if controller is None or not controller.online:
                states[door_id] = "offline"
            else:
                calm = "locked" if self._auditor.modes.shut(door_id) else "shut"
                states[door_id] = state if state == "open" or now - since < 1.0 else calm
        return states

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Outgoing):
                self._publish(effect)
            elif isinstance(effect, Released):
                self._auditor.released(effect, self._now())
            elif isinstance(effect, ModeSet):
                self._auditor.modes.applied(effect)
            else:
                self._answered(effect)

    def _answered(self, effect: Answered) -> None:
        future = self._answers.pop((effect.device_id, effect.number), None)
        if future is not None and not future.done():
            future.set_result(effect)

    def _publish(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        if isinstance(message, AccessRecorded):
            key = RequestKey(message.device_id, message.boot, message.sequence, backlog=True)
            point = self.places.points[message.access_point_id]
            shown = self._shown[point.access_point_id, message.occurred_at]
            shut = self._auditor.modes.shut(point.door_id)
            self._book.asks(key, Asked(point, shown, message.occurred_at, message.outcome, message.mode, shut))
        elif isinstance(message, AccessRequested):
            self.records[RequestKey(message.device_id, message.boot, message.sequence)] = outgoing
            if len(self.records) > RECORDS_KEPT:
                self.records.popitem(last=False)
        elif isinstance(message, CommandConfirmed):
            self._book.confirmed(message.command_id, repeated=message.repeated)
        elif isinstance(message, CommandFailed):
            self._book.failed_commands[message.reason] += 1
        self._say(outgoing)
