"""M2's classes: every event is a normal passage, an abnormal passage, a security event or a device event.

The class follows from the message alone and is carried by none: whoever needs it asks `event_class`. An access decision
made under duress is classed as any other; only `duress` itself, which monitoring alone reads, tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, assert_never, get_args

from schemas.vocabulary import Classification

_NORMAL, _ABNORMAL = Classification.NORMAL, Classification.ABNORMAL
_SECURITY, _DEVICE = Classification.SECURITY, Classification.DEVICE

AlertType = Literal[
    "alert_raised",
    "alert_seen_again",
    "alert_escalated",
    "alert_repeated",
    "alert_returned_to_normal",
    "alert_acknowledged",
    "alert_commented",
    "alert_assigned",
    "alert_shelved",
    "alert_unshelved",
    "alert_suppressed",
    "alert_unsuppressed",
    "alert_action_taken",
    "alert_action_verified",
    "alert_resolved",
    "alert_closed",
]

OutcomeType = Literal[
    "access_granted",
    "access_denied",
    "access_taken",
    "access_not_taken",
    "message_refused",
    "operator_request_accepted",
    "operator_request_refused",
    "lockout_impending",
    "lockout_started",
    "lockout_ended",
    "door_alarm",
    "device_state",
    "device_exception",
    "permission_updated",
    "lockdown_started",
    "lockdown_escalated",
    "lockdown_progress",
    "lockdown_confirmed",
    "lockdown_effective",
    "lockdown_release_approved",
    "lockdown_releasing",
    "lockdown_released",
    "threat_assessed",
    "monitoring_started",
    "monitoring_extended",
    "monitoring_ended",
    "threat_level_set",
    "threat_level_cleared",
    "abnormal_passage",
]

SubscribedType = OutcomeType | AlertType
"""What downstream systems may read: what doorstream publishes of doors, devices and alerts, duress excepted."""

ReportedType = Literal[
    "access_requested",
    "access_recorded",
    "door_opened",
    "door_closed",
    "door_forced_open",
    "door_pre_alarm",
    "door_held_open",
    "door_held_open_cleared",
    "no_entry_after_granted",
    "request_to_exit",
    "heartbeat",
    "announced",
    "controller_online",
    "controller_offline",
    "fault",
    "fault_cleared",
    "tamper",
    "tamper_restored",
    "power_failure",
    "power_restored",
    "battery_low",
    "battery_restored",
    "command_delivered",
    "command_confirmed",
    "command_failed",
]
"""What controllers publish."""

EventType = OutcomeType | AlertType | ReportedType | Literal["duress"]
"""Every event. Commands, requests of operators, accounts of notifications and deliveries, and reference records ask,
order, account and describe; they are none."""

Facts = Mapping[str, Any]
"""As much of the message as there is: fields that are missing count as null."""

_NOT_GENUINE = frozenset({"invalid_signature", "no_right", "repeated", "unknown_operator"})
"""Why an operator's request is refused where somebody tried what they may not."""

_KINDS: Mapping[Classification, tuple[str, ...]] = {
    _ABNORMAL: (
        "abnormal_passage",
        "authentication_failed",
        "soft_breach",
        "permission_updated",
        "door_held_open",
        "door_pre_alarm",
        "offline_difference",
        "abnormal_passage",
    ),
    _SECURITY: (
        "duress",
        "door_forced_open",
        "tamper",
        "invalid_signature",
        "replayed_request",
        "lockout_impending",
        "credential_lockout",
        "cardholder_lockout",
        "access_point_lockout",
        "permanent_lockout",
        "threat_low",
        "threat_medium",
        "threat_high",
        "lockdown",
        "lockdown_escalated",
        "lockdown_confirmed",
        "lockdown_over",
        "lockdown_drill",
    ),
    _DEVICE: (
        "controller_offline",
        "site_offline",
        "network_outage",
        "fault",
        "power_failure",
        "battery_low",
        "clock_wrong",
        "flapping",
        "offline_mode",
        "door_mode_unconfirmed",
        "door_mode_drift",
    ),
}
ALERT_CLASSES: Mapping[str, Classification] = {kind: one for one, kinds in _KINDS.items() for kind in kinds}
"""The class of each kind of alert that doorstream raises by itself: that of what it is raised for."""


