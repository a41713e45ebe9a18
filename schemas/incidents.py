"""Lockdowns: what is asked for, and what became of them (E2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Counter, Frozen, Id, JournalPosition, Message, Text, Timestamp
from schemas.door_modes import Unconfirmed
from schemas.lockdown_plans import Notice
from schemas.operators import OperatorRequest
from schemas.vocabulary import DoorMode, ThreatLevel


class DoorModeRequested(OperatorRequest):
    """Give a door that mode until further notice; without a mode, let what else concerns it decide again."""

    type: Literal["door_mode_requested"] = "door_mode_requested"
    door_id: Id
    mode: Literal[DoorMode.LOCKED, DoorMode.UNLOCKED, DoorMode.BLOCKED] | None


class LockdownRequested(OperatorRequest):
    """Lock down: the area (`low`), the floor (`medium`), the building (`high`) or the site (`extreme`) of a zone.

    A `reason` is required. A `drill` sends no command and refuses nobody, unless `drill_commands` asks for both.
    `threat_id` is the threat that led to it.
    """

    type: Literal["lockdown_requested"] = "lockdown_requested"
    threat_level: ThreatLevel
    zone_id: Id
    plan_id: Id | None = None
    auto_release_s: Annotated[int, Field(ge=10, le=604_800)] | None = None
    drill: bool = False
    drill_commands: bool = False
    threat_id: Id | None = None


class LockdownReleaseRequested(OperatorRequest):
    """The all-clear: end that lockdown. A `reason` is required; a plan may ask for two people."""

    type: Literal["lockdown_release_requested"] = "lockdown_release_requested"
    incident_id: Id


class LockdownEscalationRequested(OperatorRequest):
    """Extend that lockdown to the scope of a higher threat level, around its present one. A `reason` is required."""

    type: Literal["lockdown_escalation_requested"] = "lockdown_escalation_requested"
    incident_id: Id
    threat_level: ThreatLevel


class LockdownEffectiveRequested(OperatorRequest):
    """Declare that lockdown formally effective, although people are inside or doors have not confirmed.

    A `reason` is required.
    """

    type: Literal["lockdown_effective_requested"] = "lockdown_effective_requested"
    incident_id: Id


class OpenPoint(Frozen):
    """A door whose controller has not confirmed, and why as far as known."""

    door_id: Id
    device_id: Id
    why: Unconfirmed | None = None


class Escalation(Frozen):
    """When a lockdown was extended, by whom and why, and its scope and level before."""

    at: Timestamp
    zone_id: Id
    threat_level: ThreatLevel
    operator_id: Id
    reason: Text


class Incident(Message):
    """A lockdown as it stands; each message carries the whole of it. `transition` counts them.

    `zone_id` is the scope. Of its `doors`, `confirmed` are known to have their mode and `secured` are seen shut as
    well; `unconfirmed` and `propped` name the first of the others. `inside` counts the people last seen in the zone.
    A `drill` locks doors and refuses entry only where it has `drill_commands`; its notices say that it is one.
    `cause_id` is the threat or the request that led to it. `effective_by` is who declared it effective, where it did
    not become so by itself. While it is being released, `confirmed` counts the doors that have the mode which is left
    to them.
    """

    incident_id: Id
    site_id: Id
    zone_id: Id
    threat_level: ThreatLevel
    plan_id: Id
    rank: int
    occupants: Literal["shelter", "clear"]
    drill: bool
    drill_commands: bool = False
    reason: Text
    cause: Literal["operator", "threat"]
    cause_id: Id
    operator_id: Id | None = None
    started_at: Timestamp
    doors: int
    confirmed: int
    secured: int
    unconfirmed: tuple[OpenPoint, ...] = ()
    propped: tuple[Id, ...] = ()
    inside: int = 0
    confirmed_at: Timestamp | None = None
    secured_at: Timestamp | None = None
    effective_at: Timestamp | None = None
    effective_by: Id | None = None
    effective_reason: Text = ""
    escalations: tuple[Escalation, ...] = ()
    auto_release_at: Timestamp | None = None
    approved_by: tuple[Id, ...] = ()
    release_reason: Text = ""
    releasing_at: Timestamp | None = None
    released_at: Timestamp | None = None
    notice: Notice = ""
    guard_notice: Notice = ""
    transition: Counter
    decided_at: Timestamp
    journal: JournalPosition


class LockdownStarted(Incident):
    """Entry is refused from here on, and the doors are being locked."""

    type: Literal["lockdown_started"] = "lockdown_started"


class LockdownEscalated(Incident):
    """Entry is refused in a larger scope from here on, and its other doors are being locked; all is counted anew."""

    type: Literal["lockdown_escalated"] = "lockdown_escalated"


class LockdownProgress(Incident):
    """Doors confirmed, opened or shut, or people left."""

    type: Literal["lockdown_progress"] = "lockdown_progress"


class LockdownConfirmed(Incident):
    """Every door has confirmed."""

    type: Literal["lockdown_confirmed"] = "lockdown_confirmed"


class LockdownEffective(Incident):
    """The lockdown is formally effective: nobody is to leave, nobody is left who is to, or an operator says so."""

    type: Literal["lockdown_effective"] = "lockdown_effective"


class LockdownReleaseApproved(Incident):
    """One of two people has given the all-clear."""

    type: Literal["lockdown_release_approved"] = "lockdown_release_approved"


class LockdownReleasing(Incident):
    """The all-clear: entry is decided as usual, and each door gets the mode that is left to it."""

    type: Literal["lockdown_releasing"] = "lockdown_releasing"


class LockdownReleased(Incident):
    """Every door has confirmed that, and the lockdown is closed; this is its report."""

    type: Literal["lockdown_released"] = "lockdown_released"
