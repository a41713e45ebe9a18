"""What an admitted controller reports that no other outcome tells of: its tamper contact, openings without a grant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.base import DeviceMessage
from schemas.devices import Tamper
from schemas.doors import DoorEvent, DoorOpened
from schemas.ids import derive, request_id
from schemas.places import Door
from streams.core.entities import DoorState, door_key
from streams.core.mode_state import DoorModes, mode_key
from streams.core.modes import FREE
from streams.core.processor import Arrival, Context, Outcome, State
from streams.core.threat_signs import Noticed
from streams.core.times import to_ms

TOLD_LATE_MS = 30_000
"""What a controller tells of later than this, by its own clock, it may have let in alone: its records come later."""

JUST_FREE_MS = 2_000
"""What a controller told of an opening may come so much later than its confirmation that the door is locked again."""


def tampered(message: DeviceMessage) -> Sequence[Outcome]:
    """A controller's tamper contact opened, if that is what it says."""
    if type(message) is not Tamper:
        return ()
    cause_id = request_id(message.device_id, message.boot, message.sequence)
    return (Noticed("tamper", message.site_id, message.device_id, message.type, cause_id),)


def notice_opening(message: DoorEvent, door: Door, state: State, cause: Arrival, context: Context) -> Iterator[Outcome]:
    """A door opened that nobody was let through, or again for a grant that somebody has taken already.

    What names another command was opened by an operator, or late. What the exit button released is nobody's entry, and
    a door that stands unlocked is open to everybody.
    """
    if not isinstance(message, DoorOpened) or not door.has_dps or _is_free(door.door_id, state, context):
        return
    found: DoorState = state.get(door_key(message.door_id)) or DoorState()
    cause_id = request_id(message.device_id, message.boot, message.sequence)
    last = found.last_passage
    if message.command_id is not None:
        if last is not None and message.command_id == derive("command", last.decision_id):
            yield Noticed(
                "tailgating_suspected", message.site_id, message.device_id, message.type, cause_id, message.door_id,
                last.decision_id, last.cardholder_id,
            )  # fmt: skip
        return
    late = cause.record.timestamp_ms - to_ms(message.occurred_at) > TOLD_LATE_MS
    if not found.pending and context.now_ms > found.exit_until_ms and not late:
        yield Noticed(
            "passage_without_decision", message.site_id, message.device_id, message.type, cause_id, message.door_id
        )


def _is_free(door_id: str, state: State, context: Context) -> bool:
    """Whether a door stands unlocked, or may still do so: its controller has not, or only just, locked it again."""
    modes: DoorModes | None = state.get(mode_key(door_id))
    if modes is None:
        return False
    just = not modes.confirmed_ms or context.now_ms - modes.confirmed_ms <= JUST_FREE_MS
    return modes.mode in FREE or (modes.previous in FREE and just)
