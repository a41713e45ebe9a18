"""The course of a lockdown (E2): its doors are locked in parts, looked at until all is so, and watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.incidents import LockdownConfirmed, LockdownEffective, LockdownProgress, LockdownReleased
from streams.core.keeping import Draft
from streams.core.lockdown_state import Lockdown, lockdown_doors_key, lockdown_key
from streams.core.lockdown_telling import doors_of, kept, observed, tell
from streams.core.lockdowns import LOOK_MS, apply_part, cut, doors_in, release
from streams.core.mode_control import Doors
from streams.core.processor import Context, Outcome, References, State

WATCH_MS = 5_000
"""How often the doors of a lockdown that all have confirmed are looked at."""

DOORS_LOOKED_AT_PER_MS = 5
"""A look takes some microseconds for each door: where there are many it is rarer, so as to delay nobody else."""

_replace = msgspec.structs.replace


def lockdown_deadline(lockdown: Lockdown) -> int:
    """When a lockdown goes on. Parts that wait are due in any case, one after the other, also in a backlog."""
    if lockdown.applied < lockdown.slices:
        return lockdown.applied
    return min(lockdown.next_ms, lockdown.auto_ms) if lockdown.auto_ms else lockdown.next_ms


def go_on(key: str, state: State, context: Context) -> list[Outcome]:
    """The next part of a lockdown's doors, its automatic release, or a look at all of them."""
    lockdown: Lockdown | None = state.get(key)
    if lockdown is None:
        return []
    if lockdown.applied < lockdown.slices:
        return apply_part(lockdown, Doors(state, context))
    if lockdown.auto_ms and lockdown.auto_ms <= context.now_ms:
        return release(lockdown, "its time is over", (), state, context)
    if not lockdown.releasing_ms and (more := _more_doors(lockdown, state, context.references)):
        return _grown(lockdown, more, state, context)
    return _look(lockdown, state, context)


def _more_doors(lockdown: Lockdown, state: State, references: References) -> list[str]:
    """Doors that lead into a lockdown's zone since the reference data changed, and are none of it yet."""
    return sorted({*doors_in(references, lockdown.zone_id)}.difference(doors_of(lockdown, state)))


def _grown(lockdown: Lockdown, more: Sequence[str], state: State, context: Context) -> list[Outcome]:
    """A lockdown with more doors, which are commanded next. What was reached before them stays reached."""
    draft = Draft(state)
    slices = cut(draft, lockdown.incident_id, more, had=lockdown.slices)
    after = _replace(lockdown, doors=lockdown.doors + len(more), slices=slices, next_ms=context.now_ms + LOOK_MS)
    counted, seen = observed(after, draft, context)
    told, event = tell(LockdownProgress, counted, state, context, seen)
    return [event, *apply_part(told, Doors(state, context, draft))]


def _look(lockdown: Lockdown, state: State, context: Context) -> list[Outcome]:
    now_ms = context.now_ms
    after, seen = observed(lockdown, state, context)
    moved = _counts(after) != _counts(lockdown)
    all_confirmed = after.confirmed == after.doors
    outcomes: list[Outcome] = []

    def say(model: Any) -> None:
        nonlocal after
        after, event = tell(model, after, state, context, seen)
        outcomes.append(event)

    if lockdown.releasing_ms:
        if all_confirmed:
            after = _replace(after, released_ms=now_ms)
            say(LockdownReleased)
            return [*outcomes, *_forgotten(lockdown, state)]
        if moved:
            say(LockdownProgress)
        return [*outcomes, *kept(_replace(after, next_ms=now_ms + _look_ms(after)), state)]
    if after.secured == after.doors and not after.secured_ms:
        after = _replace(after, secured_ms=max(now_ms, seen.last_ms))
        moved = True
    if all_confirmed and not after.confirmed_ms:
        after = _replace(after, confirmed_ms=seen.last_ms or now_ms)
        say(LockdownConfirmed)
    else:
        people = state.get(f"zone/{lockdown.zone_id}")
        if moved or (people.count if people is not None else 0) != lockdown.inside:
            say(LockdownProgress)
    if not after.effective_ms and _is_effective(after, now_ms):
        after = _replace(after, effective_ms=now_ms)
        say(LockdownEffective)
    wait_ms = WATCH_MS if after.secured == after.doors and after.effective_ms else _look_ms(after)
    return [*outcomes, *kept(_replace(after, next_ms=now_ms + wait_ms), state)]


def _look_ms(lockdown: Lockdown) -> int:
    return max(LOOK_MS, lockdown.doors // DOORS_LOOKED_AT_PER_MS)


def _counts(lockdown: Lockdown) -> tuple[int, int, int]:
    return lockdown.confirmed, lockdown.secured, lockdown.missing


def _is_effective(lockdown: Lockdown, now_ms: int) -> bool:
    """Every door is confirmed, or somebody was told why not; and nobody is to leave, is left, or has time left to."""
    if lockdown.confirmed + lockdown.missing < lockdown.doors:
        return False
    return lockdown.occupants == "shelter" or lockdown.inside == 0 or lockdown.clear_ms <= now_ms


def _forgotten(lockdown: Lockdown, state: State) -> list[Outcome]:
    draft = Draft(state)
    draft.put(lockdown_key(lockdown.incident_id), None)
    for number in range(lockdown.slices):
        draft.put(lockdown_doors_key(lockdown.incident_id, number), None)
    return draft.changes()
