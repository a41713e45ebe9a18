"""The mode of a door, from all causes that concern it (E): a precedence lattice, and nothing else.

All active causes stay on record. The door's mode is that of the strongest one, so that it does not depend on the order
in which they came, and removing one gives what the others ask for. No mode concerns the way out: the controller lets
everybody out in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec

from schemas.door_modes import CauseKind
from schemas.vocabulary import DoorMode

PRECEDENCE: dict[str, int] = {kind: order for order, kind in enumerate(get_args(CauseKind), start=1)}
"""What asks for a mode, weakest first; `evacuation` is fire, too."""

CALM = DoorMode.LOCKED
"""A door's mode without any cause: shut, and opened for each grant."""

FREE = frozenset({DoorMode.UNLOCKED, DoorMode.LOCKED_OPEN})
"""Whoever wants to may pass a door in these modes, and nobody is asked."""

_STRICTNESS = {
    DoorMode.LOCKED_OPEN: 0,
    DoorMode.UNLOCKED: 1,
    DoorMode.LOCKED: 2,
    DoorMode.BLOCKED: 3,
    DoorMode.LOCKED_DOWN: 4,
}
_OPENING = {"evacuation", "emergency_opening"}
"""Where two causes of these are equal, the more open mode counts; of all others, the stricter."""


class ModeCause(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Something that asks for a mode: `(kind, cause_id)` names it, `rank` orders those of a kind, the highest first.

    `drill`: it is for practice, which changes nothing of what it does.
    """

    kind: CauseKind
    cause_id: str
    mode: DoorMode
    rank: int = 0
    since_ms: int = 0
    drill: bool = False


Causes = tuple[ModeCause, ...]
"""All active causes of a door, strongest first."""


def _strength(cause: ModeCause) -> tuple[int, int, int, str]:
    strictness = _STRICTNESS[cause.mode]
    return PRECEDENCE[cause.kind], cause.rank, -strictness if cause.kind in _OPENING else strictness, cause.cause_id


def ordered(causes: Iterable[ModeCause]) -> Causes:
    """Causes, strongest first."""
    return tuple(sorted(causes, key=_strength, reverse=True))


def with_cause(causes: Sequence[ModeCause], cause: ModeCause) -> Causes:
    """The causes with one more; it takes the place of the one of the same name."""
    return ordered((*without(causes, cause.kind, cause.cause_id), cause))


def without(causes: Iterable[ModeCause], kind: CauseKind, cause_id: str) -> Causes:
    """The causes without the one of that name, if it is there."""
    return tuple(one for one in causes if (one.kind, one.cause_id) != (kind, cause_id))


def find(causes: Iterable[ModeCause], kind: CauseKind, cause_id: str) -> ModeCause | None:
    """The cause of that name."""
    return next((one for one in causes if (one.kind, one.cause_id) == (kind, cause_id)), None)


def desired(causes: Sequence[ModeCause]) -> DoorMode:
    """The mode that a door should have; its causes are in order."""
    return causes[0].mode if causes else CALM


def rank_of(causes: Sequence[ModeCause]) -> tuple[int, int]:
    """The precedence of the strongest cause (0: none) and its rank within its kind."""
    return (PRECEDENCE[causes[0].kind], causes[0].rank) if causes else (0, 0)
