"""Operators' requests to a site: signed, in time, once, and only with the right; every refusal says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.commands import AccessDoor
from schemas.ids import derive
from schemas.operators import DoorUnlockRequested, LockoutEndRequested, OperatorRequest, PassbackForgiven
from streams.core import reference
from streams.core.admission import Keys
from streams.core.entities import DoorState, door_key
from streams.core.operator_admission import Refused, accepted, decide_request
from streams.core.passage import next_sequence
from streams.core.presence import lose_presence
from streams.core.processor import Arrival, Context, Outcome, State
from streams.core.times import from_ms
from streams.core.unlocking import end_lockouts

UNLOCK_WITHIN_S = 10
"""How long a controller may still act on an unlock."""

RIGHTS = {
    "door_unlock_requested": "unlock",
    "passback_forgiven": "forgive_passback",
    "lockout_end_requested": "end_lockout",
}


def decide_operator(arrival: Arrival, state: State, context: Context, keys: Keys) -> Iterator[Outcome]:
    """What comes of an operator's request to the site; nothing of one to another processor."""
    if arrival.message.type in RIGHTS:
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


def _unlock(request: DoorUnlockRequested, state: State, context: Context) -> AccessDoor:
    door = reference.door(context.references, request.door_id)
    if door is None or door.site_id != request.site_id:
        raise Refused("unknown_door", f"{request.site_id} has no door {request.door_id}")
    found: DoorState = state.get(door_key(door.door_id)) or DoorState()
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
