"""Access: what a controller asks, what is decided, and whether somebody passed (A1, A2, A3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Counter, DeviceMessage, Frozen, Id, JournalPosition, Message, Text, Timestamp
from schemas.factors import Factor
from schemas.people import PermissionState
from schemas.vocabulary import (
    CheckOutcome,
    Classification,
    DifferenceCause,
    Direction,
    Display,
    FactorKind,
    FactorResult,
    Reason,
    Timeliness,
)

Factors = Annotated[tuple[Factor, ...], Field(max_length=8)]
"""What was presented; nothing at all where a button or a turnstile asks, which lets nobody in and everybody out."""


class AccessRequested(DeviceMessage):
    """Somebody waits at the door."""

    type: Literal["access_requested"] = "access_requested"
    access_point_id: Id
    factors: Factors


class AccessRecorded(DeviceMessage):
    """What a controller decided alone and sends later; it never actuates.

    `mode` is the degraded mode that the controller decided in (`deny`, `facility_code`, `snapshot`).
    """

    type: Literal["access_recorded"] = "access_recorded"
    access_point_id: Id
    factors: Factors
    outcome: Literal["granted", "denied"]
    reason: Reason | None = None
    mode: Literal["deny", "facility_code", "snapshot"]
    snapshot_version: Id | None = None


class PresentedFactor(Frozen):
    """How one factor fared; `score` and `threshold` lie in 0 to 1."""

    kind: FactorKind
    result: FactorResult
    score: float | None = None
    threshold: float | None = None


Check = tuple[str, CheckOutcome, str]
"""A check's name, its outcome, and its inputs in short (`name=value` pairs); `explain` derives the full text."""


class Recorded(Frozen):
    """What a controller decided alone, beside the decision that the rules give.

    `cause` of a difference: `no_snapshot` (or none that was ever issued), `stale_snapshot` (its validity was over),
    `rights_changed` (since the snapshot, or by it), `state_unknown` (who is where, and locks, only the site knows),
    `factor_unverified` (a PIN or a biometric), `facility_code`, `denies_alone` (as the door is set), `door_shut`.
    """

    outcome: Literal["granted", "denied"]
    reason: Reason | None = None
    mode: Literal["deny", "facility_code", "snapshot"]
    snapshot_version: Id | None = None
    cause: DifferenceCause | None = None


class AccessException(Frozen):
    """What a decision is an exception of (A5): of five kinds, by the first check that failed.

    Of a lack of permission: how the permission stands that came closest (`missing`: there is none), and whether it was
    verified again, once, with what the database had. `network`: what had to be asked did not answer.
    """

    kind: Literal["authentication", "permission", "device", "network", "security"]
    permission_state: PermissionState | None = None
    retried: bool = False


class Decision(Message):
    """What granted and denied share. Zones, cardholder and the rest are null where they are not known.

    `boot` and `sequence` are the request's; `request_id` is derived from them.
    """

    decision_id: Id
    request_id: Id
    site_id: Id
    device_id: Id
    boot: Counter | None = None
    sequence: Counter | None = None
    access_point_id: Id
    door_id: Id | None = None
    zone_from: Id | None = None
    zone_to: Id | None = None
    cardholder_id: Id | None = None
    credential_id: Id | None = None
    permission_id: Id | None = None
    reason: Reason | None = None
    failed_checks: tuple[Reason, ...] = ()
    soft_breaches: tuple[Reason, ...] = ()
    direction: Direction | None = None
    timeliness: Timeliness
    age_ms: int
    occurred_at: Timestamp
    decided_at: Timestamp
    method: str | None = None
    factors: tuple[PresentedFactor, ...] = ()
    fused_score: float | None = None
    checks: tuple[Check, ...] = ()
    classification: Classification = Classification.NORMAL
    actuated: bool = False
    recorded_outcome: Literal["granted", "denied"] | None = None
    difference: bool = False
    recorded: Recorded | None = None
    exception: AccessException | None = None
    policy_version: str
    journal: JournalPosition


class AccessGranted(Decision):
    """The door may be opened. `actuated` says whether a command was sent; a late or offline request never gets one."""

    type: Literal["access_granted"] = "access_granted"


class AccessDenied(Decision):
    """The door stays shut: `reason` is the first failed check, `failed_checks` all of them in order.

    `drill`: the lockdown that is the reason is for practice.
    """

    type: Literal["access_denied"] = "access_denied"
    display: Display
    drill: bool = False


class Passage(Message):
    """What taken and not taken share."""

    decision_id: Id
    request_id: Id
    site_id: Id
    device_id: Id
    access_point_id: Id
    door_id: Id
    zone_from: Id
    zone_to: Id
    cardholder_id: Id | None = None
    credential_id: Id | None = None
    permission_id: Id | None = None
    direction: Direction
    granted_at: Timestamp
    occurred_at: Timestamp
    decided_at: Timestamp
    journal: JournalPosition


class AccessTaken(Passage):
    """Somebody passed: seen by the door position switch, or assumed with the grant where the door has none."""

    type: Literal["access_taken"] = "access_taken"
    evidence: Literal["door_opened", "grant", "recorded"]


class AccessNotTaken(Passage):
    """Nobody passed within the grant window."""

    type: Literal["access_not_taken"] = "access_not_taken"


class MessageRefused(Message):
    """A message, other than a request for access, that was not acted on: by its position and the reason."""

    type: Literal["message_refused"] = "message_refused"
    refusal_id: Id
    site_id: Id
    device_id: Id | None = None
    message_type: Id
    topic: Id
    partition: int
    offset: int
    reason: Reason
    detail: Text = ""
    decided_at: Timestamp
    journal: JournalPosition


class Duress(Message):
    """A duress PIN was used, whatever was decided: for monitoring alone."""

    type: Literal["duress"] = "duress"
    duress_id: Id
    decision_id: Id
    site_id: Id
    access_point_id: Id
    door_id: Id | None = None
    zone_to: Id | None = None
    cardholder_id: Id | None = None
    credential_id: Id | None = None
    occurred_at: Timestamp
    decided_at: Timestamp
