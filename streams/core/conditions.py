"""When a change of something that can be wrong is told, and when it has changed so often that it is not (M1).

Damped as BGP (RFC 2439) and monitoring systems do it: what changes more often than the policy allows is told once as
flapping; its later changes are kept and not told; once it has kept still for a whole window, that is told, and what it
is now where that differs from what was last told. So nothing is told twice, and the last word is always right.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec

from streams.core.watched import Condition, Number


class Told(Enum):
    """What is to be told of a condition."""

    ON = "on"
    OFF = "off"
    FLAPPING = "flapping"
    SETTLED = "settled"


class Damping(NamedTuple):
    """More than `changes` within `window_ms` is flapping."""

    changes: int
    window_ms: int


Step = tuple[Condition, tuple[Told, ...]]
_replace = msgspec.structs.replace


def _word(condition: Condition) -> Told:
    return Told.ON if condition.on else Told.OFF


def put(old: Condition, *, on: bool, at_ms: int, number: Number, damping: Damping, detail: str = "") -> Step:
    """A condition as of a message or deadline; a message that is older than what is known changes nothing."""
    if number < old.number:
        return old, ()
    detail = detail if on else ""
    if on is old.on:
        if number == old.number and detail == old.detail:
            return old, ()
        return _replace(old, number=number, detail=detail), ()
    at_ms = max(at_ms, old.changes[-1] if old.changes else at_ms)
    # What came before its deadline was served, as in a backlog: it had settled by then.
    old, told = settle(old, at_ms)
    recent = tuple(moment for moment in old.changes if moment > at_ms - damping.window_ms)
    changes = (*recent, at_ms)[-damping.changes - 1 :]
    new = _replace(old, on=on, since_ms=at_ms, number=number, changes=changes, detail=detail)
    if old.until_ms:
        return _replace(new, until_ms=at_ms + damping.window_ms), ()
    if len(changes) > damping.changes:
        return _replace(new, until_ms=at_ms + damping.window_ms), (*told, Told.FLAPPING)
    return _replace(new, told=on), (*told, _word(new))


def settle(old: Condition, at_ms: int) -> Step:
    """A flapping condition at a deadline: told where it has kept still since."""
    if not old.until_ms or at_ms < old.until_ms:
        return old, ()
    new = _replace(old, until_ms=0, changes=(), told=old.on)
    return new, (Told.SETTLED,) if old.told is old.on else (Told.SETTLED, _word(new))


def forgettable(condition: Condition, at_ms: int, damping: Damping) -> bool:
    """Whether nothing is wrong or untold, and nothing has changed lately."""
    if condition.on or condition.told or condition.until_ms:
        return False
    return not condition.changes or condition.changes[-1] <= at_ms - damping.window_ms
