"""Until every door has its mode (E): what controllers confirm, refuse, report and miss, and what is sent again.

A command's confirmation counts, and so does a heartbeat that reports the mode. What is not confirmed is sent again,
less and less often; to a controller that is offline not at all, once somebody was told. It is sent at once when the
controller is heard after a silence or a restart, whatever it says. A mode that nobody asked for (a local override, a
swapped controller) is put right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from schemas.base import DeviceMessage
from schemas.devices import CommandConfirmed, CommandFailed, Heartbeat
from schemas.devices import DoorState as Told
from schemas.door_modes import Unconfirmed
from schemas.places import Door
from schemas.vocabulary import DoorMode
from streams.core import reference
from streams.core.entities import DeviceState, DoorState, device_key, door_key
from streams.core.mode_control import LARGEST_REPORTED, Doors, command_id
from streams.core.mode_state import Awaited, Converging, DoorModes, converging_key, mode_key
from streams.core.modes import FREE
from streams.core.numbering import number_of
from streams.core.processor import Change, Context, Outcome, State

ALERT_MS = 8_000
"""How long a mode may stay unconfirmed before somebody is told: within ten seconds, and after three attempts."""

REPEAT_MS = 500
"""A heartbeat that crossed a command on its way sends no other one."""

SILENCE_MS = 5_000
"""Who was not heard for so long may have been away when something was sent, and gets it again at once."""

ATTEMPTS_KNOWN = 8
"""The latest attempts whose confirmation is recognised; of an older one, the next heartbeat tells."""

_replace = msgspec.structs.replace


class Woken(msgspec.Struct, frozen=True, gc=False, tag="woken"):
    """A controller is heard: what waits for that is sent at once; `silent`: all that it was sent while away, too."""

    device_id: str
    at_ms: int
    silent: bool


def converging_deadline(converging: Converging) -> int | None:
    """When something is to be sent again, or told; None where all of it waits for the controller to be heard."""
    moments = [one.next_ms for one in converging.doors if one.next_ms]
    moments += [one.since_ms + ALERT_MS for one in converging.doors if not one.told]
    return min(moments, default=None)


def decide_confirmed(message: CommandConfirmed, state: State, context: Context) -> list[Outcome]:
    """A controller acted on a command: perhaps the one that set a mode."""
    awaiting: Converging | None = state.get(converging_key(message.device_id))
    if awaiting is None:
        return []
    doors = Doors(state, context)
    for one in awaiting.doors:
        if _is_of(message.command_id, one):
            _confirm(doors, one.door_id, message)
    return doors.finish()


def decide_refused(message: CommandFailed, state: State, context: Context) -> list[Outcome]:
    """A controller did not act on a command: if it was to set a mode, it is kept why, and sent again in time."""
    awaiting: Converging | None = state.get(converging_key(message.device_id))
    if awaiting is None:
        return []
    doors = Doors(state, context)
    for one in awaiting.doors:
        door = reference.door(context.references, one.door_id)
        if door is not None and _is_of(message.command_id, one):
            doors.await_door(door, _replace(one, failure=message.reason))
    return doors.finish()


def decide_reported(message: Heartbeat, state: State, context: Context) -> list[Outcome]:
    """What a heartbeat tells of modes: confirmed, still another one, or one that nobody asked for."""
    awaiting: Converging | None = state.get(converging_key(message.device_id))
    awaited = {one.door_id: one for one in awaiting.doors} if awaiting is not None else {}
    doors: Doors | None = None
    for told in message.doors:
        door = reference.door(context.references, told.door_id)
        if door is None or door.device_id != message.device_id:
            continue
        found: DoorState = state.get(door_key(told.door_id)) or _UNHEARD
        as_desired = told.mode_epoch == found.mode_epoch and _same(told.mode, found.mode)
        if as_desired and told.door_id not in awaited:
            continue
        doors = doors or Doors(state, context)
        if as_desired:
            _confirm(doors, told.door_id, message)
        else:
            _put_right(doors, door, told, awaited.get(told.door_id), message)
    return doors.finish() if doors is not None else []


def decide_back(message: DeviceMessage, state: State, context: Context) -> list[Outcome]:
    """A controller is back: before anything else it gets the modes of its doors."""
    awaiting: Converging | None = state.get(converging_key(message.device_id))
    awaited = {one.door_id: one for one in awaiting.doors} if awaiting is not None else {}
    doors = Doors(state, context)
    for door in context.references.find("door", "device_id", message.device_id):
        modes = doors.modes(door.door_id)
        if modes is not None and modes.epoch:
            now_ms = context.now_ms
            doors.send(door, awaited.get(door.door_id) or Awaited(door.door_id, modes.epoch, now_ms, now_ms, 0))
    return doors.finish()


def decide_heard(message: DeviceMessage, state: State, context: Context) -> Sequence[Outcome]:
    """A controller is heard, whatever it says: what it has not confirmed may be due now.

    It is sent at the tick that this brings on, so that no other command of this cause gets the same sequence.
    """
    awaiting: Converging | None = state.get(converging_key(message.device_id))
    if awaiting is None:
        return ()
    heard: DeviceState | None = state.get(device_key(message.device_id))
    # One that has started again was away, however short its power was: what it was sent meanwhile it never had.
    missed = heard is None or message.boot > heard.boot or context.now_ms - heard.heard_ms >= SILENCE_MS
    woken = Woken(message.device_id, context.now_ms, silent=missed)
    # Of many that confirm at once, each is heard once for each of its doors.
    return (woken,) if any(_woken(one, woken) is not one for one in awaiting.doors) else ()


def evolve_woken(state: State, outcome: Woken) -> Iterable[Change]:
    """What is awaited of a controller after it was heard."""
    key = converging_key(outcome.device_id)
    awaiting: Converging | None = state.get(key)
    if awaiting is None:
        return ()
    return ((key, _replace(awaiting, doors=tuple(_woken(one, outcome) for one in awaiting.doors))),)


def _woken(one: Awaited, outcome: Woken) -> Awaited:
    again = outcome.silent and outcome.at_ms - one.sent_ms >= REPEAT_MS
    return _replace(one, next_ms=outcome.at_ms) if again or not one.next_ms else one


def decide_late(key: str, deadline_ms: int, state: State, context: Context) -> list[Outcome]:
    """The deadlines of a controller that has not confirmed: send again what is due, and tell of what takes too long."""
    awaiting: Converging | None = state.get(key)
    if awaiting is None:
        return []
    doors = Doors(state, context)
    device_id = key.removeprefix("converging/")
    kept: list[Awaited] = []
    moved: list[tuple[Door, Awaited]] = []
    for one in awaiting.doors:
        door = reference.door(context.references, one.door_id)
        if door is None:
            continue
        if door.device_id != device_id:
            moved.append((door, one))
            continue
        kept.append(one)
    doors.draft.put(key, _replace(awaiting, doors=tuple(kept)) if kept else None)
    for door, one in moved:
        doors.send(door, one)
    for one in kept:
        _overdue(doors, one, device_id, deadline_ms)
    return doors.finish()


def _overdue(doors: Doors, one: Awaited, device_id: str, deadline_ms: int) -> None:
    door = reference.door(doors.context.references, one.door_id)
    modes = doors.modes(one.door_id)
    if door is None or modes is None:
        return
    if not one.told and one.since_ms + ALERT_MS <= deadline_ms:
        one = _replace(one, told=True)
        refused = _why(one, device_id, door.site_id, doors.state, doors.context)
        # A controller that is back and says nothing of its modes may have any.
        doors.tell(door, _replace(modes, refused=refused, confirmed_ms=0), awaited=one)
        doors.await_door(door, one)
    if 0 < one.next_ms <= deadline_ms:
        if one.told and is_silent(device_id, door.site_id, doors.state, doors.context):
            doors.await_door(door, _replace(one, next_ms=0))
        else:
            doors.send(door, one)


def _why(one: Awaited, device_id: str, site_id: str, state: State, context: Context) -> Unconfirmed:
    if one.failure:
        return "command_failed"
    return "controller_offline" if is_silent(device_id, site_id, state, context) else "no_answer"


def is_silent(device_id: str, site_id: str, state: State, context: Context) -> bool:
    """Whether nothing was heard of a controller for as long as makes one offline (M1)."""
    heard: DeviceState | None = state.get(device_key(device_id))
    if heard is None:
        return True
    site = reference.site(context.references, site_id)
    policy = reference.policy(context.references, site.policy_id) if site is not None else None
    device = reference.device(context.references, device_id)
    if policy is None or device is None:
        return True
    return context.now_ms - heard.heard_ms >= policy.monitoring.timing(device.model).offline_after_s * 1000


def _is_of(found_id: str, one: Awaited) -> bool:
    last = max(1, one.attempts - ATTEMPTS_KNOWN + 1)
    # A list, which is mostly of one: it is asked for every door that is not confirmed.
    return found_id in [command_id(one.door_id, one.epoch, attempt) for attempt in range(last, one.attempts + 1)]


def _confirm(doors: Doors, door_id: str, message: DeviceMessage) -> None:
    door, modes = reference.door(doors.context.references, door_id), doors.modes(door_id)
    key = converging_key(message.device_id)
    awaiting: Converging | None = doors.draft.get(key)
    if awaiting is not None:
        left = tuple(one for one in awaiting.doors if one.door_id != door_id)
        doors.draft.put(key, _replace(awaiting, doors=left) if left else None)
    if door is None or modes is None:
        return
    first = modes.confirmed_ms == 0
    confirmed_ms = doors.context.now_ms if first else modes.confirmed_ms
    number = number_of(message, doors.context)
    newest = number if number.follows(modes.confirmed_by) else modes.confirmed_by
    after = _replace(modes, confirmed_ms=confirmed_ms, confirmed_by=newest, refused=None)
    if first or modes.refused:
        doors.tell(door, after)
    else:
        doors.draft.put(mode_key(door_id), after)


def _put_right(doors: Doors, door: Door, told: Told, one: Awaited | None, message: DeviceMessage) -> None:
    """Another mode than desired: on its way still, or one that nobody asked for."""
    modes = doors.modes(door.door_id) or DoorModes(door.site_id, since_ms=doors.context.now_ms)
    if one is not None and told.mode_epoch <= modes.epoch:
        if doors.context.now_ms - one.sent_ms >= REPEAT_MS:
            doors.send(door, one)
        return
    if not number_of(message, doors.context).follows(modes.confirmed_by):
        return  # told before it was confirmed, and overtaken on its way
    reported = told.mode_epoch if told.mode_epoch <= LARGEST_REPORTED else 0
    doors.assert_mode(door, modes, above=max(modes.epoch, reported), reported=told.mode)


_UNHEARD = DoorState()


def _same(told: DoorMode, mode: DoorMode) -> bool:
    """Whether a reported mode is the desired one; `accessed` is a shut one, released for somebody just now."""
    return told is mode or (told is DoorMode.ACCESSED and mode not in FREE)


def unconfirmed_in(state: State, device_id: str) -> Iterator[Awaited]:
    """What a controller has not confirmed."""
    awaiting: Converging | None = state.get(converging_key(device_id))
    yield from awaiting.doors if awaiting is not None else ()
