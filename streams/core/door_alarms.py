"""Door alarms (M2): what an admitted controller reports that somebody should know of, and when it is over.

They are published by the site, which alone knows which messages are a controller's own: whoever acts on alarms needs no
keys, and a stranger's event raises none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from schemas.base import DeviceMessage
from schemas.devices import Heartbeat
from schemas.door_alarms import Alarm, DoorAlarm
from schemas.doors import DoorClosed, DoorEvent, DoorForcedOpen, DoorHeldOpen, DoorHeldOpenCleared, DoorPreAlarm
from schemas.ids import derive, request_id
from streams.core import reference
from streams.core.entities import DoorState, door_key
from streams.core.numbering import number_of
from streams.core.passage import journal_position
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

_RAISES: dict[type, Alarm] = {
    DoorForcedOpen: "door_forced_open",
    DoorPreAlarm: "door_pre_alarm",
    DoorHeldOpen: "door_held_open",
}
_HELD: tuple[Alarm, ...] = ("door_held_open", "door_pre_alarm")


def decide_door_alarm(message: DoorEvent, state: State, context: Context) -> Iterator[Outcome]:
    """What a door event of an admitted controller means for the alarms of its door."""
    found: DoorState = state.get(door_key(message.door_id)) or DoorState()
    raised = _RAISES.get(type(message))
    if raised is not None:
        yield _alarm(message, message.door_id, raised, found, (), context)
    elif found.alarms and isinstance(message, DoorClosed | DoorHeldOpenCleared):
        closed = isinstance(message, DoorClosed)
        ended = tuple(alarm for alarm in found.alarms if closed or alarm in _HELD)
        if ended:
            event: Any = "door_closed" if closed else "door_held_open_cleared"
            yield _alarm(message, message.door_id, event, found, ended, context)


def decide_alarms_of_heartbeat(message: Heartbeat, state: State, context: Context) -> Iterator[Outcome]:
    """A door that is shut has no alarm, also where the message that said so was lost."""
    for told in message.doors:
        found: DoorState | None = state.get(door_key(told.door_id)) if told.open is False else None
        if found is not None and found.alarms and number_of(message, context).follows(found.told):
            door = reference.door(context.references, told.door_id)
            if door is not None and door.device_id == message.device_id:
                yield _alarm(message, told.door_id, "door_closed", found, found.alarms, context)


def _alarm(
    message: DeviceMessage,
    door_id: str,
    event: Alarm | Literal["door_closed", "door_held_open_cleared"],
    door: DoorState,
    ended: tuple[str, ...],
    context: Context,
) -> DoorAlarm:
    kept: list[Any] = [alarm for alarm in door.alarms if alarm not in ended]
    over: Any = ended
    if event in _RAISES.values() and event not in kept:
        kept.append(event)
    last = door.last_passage
    return DoorAlarm(
        alarm_id=derive("alarm", message.device_id, message.boot, message.sequence, door_id),
        event=event,
        active=tuple(kept),
        ended=over,
        site_id=message.site_id,
        device_id=message.device_id,
        door_id=door_id,
        cause_id=request_id(message.device_id, message.boot, message.sequence),
        last_decision_id=last.decision_id if last is not None else None,
        last_cardholder_id=last.cardholder_id if last is not None else None,
        last_passed_at=from_ms(last.at_ms) if last is not None else None,
        occurred_at=message.occurred_at,
        decided_at=from_ms(context.now_ms),
        journal=journal_position(context),
    )
