"""Operators' requests to a site: signed, in time, once, and only with the right; every refusal says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.commands import AccessDoor
from schemas.door_modes import CauseKind
from schemas.ids import derive
from schemas.incidents import (
    DoorModeRequested,
    LockdownEffectiveRequested,
    LockdownEscalationRequested,
    LockdownReleaseRequested,
    LockdownRequested,
)
from schemas.operators import DoorUnlockRequested, LockoutEndRequested, OperatorRequest, PassbackForgiven
from schemas.places import Door
from streams.core import reference, threats
from streams.core.admission import Keys
from streams.core.checks import SHUT
from streams.core.entities import DoorState, door_key
from streams.core.lockdown_requests import request_effective, request_escalation, request_release, request_start
from streams.core.mode_control import Doors
from streams.core.modes import ModeCause, desired
from streams.core.operator_admission import Refused, accepted, decide_request
from streams.core.passage import next_sequence
from streams.core.presence import lose_presence
from streams.core.processor import Arrival, Context, Outcome, State
from streams.core.times import from_ms
from streams.core.unlocking import end_lockouts

UNLOCK_WITHIN_S = 10
"""How long a controller may still act on an unlock."""

_OPERATOR: CauseKind = "operator"
"""The kind of an operator's mode, and its name: a door has one, the last."""

RIGHTS = {
    "door_unlock_requested": "unlock",
    "passback_forgiven": "forgive_passback",
    "lockout_end_requested": "end_lockout",
    "door_mode_requested": "set_door_modes",
    "lockdown_requested": "start_lockdown",
    "lockdown_release_requested": "release_lockdown",
    "lockdown_escalation_requested": "start_lockdown",
    "lockdown_effective_requested": "override_lockdown",
}


def decide_operator(arrival: Arrival, state: State, context: Context, keys: Keys) -> Iterator[Outcome]:
    """What comes of an operator's request to the site; nothing of one to another processor."""
    if arrival.message.type in threats.RIGHTS:
        yield from decide_request(arrival, state, context, keys, threats.RIGHTS, threats.carry_out)
    elif arrival.message.type in RIGHTS:
        yield from decide_request(arrival, state, context, keys, RIGHTS, _carry_out)


def _carry_out(request: OperatorRequest, state: State, context: Context) -> Iterator[Outcome]:
    if isinstance(request, DoorUnlockRequested):
        command = _unlock(request, state, context)
        yield accepted(request, context, door_id=request.door_id, command_id=command.command_id)
        yield command
    elif isinstance(request, PassbackForgiven):
        who = request.cardholder_id
        if who is not None and reference.cardholder(context.references, who) is None:
            raise Refused("unknown_cardholder", f"cardholder {who} is not on file")
        yield accepted(request, context, cardholder_id=who)
        yield lose_presence(request.site_id, who, state, context)
    elif isinstance(request, LockoutEndRequested):
        yield from end_lockouts(request, state, context)
    elif isinstance(request, LockdownRequested):
        yield from request_start(request, state, context)
    elif isinstance(request, LockdownReleaseRequested):
        yield from request_release(request, state, context)
    elif isinstance(request, LockdownEscalationRequested):
        yield from request_escalation(request, state, context)
    elif isinstance(request, LockdownEffectiveRequested):
        yield from request_effective(request, state, context)
    elif isinstance(request, DoorModeRequested):
        yield from _set_mode(request, state, context)


def _set_mode(request: DoorModeRequested, state: State, context: Context) -> Iterator[Outcome]:
    door, doors = _door(request.site_id, request.door_id, context), Doors(state, context)
    if request.mode is None:
        if not doors.remove(door, _OPERATOR, _OPERATOR):
            raise Refused("not_possible", f"no operator has given {door.door_id} a mode")
    else:
        doors.add(door, ModeCause(_OPERATOR, _OPERATOR, request.mode, 0, context.now_ms))
    modes = doors.modes(door.door_id)
    yield accepted(request, context, door_id=door.door_id, mode=desired(modes.causes if modes is not None else ()))
    yield from doors.finish()


def _door(site_id: str, door_id: str, context: Context) -> Door:
    door = reference.door(context.references, door_id)
    if door is None or door.site_id != site_id:
        raise Refused("unknown_door", f"{site_id} has no door {door_id}")
    return door


def _unlock(request: DoorUnlockRequested, state: State, context: Context) -> AccessDoor:
    door = _door(request.site_id, request.door_id, context)
    found: DoorState = state.get(door_key(door.door_id)) or DoorState()
    if found.mode in SHUT:
        raise Refused(
            "not_possible",
            f"{door.door_id} is {found.mode}, which its controller opens for no operator: "
            f"`doorstream doors show {door.door_id}` names what has to end first",
        )
    return AccessDoor(
        command_id=derive("unlock", request.site_id, request.request_id),
        operator_request_id=request.request_id,
        site_id=request.site_id,
        device_id=door.device_id,
        door_id=door.door_id,
        sequence=next_sequence(found, context),
        mode_epoch=found.mode_epoch,
        issued_at=from_ms(context.now_ms),
        access_time_s=door.access_time_s,
        not_after=from_ms(context.now_ms + UNLOCK_WITHIN_S * 1000),
    )
