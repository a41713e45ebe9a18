"""What doors report that somebody should know of, as the site admitted it, and when it ended (M2)."""

from __future__ import annotations

from typing import Literal

from schemas.base import Id, JournalPosition, Message, Timestamp

Alarm = Literal["door_forced_open", "door_held_open", "door_pre_alarm"]


class DoorAlarm(Message):
    """What happened at a door (`event`), which alarms of it are `active` now, and which have `ended` by it.

    `cause_id` is the id of the controller's message. The last passage is the last one that was granted and taken there:
    who may be standing in the door.
    """

    type: Literal["door_alarm"] = "door_alarm"
    alarm_id: Id
    event: Literal["door_forced_open", "door_held_open", "door_pre_alarm", "door_held_open_cleared", "door_closed"]
    active: tuple[Alarm, ...] = ()
    ended: tuple[Alarm, ...] = ()
    site_id: Id
    device_id: Id
    door_id: Id
    cause_id: Id
    last_decision_id: Id | None = None
    last_cardholder_id: Id | None = None
    last_passed_at: Timestamp | None = None
    occurred_at: Timestamp
    decided_at: Timestamp
    journal: JournalPosition
