"""What a device's condition most likely is, and until when it may be gone by itself (A5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.diagnosis import Nature, rule_of
from streams.core.hearing import Rules
from streams.core.watched import BATTERY, CLOCK, CONNECTION, FAULT, POWER

_CAUSES: Mapping[str, str] = {
    CONNECTION: "controller_offline",
    POWER: "power_failure",
    BATTERY: "battery_low",
    CLOCK: "clock_wrong",
}
"""Tamper is no fault: somebody did it, and the alert says what to do."""

OFFLINE = _CAUSES[CONNECTION]


class Diagnosis(NamedTuple):
    """What a fault is; a transient one is awaited to recover for `recovery_ms`."""

    nature: Nature
    recovery_ms: int
    remedy: str


def cause_of(condition: str) -> str | None:
    """What a condition is called as the cause of an exception; None where it is none."""
    return condition if condition.startswith(f"{FAULT}/") else _CAUSES.get(condition)


def condition_of(cause: str) -> str:
    """The condition that a cause is of."""
    return next((name for name, word in _CAUSES.items() if word == cause), cause)


def diagnose(cause: str, rules: Rules) -> Diagnosis:
    """By the table of the device's type, then the policy's, then the usual one."""
    own = rules.timing.faults
    rule = rule_of(
        cause.removeprefix(f"{FAULT}/"), own if own is rules.monitoring.faults else own + rules.monitoring.faults
    )
    recovery_s = rules.timing.recovery_s if rule.recovery_s is None else rule.recovery_s
    return Diagnosis(rule.nature, recovery_s * 1000, rule.remedy)
