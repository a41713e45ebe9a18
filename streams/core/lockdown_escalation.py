"""A lockdown that is escalated (E2): the same one, of a larger scope, from the very next message on."""

from __future__ import annotations

import msgspec

from schemas.incidents import LockdownEscalated
from schemas.vocabulary import ThreatLevel
from streams.core.keeping import Draft
from streams.core.lockdown_state import Escalated, Lockdown
from streams.core.lockdown_telling import doors_of, observed, tell
from streams.core.lockdowns import LOOK_MS, apply_part, cut, doors_in, put_in_force, scope_of
from streams.core.mode_control import Doors
from streams.core.operator_admission import Refused
from streams.core.processor import Context, Outcome, State

_replace = msgspec.structs.replace


def escalate(
    lockdown: Lockdown, level: ThreatLevel, operator_id: str, reason: str, state: State, context: Context
) -> list[Outcome]:
    """Extend a lockdown to the scope of a higher level, around its present one.

    What had been reached for the smaller scope is open again: confirmed, secured, effective, the first of two
    all-clears; and the time that people have to leave, and that until it ends by itself, begin anew. Doors that are
    locked down stay so, without another command.

    Raises:
        Refused: the level is none above its own, or leads to no larger scope.
    """
    had = ThreatLevel(lockdown.level)
    if level.rank <= had.rank:
        raise Refused("not_possible", f"{lockdown.incident_id} is at {had} already: only a higher level escalates it")
    try:
        zone_id = scope_of(context.references, lockdown.site_id, lockdown.zone_id, level)
    except Refused as refused:
        if refused.code != "not_possible":
            raise
        zone_id = lockdown.zone_id  # where there is no floor, a medium one covers more than a high one would
    if zone_id == lockdown.zone_id:
        raise Refused(
            "not_possible", f"{lockdown.incident_id} covers {zone_id} already, which is what {level} locks down"
        )
    now_ms, since_ms, draft = context.now_ms, lockdown.since_ms, Draft(state)
    doors = sorted({*doors_of(lockdown, state), *doors_in(context.references, zone_id)})
    after = _replace(
        lockdown,
        zone_id=zone_id,
        level=level,
        clear_ms=now_ms + lockdown.clear_ms - since_ms,
        auto_ms=now_ms + lockdown.auto_ms - since_ms if lockdown.auto_ms else 0,
        doors=len(doors),
        slices=cut(draft, lockdown.incident_id, doors),
        applied=0,
        confirmed_ms=0,
        secured_ms=0,
        effective_ms=0,
        effective_by=None,
        effective_reason="",
        approved=(),
        next_ms=now_ms + LOOK_MS,
        escalations=(*lockdown.escalations, Escalated(now_ms, lockdown.zone_id, had, operator_id, reason)),
    )
    put_in_force(draft, after, lockdown.zone_id)
    counted, seen = observed(after, draft, context)
    told, event = tell(LockdownEscalated, counted, state, context, seen)
    return [event, *apply_part(told, Doors(state, context, draft))]
