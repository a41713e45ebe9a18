"""Alerts: each transition carries the whole alert."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.alerting import Action, AlertLevel, Channel
from schemas.base import Counter, Frozen, Id, JournalPosition, Message, Text, Timestamp
from schemas.threats import Assessment
from schemas.vocabulary import Severity

DURESS = "duress"
"""The kind of alert that nobody but monitoring learns of; its messages are on `duress.alerts`."""

AlertState = Literal[
    "unacknowledged",
    "acknowledged",
    "returned_to_normal_unacknowledged",
    "shelved",
    "suppressed",
    "resolved",
    "closed",
]
"""ISA-18.2. Returned to normal and not acknowledged: the cause is gone, and nobody has said that they know."""


class Notify(Frozen):
    """Who is to be told now, and how. `step` counts within the alert: each is told once by each channel."""

    step: Annotated[int, Field(ge=1, le=1_000_000)]
    severity: Severity
    channels: tuple[Channel, ...]
    recipients: tuple[Id, ...]


class LedTo(Frozen):
    """A decision or event at the same place before the alert was raised, or the one that raised it (the last)."""

    at: Timestamp
    type: Id
    id: Id
    summary: Text


class AlertAction(Frozen):
    """What is done about the alert without anybody: the `attempt`-th of `attempts`, and whether it helped."""

    action: Action
    attempt: int
    attempts: int
    verdict: Literal["pending", "succeeded", "failed"]


class AlertThreat(Frozen):
    """The threat that an alert is about, what was begun because of it, and the command that starts its plan."""

    threat_id: Id
    response: Id
    confirm: Text = ""


class Alert(Message):
    """An alert as it stands. `dedup_key` groups what is one trouble; `count` is how often it was seen in its window.

    `transition` counts the alert's messages. `active`: the cause is still there. `notify` is there where somebody is to
    be told because of this message. `operator_id`, `request_id` and `comment` are those of the operator's request that
    led to it. `escalation` is the policy as it was when the alert was raised; unless somebody acknowledges it, it is
    told again or raised at `next_escalation_at`. `led_to` are the last troubles at the same place. `result` says how it
    was handled. `suppressed_by` is the alert that inhibits this one. `assessment` is how a threat or an abnormal
    passage was assessed, with all that contributed.
    """

    alert_id: Id
    site_id: Id
    kind: Id
    severity: Severity
    state: AlertState
    dedup_key: Id
    count: int
    door_id: Id | None = None
    access_point_id: Id | None = None
    device_id: Id | None = None
    cardholder_id: Id | None = None
    cause_id: Id
    summary: Text
    raised_at: Timestamp
    updated_at: Timestamp
    journal: JournalPosition
    transition: Counter = 0
    active: bool = False
    notify: Notify | None = None
    escalation: tuple[AlertLevel, ...] = ()
    next_escalation_at: Timestamp | None = None
    procedure: Text = ""
    led_to: tuple[LedTo, ...] = ()
    acknowledged_at: Timestamp | None = None
    acknowledged_by: Id | None = None
    assigned_to: Id | None = None
    shelved_until: Timestamp | None = None
    suppressed_by: Id | None = None
    action: AlertAction | None = None
    plan_proposed: Id | None = None
    assessment: Assessment | None = None
    threat: AlertThreat | None = None
    result: Text = ""
    forced: bool = False
    operator_id: Id | None = None
    request_id: Id | None = None
    comment: Text = ""


class AlertRaised(Alert):
    """A new alert."""

    type: Literal["alert_raised"] = "alert_raised"


class AlertSeenAgain(Alert):
    """The same trouble came again: the count at the end of its window, or the cause of what had returned to normal."""

    type: Literal["alert_seen_again"] = "alert_seen_again"


class AlertEscalated(Alert):
    """Raised to the next severity: nobody acknowledged in time, or its action failed for good."""

    type: Literal["alert_escalated"] = "alert_escalated"


class AlertRepeated(Alert):
    """Told again at the same severity: nobody acknowledged in time, or what was to recover has not."""

    type: Literal["alert_repeated"] = "alert_repeated"


class AlertReturnedToNormal(Alert):
    """The cause is gone."""

    type: Literal["alert_returned_to_normal"] = "alert_returned_to_normal"


class AlertAcknowledged(Alert):
    """Somebody says that they know; no further escalation."""

    type: Literal["alert_acknowledged"] = "alert_acknowledged"


class AlertCommented(Alert):
    """Somebody wrote something down."""

    type: Literal["alert_commented"] = "alert_commented"


class AlertAssigned(Alert):
    """Somebody is to handle it."""

    type: Literal["alert_assigned"] = "alert_assigned"


class AlertShelved(Alert):
    """Put aside by an operator until `shelved_until`."""

    type: Literal["alert_shelved"] = "alert_shelved"


class AlertUnshelved(Alert):
    """Back from the shelf: its time is over, or an operator took it."""

    type: Literal["alert_unshelved"] = "alert_unshelved"


class AlertSuppressed(Alert):
    """Inhibited by another alert that explains it."""

    type: Literal["alert_suppressed"] = "alert_suppressed"


class AlertUnsuppressed(Alert):
    """Nothing inhibits it any longer."""

    type: Literal["alert_unsuppressed"] = "alert_unsuppressed"


class AlertActionTaken(Alert):
    """Its action was carried out."""

    type: Literal["alert_action_taken"] = "alert_action_taken"


class AlertActionVerified(Alert):
    """Whether its action helped."""

    type: Literal["alert_action_verified"] = "alert_action_verified"


class AlertResolved(Alert):
    """Handled, with a result: by an operator, by its action, or its cause is gone and somebody knew."""

    type: Literal["alert_resolved"] = "alert_resolved"


class AlertClosed(Alert):
    """The alert is over. A low one is closed as soon as it is recorded (M3)."""

    type: Literal["alert_closed"] = "alert_closed"
