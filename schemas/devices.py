"""Device events and the results of commands."""

from __future__ import annotations

from typing import Literal

from schemas.base import Counter, DeviceMessage, Frozen, Id, Text
from schemas.vocabulary import DoorMode


class DoorState(Frozen):
    """A door as its controller sees it."""

    door_id: Id
    mode: DoorMode
    mode_epoch: Counter = 0
    open: bool | None = None


class DeviceFault(Frozen):
    """What is broken in a device: `code` tells one fault from another."""

    code: Id
    detail: Text = ""


class Heartbeat(DeviceMessage):
    """The controller lives; `doors` tells each door's mode and position where it knows.

    `probe_id` answers the `probe` command of that id. What else is told is the whole state: `faults` all that there
    are. What a controller leaves out stays as it was. `snapshot_version` is the version of the permission snapshot that
    it holds, `none` before its first.
    """

    type: Literal["heartbeat"] = "heartbeat"
    doors: tuple[DoorState, ...] = ()
    probe_id: Id | None = None
    faults: tuple[DeviceFault, ...] | None = None
    tamper: bool | None = None
    power_failure: bool | None = None
    battery_low: bool | None = None
    snapshot_version: Id | None = None


class Announced(DeviceMessage):
    """A controller says that it exists: at each start, and when nobody knows it yet."""

    type: Literal["announced"] = "announced"
    model: Text = ""
    firmware: Text = ""


class ControllerOnline(DeviceMessage):
    """The controller reaches the server again."""

    type: Literal["controller_online"] = "controller_online"


class ControllerOffline(DeviceMessage):
    """The controller lost the server (sent when it is back)."""

    type: Literal["controller_offline"] = "controller_offline"


class Fault(DeviceMessage):
    """Something in the device is broken."""

    type: Literal["fault"] = "fault"
    code: Id
    detail: Text = ""


class FaultCleared(DeviceMessage):
    """The fault of that code is gone."""

    type: Literal["fault_cleared"] = "fault_cleared"
    code: Id


class Tamper(DeviceMessage):
    """The enclosure or reader was opened or torn off."""

    type: Literal["tamper"] = "tamper"


class TamperRestored(DeviceMessage):
    """The tamper contact is closed again."""

    type: Literal["tamper_restored"] = "tamper_restored"


class PowerFailure(DeviceMessage):
    """Mains are gone; the battery carries on."""

    type: Literal["power_failure"] = "power_failure"


class PowerRestored(DeviceMessage):
    """Mains are back."""

    type: Literal["power_restored"] = "power_restored"


class BatteryLow(DeviceMessage):
    """The battery will not last."""

    type: Literal["battery_low"] = "battery_low"


class BatteryRestored(DeviceMessage):
    """The battery is charged again."""

    type: Literal["battery_restored"] = "battery_restored"


class CommandResult(DeviceMessage):
    """How a command fared at the controller."""

    command_id: Id


class CommandDelivered(CommandResult):
    """The controller has the command."""

    type: Literal["command_delivered"] = "command_delivered"


class CommandConfirmed(CommandResult):
    """The controller acted on it, or had already done so (`repeated`)."""

    type: Literal["command_confirmed"] = "command_confirmed"
    repeated: bool = False


class CommandFailed(CommandResult):
    """The controller did not act on it: no pending request, stale sequence or epoch, wrong mac, locked down, fault."""

    type: Literal["command_failed"] = "command_failed"
    reason: Literal[
        "not_pending", "stale_sequence", "stale_epoch", "invalid_signature", "locked_down", "expired", "fault"
    ]
    detail: Text = ""
