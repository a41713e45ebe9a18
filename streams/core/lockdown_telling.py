"""What is told of a lockdown: each message has the whole of it."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.incidents import Incident, OpenPoint
from schemas.vocabulary import ThreatLevel
from streams.core.entities import zone_key
from streams.core.keeping import Draft
from streams.core.lockdown_state import Lockdown, lockdown_key
from streams.core.passage import journal_position
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

MOST_NAMED = 50
"""Doors that a message names; the counts are of all."""

_replace = msgspec.structs.replace


def tell(
    model: type[Incident], lockdown: Lockdown, state: State, context: Context, **seen: Any
) -> tuple[Lockdown, Any]:
    """A message with a lockdown as it stands, and the lockdown with that counted."""
    zone = state.get(zone_key(lockdown.zone_id))
    inside = zone.count if zone is not None else 0
    after = _replace(lockdown, transition=lockdown.transition + 1, inside=inside)
    points: list[OpenPoint] = seen.get("unconfirmed", [])
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
        reason=after.reason,
        cause=after.cause,
        cause_id=after.cause_id,
        operator_id=after.operator_id,
        started_at=from_ms(after.started_ms),
        doors=after.doors,
        confirmed=after.confirmed,
        secured=after.secured,
        unconfirmed=tuple(points[:MOST_NAMED]),
        propped=tuple(seen.get("propped", [])[:MOST_NAMED]),
        inside=inside,
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


def kept(lockdown: Lockdown, state: State) -> list[Outcome]:
    """A lockdown, to be remembered."""
    draft = Draft(state)
    draft.put(lockdown_key(lockdown.incident_id), lockdown)
    return draft.changes()
