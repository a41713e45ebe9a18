"""Passage (A3): one command for a grant, and whether somebody passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec

from schemas.access import AccessNotTaken, AccessTaken
from schemas.base import JournalPosition, RequestNumber, trusted
from schemas.commands import AccessDoor
from schemas.devices import CommandFailed, Heartbeat
from schemas.doors import DoorClosed, DoorEvent, DoorForcedOpen, DoorOpened, NoEntryAfterGranted, RequestToExit
from schemas.places import Door
from schemas.vocabulary import Direction
from streams.core import reference
from streams.core.entities import DoorState, Pending, door_key
from streams.core.numbering import MessageNumber, number_of
from streams.core.presence import moved
from streams.core.processor import Context, Outcome, State
from streams.core.question import Question
from streams.core.times import from_ms, to_ms

_access_door = trusted(AccessDoor)
_taken = trusted(AccessTaken)
_not_taken = trusted(AccessNotTaken)
_DIRECTIONS = {direction.value: direction for direction in Direction}

MOST_PENDING = 8
"""Grants that may wait for a passage at one door; the oldest of more counts as not taken."""

EXIT_GRACE_S = 2
"""How much later than the lock is released for an exit its opening may be heard of."""

INCARNATION_SHIFT = 20
"""A new life of the broker starts command sequences above `incarnation << 20`, beyond all of the life before."""


class GrantPending(msgspec.Struct, frozen=True, gc=False, tag="grant_pending"):
    """A grant whose passage is awaited."""

    door_id: str
    pending: Pending


class DoorMoved(msgspec.Struct, frozen=True, gc=False, tag="door_moved"):
    """The door position switch opened or closed, as the message of that number told; only the newest one counts.

    `passed`: whoever had asked to leave has opened it.
    """

    door_id: str
    open: bool
    told: MessageNumber
    passed: bool = False


class ExitAsked(msgspec.Struct, frozen=True, gc=False, tag="exit_asked"):
    """The exit button or sensor released the lock: the next opening until then is that of somebody who leaves."""

    door_id: str
    until_ms: int


def journal_position(context: Context) -> JournalPosition:
    """Where the entry that is being decided stands."""
    return _position(context.partition, context.number)


@lru_cache(256)
def _position(partition: int, number: int) -> JournalPosition:
    return JournalPosition(partition=partition, number=number)


def next_sequence(door: DoorState, context: Context) -> int:
    """The number of the next command to a door."""
    return max(door.sequence, context.incarnation << INCARNATION_SHIFT) + 1


def command_for(question: Question, pending: Pending, request: RequestNumber, *, override: bool) -> AccessDoor:
    """The one `access_door` of a grant."""
    state: DoorState = question.state.get(door_key(question.door.door_id)) or DoorState()
    holder = question.authentication.cardholder
    extended = holder is not None and holder.extended_access
    return _access_door(
        {
            "command_id": pending.command_id,
            "decision_id": pending.decision_id,
            "site_id": question.site.site_id,
            "device_id": question.device.device_id,
            "door_id": question.door.door_id,
            "access_point_id": question.point.access_point_id,
            "sequence": next_sequence(state, question.context),
            "mode_epoch": state.mode_epoch,
            "request": request,
            "issued_at": from_ms(question.context.now_ms),
            "access_time_s": question.door.extended_access_time_s if extended else question.door.access_time_s,
            "override": override,
        }
    )


def await_passage(question: Question, pending: Pending) -> Sequence[Outcome]:
    """What a grant leaves behind: a passage to be seen at the door, or assumed where the door has no switch."""
    door_id, context = question.door.door_id, question.context
    if not question.door.has_dps:
        return taken(pending, door_id, pending.granted_ms, "grant", question.state, context)
    state: DoorState = question.state.get(door_key(door_id)) or DoorState()
    oldest = state.pending[: max(0, len(state.pending) + 1 - MOST_PENDING)]
    return [*(not_taken(one, door_id, context) for one in oldest), GrantPending(door_id, pending)]


def decide_door_event(message: DoorEvent, door: Door, state: State, context: Context) -> Iterator[Outcome]:
    """What a door event of an admitted controller means for the grants that are pending."""
    found: DoorState = state.get(door_key(message.door_id)) or DoorState()
    if isinstance(message, DoorOpened | DoorForcedOpen):
        yield DoorMoved(message.door_id, open=True, told=number_of(message, context), passed=True)
    elif isinstance(message, DoorClosed):
        yield DoorMoved(message.door_id, open=False, told=number_of(message, context))
    elif isinstance(message, RequestToExit):
        yield ExitAsked(message.door_id, context.now_ms + (door.access_time_s + EXIT_GRACE_S) * 1000)
    if isinstance(message, DoorOpened | NoEntryAfterGranted):
        leaving = isinstance(message, DoorOpened) and context.now_ms <= found.exit_until_ms
        pending = _matching(found, message.command_id, leaving=leaving)
        if pending is not None:
            if isinstance(message, DoorOpened):
                yield from taken(pending, message.door_id, to_ms(message.occurred_at), "door_opened", state, context)
            else:
                yield not_taken(pending, message.door_id, context)


def decide_heartbeat(message: Heartbeat, context: Context) -> Iterator[Outcome]:
    """What a heartbeat tells of the positions of its controller's own doors."""
    number = number_of(message, context)
    for told in message.doors:
        door = reference.door(context.references, told.door_id)
        if told.open is not None and door is not None and door.device_id == message.device_id:
            yield DoorMoved(told.door_id, open=told.open, told=number)


