"""What somebody is told of lockdowns and of doors' modes: their start, their confirmation, their end, and failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.door_modes import DoorModeDesired
from schemas.ids import derive
from schemas.incidents import (
    Incident,
    LockdownConfirmed,
    LockdownEscalated,
    LockdownReleased,
    LockdownReleasing,
    LockdownStarted,
)
from streams.core.troubles import LONGEST_SUMMARY, Ended, Event, Tellers, Trouble

UNCONFIRMED, DRIFT = "door_mode_unconfirmed", "door_mode_drift"
LOCKDOWN, CONFIRMED, DRILL, ALL_CLEAR = "lockdown", "lockdown_confirmed", "lockdown_drill", "lockdown_over"
ESCALATED = "lockdown_escalated"
_DRILL = "Drill: "
_WHY = {
    "controller_offline": "its controller is offline",
    "command_failed": "its controller refused the command",
    "no_answer": "its controller does not answer",
}


def _mode(message: DoorModeDesired) -> Iterator[Event]:
    door = message.door_id
    at = {"site_id": message.site_id, "type": message.type, "place": door, "door_id": door}
    at["device_id"] = message.device_id
    cause_id = derive("door_mode", door, message.mode_epoch, message.revision)
    drill = _DRILL if _for_practice(message) else ""
    if message.confirmed_at is not None:
        yield Ended(message.site_id, UNCONFIRMED, door)
        yield Ended(message.site_id, DRIFT, door)
    elif message.unconfirmed is not None:
        why = _WHY[message.unconfirmed]
        detail = f" ({message.detail})" if message.detail else ""
        summary = f"{drill}{door} is not known to be {message.mode.replace('_', ' ')}: {why}{detail}"
        yield _trouble(UNCONFIRMED, door, cause_id, summary, at)
    if message.reported is not None:
        summary = (
            f"{drill}{door} was {message.reported.replace('_', ' ')} and is to be {message.mode.replace('_', ' ')}"
        )
        yield _trouble(DRIFT, door, cause_id, summary, at)


def _for_practice(message: DoorModeDesired) -> bool:
    """Whether a drill, and nothing real, has given a door its mode."""
    first = message.causes[0].kind if message.causes else None
    return first is not None and all(one.drill for one in message.causes if one.kind == first)


def _incident(message: Incident) -> Iterator[Event]:
    where, zone = message.incident_id, message.zone_id
    at = {"site_id": message.site_id, "type": getattr(message, "type", "?"), "place": zone}
    cause_id = derive("incident", where, message.transition)
    if message.drill:
        if isinstance(message, LockdownStarted):
            commanded = ", which are locked down for it" if message.drill_commands else ""
            summary = f"{_DRILL}lockdown of {zone}, {message.doors} doors{commanded}"
            yield _trouble(DRILL, where, cause_id, summary, at, clears=False)
    elif isinstance(message, LockdownStarted):
        summary = f"Lockdown of {zone}, {message.doors} doors: {message.guard_notice}"
        yield _trouble(LOCKDOWN, where, cause_id, summary, at)
    elif isinstance(message, LockdownEscalated):
        last = message.escalations[-1]
        summary = f"The lockdown of {last.zone_id} is now one of {zone}, {message.doors} doors: {last.reason}"
        yield _trouble(ESCALATED, _within(message), cause_id, summary, at)
        yield Ended(message.site_id, CONFIRMED, _within(message, before=1))
    elif isinstance(message, LockdownConfirmed):
        propped = f", {len(message.propped)} of them stand open" if message.propped else ""
        summary = f"Lockdown of {zone}: all {message.doors} doors have confirmed{propped}"
        yield _trouble(CONFIRMED, _within(message), cause_id, summary, at)
    elif isinstance(message, LockdownReleasing):
        summary = f"The lockdown of {zone} is over: {message.release_reason}"
        yield _trouble(ALL_CLEAR, where, cause_id, summary, at, clears=False)
        yield Ended(message.site_id, CONFIRMED, _within(message))
    elif isinstance(message, LockdownReleased):
        yield Ended(message.site_id, LOCKDOWN, where)
        for before in range(len(message.escalations)):
            yield Ended(message.site_id, ESCALATED, _within(message, before))


def _within(message: Incident, before: int = 0) -> str:
    """What names a lockdown of one scope: the present one, or the one so many escalations before."""
    steps = len(message.escalations) - before
    return f"{message.incident_id}/{steps}" if steps else message.incident_id


def _trouble(kind: str, where: str, cause_id: str, summary: str, at: dict[str, Any], *, clears: bool = True) -> Trouble:
    return Trouble(kind=kind, where=where, cause_id=cause_id, summary=summary[:LONGEST_SUMMARY], clears=clears, **at)


TELLERS: Tellers = {DoorModeDesired: _mode, Incident: _incident}
"""What is told of lockdowns and of doors' modes."""
