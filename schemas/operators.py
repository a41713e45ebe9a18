"""What operators and other systems ask for; signed under the operator's key, used once, with an end."""

from __future__ import annotations

from typing import Literal

from schemas.base import ClockReading, Id, JournalPosition, Message, Text, Timestamp
from schemas.lockouts import Subject
from schemas.vocabulary import DoorMode


class OperatorRequest(Message):
    """What all requests of operators share. `request_id` is the sender's; the same one again is answered once."""

    request_id: Id
    site_id: Id
    operator_id: Id
    occurred_at: ClockReading
    reason: Text = ""


class DoorUnlockRequested(OperatorRequest):
    """Open that door once, now."""

    type: Literal["door_unlock_requested"] = "door_unlock_requested"
    door_id: Id


class PassbackForgiven(OperatorRequest):
    """Forget where that cardholder (or, without one, everybody in the site) was last seen."""

    type: Literal["passback_forgiven"] = "passback_forgiven"
    cardholder_id: Id | None = None


class LockoutEndRequested(OperatorRequest):
    """End that lock now; a `reason` is required. A cardholder's includes those of the cardholder's credentials there.

    What a cardholder is locked by everywhere ends everywhere, whichever site is asked.
    """

    type: Literal["lockout_end_requested"] = "lockout_end_requested"
    subject: Subject
    subject_id: Id


class OperatorRequestAccepted(Message):
    """The request was carried out. `mode` is that which a door then has, by all that concerns it."""

    type: Literal["operator_request_accepted"] = "operator_request_accepted"
    request_id: Id
    site_id: Id
    operator_id: Id
    request_type: Id
    door_id: Id | None = None
    cardholder_id: Id | None = None
    command_id: Id | None = None
    subject: Subject | None = None
    subject_id: Id | None = None
    alert_id: Id | None = None
    case_id: Id | None = None
    incident_id: Id | None = None
    zone_id: Id | None = None
    mode: DoorMode | None = None
    decided_at: Timestamp
    journal: JournalPosition


class OperatorRequestRefused(Message):
    """The request was not carried out: `code` says why in a word, `detail` in a sentence with the fix."""

    type: Literal["operator_request_refused"] = "operator_request_refused"
    request_id: Id
    site_id: Id
    operator_id: Id
    request_type: Id
    alert_id: Id | None = None
    code: Literal[
        "invalid_signature",
        "expired",
        "repeated",
        "no_right",
        "unknown_door",
        "unknown_cardholder",
        "unknown_operator",
        "unknown_lockout",
        "unknown_threat",
        "no_reason",
        "unknown_alert",
        "unknown_repair",
        "unknown_zone",
        "unknown_plan",
        "unknown_incident",
        "same_person",
        "still_active",
        "not_possible",
        "failed",
    ]
    detail: Text
    decided_at: Timestamp
    journal: JournalPosition
