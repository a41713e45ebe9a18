"""What mode each door should have, why, and whether its controller has confirmed it."""

from __future__ import annotations

from typing import Literal

from schemas.base import Counter, Frozen, Id, JournalPosition, Message, Text, Timestamp
from schemas.vocabulary import DoorMode

CauseKind = Literal["schedule", "operator", "emergency_opening", "lockdown", "evacuation"]
Unconfirmed = Literal["controller_offline", "command_failed", "no_answer"]


class ActiveCause(Frozen):
    """Something that asks for a mode of a door; `rank` orders those of a kind, the highest first.

    `drill`: it is for practice.
    """

    kind: CauseKind
    cause_id: Id
    mode: DoorMode
    rank: int
    since: Timestamp
    drill: bool = False


class DoorModeDesired(Message):
    """A door's desired mode: that of the first of its active `causes`, which stand strongest first.

    `mode_epoch` rises with each change of the mode, `revision` with each of these messages of a door. `rank` is the
    precedence of the strongest cause: 0 none, 1 schedule, 2 operator, 3 emergency opening, 4 lockdown, 5 evacuation.
    `confirmed_at`: since then the controller is known to have set it; until then `unconfirmed` says, once it takes too
    long, why. `reported` is another mode than desired that the controller was found in, which is put right.
    """

    type: Literal["door_mode_desired"] = "door_mode_desired"
    site_id: Id
    device_id: Id
    door_id: Id
    mode: DoorMode
    mode_epoch: Counter
    rank: int
    causes: tuple[ActiveCause, ...] = ()
    since: Timestamp
    revision: Counter
    confirmed_at: Timestamp | None = None
    unconfirmed: Unconfirmed | None = None
    detail: Text = ""
    reported: DoorMode | None = None
    attempts: Counter = 0
    open: bool | None = None
    decided_at: Timestamp
    journal: JournalPosition
