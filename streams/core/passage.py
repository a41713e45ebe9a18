"""Passage (A3): one command for a grant, and whether somebody passed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import msgspec

from schemas.access import AccessNotTaken, AccessTaken
from schemas.base import JournalPosition, RequestNumber, trusted
from schemas.commands import AccessDoor
from schemas.doors import DoorClosed, DoorEvent, DoorForcedOpen, DoorOpened, NoEntryAfterGranted
from schemas.people import Cardholder
from schemas.vocabulary import Direction
from streams.core import reference
from streams.core.checks import Question
from streams.core.entities import DoorState, Pending, Presence, door_key, presence_key
from streams.core.processor import Context, Outcome, State
from streams.core.schedules import local
from streams.core.times import from_ms

_access_door = trusted(AccessDoor)
_taken = trusted(AccessTaken)
_not_taken = trusted(AccessNotTaken)
_DIRECTIONS = {direction.value: direction for direction in Direction}
_ENTRY = Direction.ENTRY

MOST_PENDING = 8
"""Grants that may wait for a passage at one door; the oldest of more counts as not taken."""

INCARNATION_SHIFT = 20
"""A new life of the broker starts command sequences above `incarnation << 20`, beyond all of the life before."""


class GrantPending(msgspec.Struct, frozen=True, gc=False, tag="grant_pending"):
    """A grant whose passage is awaited."""

    door_id: str
    pending: Pending


class DoorMoved(msgspec.Struct, frozen=True, gc=False, tag="door_moved"):
    """The door position switch opened or closed."""

    door_id: str
    open: bool


class Passed(msgspec.Struct, frozen=True, gc=False, tag="passed"):
    """Somebody is now in another zone: the zones left and entered, and what that used up."""

    site_id: str
    cardholder_id: str
    zone_to: str
    at_ms: int
    leave: tuple[str, ...]
    enter: tuple[str, ...]
    escort: bool
    permission_id: str | None
    decision_id: str
    opens: str | None = None
    opened_on: str = ""


class PresenceLost(msgspec.Struct, frozen=True, gc=False, tag="presence_lost"):
    """Nobody knows any more where a cardholder is: passback is soft until it is known again."""

    site_id: str
    cardholder_id: str | None
    at_ms: int
    leave: tuple[str, ...]
    escort: bool = False


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
        command_id=pending.command_id,
        decision_id=pending.decision_id,
        site_id=question.site.site_id,
        device_id=question.device.device_id,
        door_id=question.door.door_id,
        access_point_id=question.point.access_point_id,
        sequence=next_sequence(state, question.context),
        mode_epoch=state.mode_epoch,
        request=request,
        issued_at=from_ms(question.context.now_ms),
        access_time_s=question.door.extended_access_time_s if extended else question.door.access_time_s,
        override=override,
    )


def await_passage(question: Question, pending: Pending) -> Iterator[Outcome]:
    """What a grant leaves behind: a passage to be seen at the door, or assumed where the door has no switch."""
    if not question.door.has_dps:
        yield from taken(pending, question.door.door_id, pending.granted_ms, "grant", question.state, question.context)
        return
    state: DoorState = question.state.get(door_key(question.door.door_id)) or DoorState()
    for oldest in state.pending[: max(0, len(state.pending) + 1 - MOST_PENDING)]:
        yield not_taken(oldest, question.door.door_id, question.context)
    yield GrantPending(question.door.door_id, pending)


def decide_door_event(message: DoorEvent, state: State, context: Context) -> Iterator[Outcome]:
    """What a door event of an admitted controller means for the grants that are pending."""
    found: DoorState = state.get(door_key(message.door_id)) or DoorState()
    if isinstance(message, DoorOpened | DoorForcedOpen):
        yield DoorMoved(message.door_id, open=True)
    elif isinstance(message, DoorClosed):
        yield DoorMoved(message.door_id, open=False)
    if isinstance(message, DoorOpened | NoEntryAfterGranted):
        pending = _matching(found, message.command_id)
        if pending is not None:
            if isinstance(message, DoorOpened):
                at_ms = round(message.occurred_at.timestamp() * 1000)
                yield from taken(pending, message.door_id, at_ms, "door_opened", state, context)
            else:
                yield not_taken(pending, message.door_id, context)


def decide_overdue(key: str, deadline_ms: int, state: State, context: Context) -> Iterator[Outcome]:
    """The grants at a door whose window has passed."""
    found: DoorState | None = state.get(key)
    if found is not None:
        for pending in found.pending:
            if pending.until_ms <= deadline_ms:
                yield not_taken(pending, key.removeprefix("door/"), context)


def _matching(door: DoorState, command_id: str | None) -> Pending | None:
    if command_id is not None:
        return next((pending for pending in door.pending if pending.command_id == command_id), None)
    return door.pending[0] if door.pending else None


def taken(
    pending: Pending,
    door_id: str,
    occurred_ms: int,
    evidence: Literal["door_opened", "grant", "recorded"],
    state: State,
    context: Context,
) -> Iterator[Outcome]:
    """Somebody passed: the event, and what it moves."""
    yield _taken(
        **_passage(pending, door_id, context),
        occurred_at=from_ms(occurred_ms),
        evidence=evidence,
    )
    if pending.cardholder_id is not None:
        holder = reference.cardholder(context.references, pending.cardholder_id)
        yield moved(pending, holder, state, context)


def moved(pending: Pending, holder: Cardholder | None, state: State, context: Context) -> Passed:
    """Where the cardholder of a passage is now, and what that uses up."""
    who = str(pending.cardholder_id)
    presence: Presence | None = state.get(presence_key(pending.site_id, who))
    references = context.references
    old = reference.zone_path(references, presence.zone_id) if presence and presence.zone_id else ()
    new = reference.zone_path(references, pending.zone_to)
    opens, day = None, ""
    if holder is not None and holder.first_person and pending.direction == _ENTRY:
        opens, day = pending.zone_to, _local_day(pending.site_id, context)
    return Passed(
        site_id=pending.site_id,
        cardholder_id=who,
        zone_to=pending.zone_to,
        at_ms=context.now_ms,
        leave=() if old == new else tuple([zone for zone in old if zone not in new]),
        enter=() if old == new else tuple([zone for zone in new if zone not in old]),
        escort=holder is not None and holder.escort,
        permission_id=pending.permission_id if pending.single_use else None,
        decision_id=pending.decision_id,
        opens=opens,
        opened_on=day,
    )


def _local_day(site_id: str, context: Context) -> str:
    site = reference.site(context.references, site_id)
    return local(context.now_ms, site.time_zone).date().isoformat() if site is not None else ""


def not_taken(pending: Pending, door_id: str, context: Context) -> AccessNotTaken:
    """Nobody passed."""
    return _not_taken(**_passage(pending, door_id, context), occurred_at=from_ms(context.now_ms))


def _passage(pending: Pending, door_id: str, context: Context) -> dict[str, Any]:
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
        "decided_at": from_ms(context.now_ms),
        "journal": journal_position(context),
    }