def event_class(type_: EventType, facts: Facts) -> Classification:
    """The one class of an event."""
    match type_:
        case (
            "access_requested" | "access_taken" | "access_not_taken" | "operator_request_accepted"
            | "door_opened" | "door_closed" | "request_to_exit" | "no_entry_after_granted"
        ):  # fmt: skip
            return _NORMAL
        case "door_pre_alarm" | "door_held_open" | "door_held_open_cleared" | "abnormal_passage" | "permission_updated":
            return _ABNORMAL
        case (
            "message_refused" | "duress" | "door_forced_open" | "tamper" | "tamper_restored"
            | "lockout_impending" | "lockout_started" | "lockout_ended"
            | "lockdown_started" | "lockdown_escalated" | "lockdown_progress" | "lockdown_confirmed"
            | "lockdown_effective" | "lockdown_release_approved" | "lockdown_releasing" | "lockdown_released"
            | "threat_assessed" | "monitoring_started" | "monitoring_extended" | "monitoring_ended"
            | "threat_level_set" | "threat_level_cleared"
        ):  # fmt: skip
            return _SECURITY
        case (
            "heartbeat" | "announced" | "controller_online" | "controller_offline" | "fault" | "fault_cleared"
            | "power_failure" | "power_restored" | "battery_low" | "battery_restored"
            | "command_delivered" | "command_confirmed" | "command_failed" | "device_exception"
        ):  # fmt: skip
            return _DEVICE
        case (
            "access_granted" | "access_denied" | "access_recorded"
            | "operator_request_refused" | "door_alarm" | "device_state"
        ):  # fmt: skip
            return _by_content(type_, facts)
        case (
            "alert_raised" | "alert_seen_again" | "alert_escalated" | "alert_repeated" | "alert_returned_to_normal"
            | "alert_acknowledged" | "alert_commented" | "alert_assigned" | "alert_shelved" | "alert_unshelved"
            | "alert_suppressed" | "alert_unsuppressed" | "alert_action_taken" | "alert_action_verified"
            | "alert_resolved" | "alert_closed"
        ):  # fmt: skip
            return alert_class(facts.get("kind"))
    assert_never(type_)


_ToldByContent = Literal[
    "access_granted", "access_denied", "access_recorded", "operator_request_refused", "door_alarm", "device_state"
]


def _by_content(type_: _ToldByContent, facts: Facts) -> Classification:
    match type_:
        case "access_granted" | "access_denied":
            return _decision(type_, facts)
        case "access_recorded":
            return _ABNORMAL if facts.get("outcome") == "denied" else _NORMAL
        case "operator_request_refused":
            return _SECURITY if facts.get("code") in _NOT_GENUINE else _ABNORMAL
        case "door_alarm":
            return _door_alarm(facts)
        case "device_state":
            return _SECURITY if facts.get("event") in {"tamper", "tamper_restored"} else _DEVICE
    assert_never(type_)


def _decision(type_: Literal["access_granted", "access_denied"], facts: Facts) -> Classification:
    """A decision carries its class: what was broken tells it. Without one, a denial is abnormal."""
    given = facts.get("classification")
    if given == _SECURITY:
        return _SECURITY
    return _ABNORMAL if type_ == "access_denied" or given == _ABNORMAL else _NORMAL


def _door_alarm(facts: Facts) -> Classification:
    about: Sequence[str] = (str(facts.get("event")), *(facts.get("active") or ()), *(facts.get("ended") or ()))
    return _SECURITY if "door_forced_open" in about else _ABNORMAL


def alert_class(kind: Any) -> Classification:
    """The class of an alert. A kind that nobody has classed is for security to look at."""
    return ALERT_CLASSES.get(str(kind), _SECURITY)


EVENT_TYPES: tuple[EventType, ...] = (*get_args(OutcomeType), *get_args(AlertType), *get_args(ReportedType), "duress")
SUBSCRIBED_TYPES: tuple[SubscribedType, ...] = (*get_args(OutcomeType), *get_args(AlertType))
_EVENTS: frozenset[str] = frozenset(EVENT_TYPES)


def class_of(facts: Facts) -> Classification | None:
    """The class of any message as JSON; None where it is no event."""
    type_: Any = facts.get("type")
    return event_class(type_, facts) if type_ in _EVENTS else None
