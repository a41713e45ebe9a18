"""Door events: what the door position switch, the lock and the exit button tell."""

from __future__ import annotations

from typing import Literal

from schemas.base import DeviceMessage, Id


class DoorEvent(DeviceMessage):
    """An event of one door."""

    door_id: Id


class DoorOpened(DoorEvent):
    """The door position switch opened after a grant or a request to exit."""

    type: Literal["door_opened"] = "door_opened"
    command_id: Id | None = None


class DoorClosed(DoorEvent):
    """The door position switch closed."""

    type: Literal["door_closed"] = "door_closed"


class DoorForcedOpen(DoorEvent):
    """The door opened without a grant or a request to exit."""

    type: Literal["door_forced_open"] = "door_forced_open"


class DoorPreAlarm(DoorEvent):
    """The door will soon have been open for too long."""

    type: Literal["door_pre_alarm"] = "door_pre_alarm"


class DoorHeldOpen(DoorEvent):
    """The door has been open for too long."""

    type: Literal["door_held_open"] = "door_held_open"


class DoorHeldOpenCleared(DoorEvent):
    """A door that was held open is closed."""

    type: Literal["door_held_open_cleared"] = "door_held_open_cleared"


class NoEntryAfterGranted(DoorEvent):
    """The controller opened for a grant and nobody went in."""

    type: Literal["no_entry_after_granted"] = "no_entry_after_granted"
    command_id: Id | None = None


class RequestToExit(DoorEvent):
    """The exit button or sensor (REX): the controller has opened already, without asking."""

    type: Literal["request_to_exit"] = "request_to_exit"
