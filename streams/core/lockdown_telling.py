"""What is told of a lockdown, and how its doors stand: each message has the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.incidents import Escalation, Incident, OpenPoint
from schemas.vocabulary import ThreatLevel
from streams.core import reference
from streams.core.entities import DoorState, door_key, zone_key
from streams.core.keeping import Draft
from streams.core.lockdown_state import Escalated, Lockdown, LockdownDoors, lockdown_doors_key, lockdown_key
from streams.core.mode_state import DoorModes, mode_key
from streams.core.modes import find
from streams.core.passage import journal_position
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

MOST_NAMED = 50
"""Doors that a message names; the counts are of all."""

_replace = msgspec.structs.replace


class Seen(msgspec.Struct):
    """What a look at a lockdown's doors found: the first of those to be named, and when the last of all confirmed."""

    unconfirmed: list[OpenPoint] = []
    propped: list[str] = []
    last_ms: int = 0


def observed(lockdown: Lockdown, state: State, context: Context) -> tuple[Lockdown, Seen]:
    """A lockdown with its doors counted. Unconfirmed are those whose turn has not come, too.

    Of the others, some stand open (`propped`), and of some nobody knows whether they do.
    """
    seen, unconfirmed, unsecured, missing = Seen(), 0, 0, 0
    for door_id in () if lockdown.told_only else doors_of(lockdown, state):
        door = reference.door(context.references, door_id)
        if door is None:
            continue
        modes: DoorModes = state.get(mode_key(door_id)) or DoorModes(door.site_id)
        seen.last_ms = max(seen.last_ms, modes.confirmed_ms)
        locked = find(modes.causes, "lockdown", lockdown.incident_id) is not None
        if locked == bool(lockdown.releasing_ms) or (modes.epoch and not modes.confirmed_ms):
            unconfirmed += 1
            missing += modes.refused is not None
            if unconfirmed <= MOST_NAMED:
                seen.unconfirmed.append(OpenPoint(door_id=door_id, device_id=door.device_id, why=modes.refused))
        elif door.has_dps:
            found: DoorState | None = state.get(door_key(door_id))
            stands_open = found.open if found is not None else None
            unsecured += stands_open is not False
            if stands_open and len(seen.propped) < MOST_NAMED:
                seen.propped.append(door_id)
    confirmed = lockdown.doors - unconfirmed
    return _replace(lockdown, confirmed=confirmed, secured=confirmed - unsecured, missing=missing), seen


def doors_of(lockdown: Lockdown, state: State) -> Iterator[str]:
    """The doors of a lockdown, part by part."""
    for number in range(lockdown.slices):
        part: LockdownDoors | None = state.get(lockdown_doors_key(lockdown.incident_id, number))
        if part is not None:
            yield from part.doors


def tell(
    model: type[Incident], lockdown: Lockdown, state: State, context: Context, seen: Seen | None = None
) -> tuple[Lockdown, Any]:
    """A message with a lockdown as it stands, and the lockdown with that counted."""
    zone = state.get(zone_key(lockdown.zone_id))
    inside = zone.count if zone is not None else 0
    after = _replace(lockdown, transition=lockdown.transition + 1, inside=inside)
    seen = seen or Seen()
    moments = {
        name: from_ms(moment) if moment else None
        for name, moment in (
            ("confirmed_at", after.confirmed_ms),
            ("secured_at", after.secured_ms),
            ("effective_at", after.effective_ms),
            ("auto_release_at", after.auto_ms),
            ("releasing_at", after.releasing_ms),
            ("released_at", after.released_ms),
        )
    }
    event = model(
        incident_id=after.incident_id,
        site_id=after.site_id,
        zone_id=after.zone_id,
        threat_level=ThreatLevel(after.level),
        plan_id=after.plan_id,
        rank=after.rank,
        occupants=after.occupants,
        drill=after.drill,
        drill_commands=after.drill_commands,
        reason=after.reason,
        cause=after.cause,
        cause_id=after.cause_id,
        operator_id=after.operator_id,
        started_at=from_ms(after.started_ms),
        doors=after.doors,
        confirmed=after.confirmed,
        secured=after.secured,
        unconfirmed=tuple(seen.unconfirmed),
        propped=tuple(seen.propped),
        inside=inside,
        effective_by=after.effective_by,
        effective_reason=after.effective_reason,
        escalations=tuple(map(_shown, after.escalations)),
        approved_by=after.approved,
        release_reason=after.release_reason,
        notice=after.notice,
        guard_notice=after.guard_notice,
        transition=after.transition,
        decided_at=from_ms(context.now_ms),
        journal=journal_position(context),
        **moments,
    )
    return after, event


def _shown(one: Escalated) -> Escalation:
    return Escalation(
        at=from_ms(one.at_ms),
        zone_id=one.zone_id,
        threat_level=ThreatLevel(one.level),
        operator_id=one.operator_id,
        reason=one.reason,
    )


def kept(lockdown: Lockdown, state: State) -> list[Outcome]:
    """A lockdown, to be remembered."""
    draft = Draft(state)
    draft.put(lockdown_key(lockdown.incident_id), lockdown)
    return draft.changes()
