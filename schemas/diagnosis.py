"""What a fault of a device most likely is: gone by itself soon, or a case for repair (A5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Frozen, Id

Nature = Literal["transient", "permanent"]
"""Transient: recovery is awaited until a deadline; permanent: a repair case is opened at once."""

Remedy = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
"""What usually helps; short enough to be carried by an alert's summary."""

CONDITIONS = ("controller_offline", "power_failure", "battery_low", "clock_wrong")
"""What is diagnosed like a fault though devices have no code for it; these are the words that a table has for them."""


class FaultRule(Frozen):
    """How a fault of that code is diagnosed; `recovery_s` instead of the device type's.

    `code` is a fault's code or one of `CONDITIONS`; one that ends in `*` stands for all that begin so.
    """

    code: Id
    nature: Nature
    recovery_s: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    remedy: Remedy = ""

    def means(self, code: str) -> bool:
        """Whether this is about a code."""
        return code == self.code or (self.code.endswith("*") and code.startswith(self.code[:-1]))


_HOUR_S, _DAY_S = 3600, 86_400

FAULTS = (
    FaultRule(
        code="controller_offline",
        nature="transient",
        recovery_s=4 * _HOUR_S,
        remedy="Check the controller's power and its network.",
    ),
    FaultRule(code="power_failure", nature="transient", recovery_s=4 * _HOUR_S, remedy="Restore the mains."),
    FaultRule(code="battery_low", nature="transient", recovery_s=_DAY_S, remedy="Replace the battery."),
    FaultRule(code="clock_wrong", nature="transient", recovery_s=_DAY_S, remedy="Set its time source."),
    FaultRule(code="reader_lost", nature="transient", recovery_s=900, remedy="Check the reader's cable."),
    FaultRule(code="bus_*", nature="transient", recovery_s=600, remedy="Check cabling and termination of the bus."),
    FaultRule(code="overheated", nature="transient", recovery_s=1800, remedy="Check ventilation."),
    FaultRule(code="storage_full", nature="transient", recovery_s=_HOUR_S, remedy="Let it send its backlog."),
    FaultRule(code="lock_*", nature="permanent", remedy="Replace or adjust the lock."),
    FaultRule(code="relay_*", nature="permanent", remedy="Replace the relay board."),
    FaultRule(code="motor_*", nature="permanent", remedy="Replace the motor."),
    FaultRule(code="sensor_*", nature="permanent", remedy="Replace the sensor."),
    FaultRule(code="memory_*", nature="permanent", remedy="Replace the controller."),
    FaultRule(code="firmware_*", nature="permanent", remedy="Install the firmware again."),
    FaultRule(code="hardware_*", nature="permanent", remedy="Replace the controller."),
    FaultRule(code="self_test_failed", nature="permanent", remedy="Replace the controller."),
)
"""The usual table. A code that no rule means is transient: what does not recover in time is permanent after all."""

_UNKNOWN = FaultRule(code="*", nature="transient")


def rule_of(code: str, rules: Sequence[FaultRule]) -> FaultRule:
    """The first rule that means a code: one of these, else a usual one."""
    return next((rule for rule in (*rules, *FAULTS) if rule.means(code)), _UNKNOWN)
