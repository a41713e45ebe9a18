"""What waits at a controller's readers, and when its door may open for it: by a command, or by the controller alone.

Both are asked of facts alone (`docs/controllers.md`): a command's own, the lock's memory, and the controller's timer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.commands import AccessDoor
from schemas.factors import Factor
from schemas.places import AccessPoint
from schemas.vocabulary import Direction, Reason
from streams.simulator.factors import CardShown, Shown
from streams.simulator.lock import SHUT, Lock, Moment
from streams.simulator.vault import Vault

PENDING_S = 10.0
"""How long a request stays pending, by the controller's own timer."""

LATE_S = 0.5
"""How much later than that the controller's timer may notice it."""

Mode = Literal["deny", "facility_code", "snapshot"]

FailureReason = Literal[
    "not_pending", "stale_sequence", "stale_epoch", "invalid_signature", "locked_down", "expired", "fault"
]


@dataclass
class Waiting:
    """A request that somebody waits for: what was shown, to the reader and as it travels, and since when.

    `let_out`: the lock was released for it already, as the door is shut for entry and free to leave.
    """

    point: AccessPoint
    shown: tuple[Shown, ...]
    factors: tuple[Factor, ...]
    since: Moment
    degraded: bool = False
    let_out: bool = False


def free_egress(point: AccessPoint, lock: Lock) -> bool:
    """Whether whoever leaves there is never asked."""
    return point.direction is Direction.EGRESS and lock.door.egress == "free"


def refusal(
    command: AccessDoor, waiting: Waiting | None, lock: Lock, server_time: datetime, now: Moment
) -> FailureReason | None:
    """Why a command opens nothing, or None. `waiting`: the request that it names, where that is still pending."""
    memory = lock.memory
    if command.mode_epoch < memory.mode_epoch:
        return "stale_epoch"
    if memory.mode in SHUT and not (command.override and command.mode_epoch == memory.mode_epoch):
        return "locked_down"
    if command.request is None:
        in_time = command.not_after is not None and server_time <= command.not_after
        return None if in_time else "expired"
    if waiting is None or waiting.point.door_id != command.door_id:
        return "not_pending"
    return "not_pending" if now.timer_s - waiting.since.timer_s >= PENDING_S else None


def decide_alone(
    waiting: Waiting, lock: Lock, vault: Vault, secret: bytes, server_time: datetime, now: Moment
) -> tuple[Reason | None, Mode]:
    """Why nobody may pass, or None; and what decided. A snapshot that has ended decides nothing."""
    mode = lock.door.degraded_mode
    if free_egress(waiting.point, lock):
        return None, mode
    if lock.memory.mode in SHUT:
        return Reason.LOCKDOWN, mode
    if now.timer_s - waiting.since.timer_s > PENDING_S + LATE_S:
        return Reason.STALE_REQUEST, "deny"  # the timer stood still, and nobody waits there any more
    if mode == "snapshot" and vault.holds_until(server_time):
        return vault.decide(secret, waiting.point.access_point_id, waiting.shown, waiting.since.clock), mode
    if mode != "facility_code":
        return Reason.AUTHENTICATION_UNAVAILABLE, "deny"
    codes = {one.facility_code for one in waiting.shown if isinstance(one, CardShown)}
    return None if codes & set(lock.door.facility_codes) else Reason.AUTHENTICATION_UNAVAILABLE, mode
