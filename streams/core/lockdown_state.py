"""What a site keeps of its lockdowns."""

from __future__ import annotations

import msgspec


class Escalated(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A lockdown's scope and level before it was escalated at `at_ms`, and who did that for what reason."""

    at_ms: int
    zone_id: str
    level: str
    operator_id: str
    reason: str


class Lockdown(msgspec.Struct, frozen=True, gc=False, tag="lockdown", array_like=True):
    """A lockdown: `lockdown/<incident>`; what it was started with comes first.

    `slices` tells into how many parts its doors are cut, `applied` how many of them have had the commands of the step
    that it is in. `missing` doors have not confirmed, and it was told why. `next_ms` is when its doors are looked at
    again. Times are 0 until they come.
    """

    incident_id: str
    site_id: str
    zone_id: str
    level: str
    plan_id: str
    rank: int
    clearance: int | None
    occupants: str
    clear_ms: int
    two_person: bool
    drill: bool
    reason: str
    cause: str
    cause_id: str
    operator_id: str | None
    notice: str
    guard_notice: str
    started_ms: int
    auto_ms: int
    doors: int
    slices: int
    applied: int = 0
    confirmed: int = 0
    secured: int = 0
    inside: int = -1
    confirmed_ms: int = 0
    secured_ms: int = 0
    effective_ms: int = 0
    approved: tuple[str, ...] = ()
    release_reason: str = ""
    releasing_ms: int = 0
    released_ms: int = 0
    next_ms: int = 0
    transition: int = 0
    effective_by: str | None = None
    effective_reason: str = ""
    escalations: tuple[Escalated, ...] = ()
    drill_commands: bool = False
    missing: int = 0

    @property
    def told_only(self) -> bool:
        """Whether it sends no command and refuses nobody: a drill, unless it is to do both."""
        return self.drill and not self.drill_commands

    @property
    def since_ms(self) -> int:
        """Since when it has its present scope."""
        return self.escalations[-1].at_ms if self.escalations else self.started_ms


class LockdownDoors(msgspec.Struct, frozen=True, gc=False, tag="lockdown_doors", array_like=True):
    """A part of a lockdown's doors: `lockdown-doors/<incident>/<part>`."""

    doors: tuple[str, ...]


class InForce(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A lockdown of a zone, since when, what it is for, and who may pass."""

    incident_id: str
    zone_id: str
    clearance: int | None
    drill: bool = False
    since_ms: int = 0
    cause_id: str = ""


class SiteLockdowns(msgspec.Struct, frozen=True, gc=False, tag="lockdowns", array_like=True):
    """The lockdowns that refuse entry to zones of a site: `lockdowns/<site>`."""

    active: tuple[InForce, ...]


def lockdown_key(incident_id: str) -> str:
    """`lockdown/<incident>`."""
    return f"lockdown/{incident_id}"


def lockdown_doors_key(incident_id: str, part: int) -> str:
    """`lockdown-doors/<incident>/<part>`."""
    return f"lockdown-doors/{incident_id}/{part}"


def site_lockdowns_key(site_id: str) -> str:
    """`lockdowns/<site>`."""
    return f"lockdowns/{site_id}"
