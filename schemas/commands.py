"""Commands to controllers (ONVIF names): the dangerous messages, each authenticated with the device's key."""

from __future__ import annotations

from typing import Literal

from schemas.base import Counter, Id, Message, RequestNumber, Timestamp
from schemas.vocabulary import Display, DoorMode


class Command(Message):
    """What all commands share. `command_id` is derived from the cause, so a repeat is recognised."""

    command_id: Id
    site_id: Id
    device_id: Id
    issued_at: Timestamp


class AccessDoor(Command):
    """Open the door once, for a request that the controller still has pending, or (unsolicited) before `not_after`.

    `sequence` rises per door; `mode_epoch` is the door mode that the decision knew; `access_time_s` is how long the
    lock stays released; `override` lets a responder through a locked-down door.
    """

    type: Literal["access_door"] = "access_door"
    decision_id: Id | None = None
    operator_request_id: Id | None = None
    door_id: Id
    access_point_id: Id | None = None
    sequence: Counter
    mode_epoch: Counter
    request: RequestNumber | None = None
    access_time_s: int
    override: bool = False
    not_after: Timestamp | None = None


class ShowDisplay(Command):
    """Show a code at the reader, for a request that was denied."""

    type: Literal["display"] = "display"
    decision_id: Id
    access_point_id: Id
    code: Display
    request: RequestNumber


class SyncPermissions(Command):
    """Take that version of the permission snapshot from `device.snapshots`, or a later one, and tell it by a heartbeat.

    Confirmed when the controller holds it. It is absolute: to do so again changes nothing.
    """

    type: Literal["sync_permissions"] = "sync_permissions"
    version: Counter


class Probe(Command):
    """Tell how you are: answered with a `heartbeat` that has the command's id as its `probe_id` (M1).

    `issued_at` is the server's time, by which a controller sets what `not_after` of later commands means.
    """

    type: Literal["probe"] = "probe"


class ModeCommand(Command):
    """Set a door's mode. Absolute: a higher `mode_epoch` is applied from any mode, a lower one is void.

    `mode` is what now applies, whatever the command's name; `sequence` rises per door with all of its commands.
    """

    door_id: Id
    sequence: Counter
    mode_epoch: Counter
    mode: DoorMode


class LockDoor(ModeCommand):
    """Shut, and opened for each grant."""

    type: Literal["lock_door"] = "lock_door"


class UnlockDoor(ModeCommand):
    """Open to everybody until another mode applies."""

    type: Literal["unlock_door"] = "unlock_door"


class BlockDoor(ModeCommand):
    """Shut for entry, without exception; free to leave."""

    type: Literal["block_door"] = "block_door"


class LockDownDoor(ModeCommand):
    """Shut for entry but for responders (`override`); free to leave."""

    type: Literal["lock_down_door"] = "lock_down_door"


class LockDownReleaseDoor(ModeCommand):
    """The lockdown of that door is over: `mode` now applies."""

    type: Literal["lock_down_release_door"] = "lock_down_release_door"


class LockOpenDoor(ModeCommand):
    """Open, whatever else would shut it: evacuation or emergency opening."""

    type: Literal["lock_open_door"] = "lock_open_door"


class LockOpenReleaseDoor(ModeCommand):
    """Held open no longer: `mode` now applies."""

    type: Literal["lock_open_release_door"] = "lock_open_release_door"