def decide_overdue(key: str, deadline_ms: int, state: State, context: Context) -> Iterator[Outcome]:
    """The grants at a door whose window has passed."""
    found: DoorState | None = state.get(key)
    if found is not None:
        for pending in found.pending:
            if pending.until_ms <= deadline_ms:
                yield not_taken(pending, key.removeprefix("door/"), context)


def decide_command_failed(message: CommandFailed, state: State, context: Context) -> Iterator[Outcome]:
    """A grant whose command its controller did not obey leads nobody in; a forged one tells nothing of the real one."""
    if message.reason == "invalid_signature":
        return
    for door in context.references.find("door", "device_id", message.device_id):
        found: DoorState | None = state.get(door_key(door.door_id))
        pending = _matching(found, message.command_id) if found is not None else None
        if pending is not None:
            yield not_taken(pending, door.door_id, context)


def _matching(door: DoorState, command_id: str | None, *, leaving: bool = False) -> Pending | None:
    """The grant that a door opened for: the one that the controller names, else the oldest is the best guess.

    What opened for the exit button or sensor is nobody's entry.
    """
    if command_id is not None:
        return next((pending for pending in door.pending if pending.command_id == command_id), None)
    return next((one for one in door.pending if not leaving or one.direction == Direction.EGRESS), None)


def taken(
    pending: Pending,
    door_id: str,
    occurred_ms: int,
    evidence: Literal["door_opened", "grant", "recorded"],
    state: State,
    context: Context,
) -> Sequence[Outcome]:
    """Somebody passed: the event, and what it moves.

    Presence is known from now on; of a passage that was recorded offline, since its own time.
    """
    event = _taken(_passage(pending, door_id, occurred_ms, context) | {"evidence": evidence})
    if pending.cardholder_id is None:
        return (event,)
    since_ms = min(occurred_ms, context.now_ms) if evidence == "recorded" else context.now_ms
    return event, moved(pending, pending.cardholder_id, since_ms, state, context)


def not_taken(pending: Pending, door_id: str, context: Context) -> AccessNotTaken:
    """Nobody passed."""
    return _not_taken(_passage(pending, door_id, context.now_ms, context))


def _passage(pending: Pending, door_id: str, occurred_ms: int, context: Context) -> dict[str, Any]:
    return {
        "decision_id": pending.decision_id,
        "request_id": pending.request_id,
        "site_id": pending.site_id,
        "device_id": pending.device_id,
        "access_point_id": pending.access_point_id,
        "door_id": door_id,
        "zone_from": pending.zone_from,
        "zone_to": pending.zone_to,
        "cardholder_id": pending.cardholder_id,
        "credential_id": pending.credential_id,
        "permission_id": pending.permission_id,
        "direction": _DIRECTIONS[pending.direction],
        "granted_at": from_ms(pending.granted_ms),
        "occurred_at": from_ms(occurred_ms),
        "decided_at": from_ms(context.now_ms),
        "journal": journal_position(context),
    }
