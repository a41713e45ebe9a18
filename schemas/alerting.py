"""How alerts are handled: the part of a policy that is copied onto each alert when it is raised (M3)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Frozen, Id
from schemas.vocabulary import Severity

Channel = Literal["email", "sms", "phone", "webhook"]
Action = Literal["probe"]
"""What is done about a high alert without anybody: `probe` asks the controller for the state of its doors."""

Procedure = Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\x00]*$")]
"""What a guard is to do; short enough to be carried by every alert."""

RAISED = (Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
"""The severities that somebody is told of; a low alert is only recorded."""


class AlertLevel(Frozen):
    """What a severity asks for.

    Its `recipients` (roles or on-call groups) are told by its `channels`, and again, `repeats` times, each time nobody
    has acknowledged within `acknowledge_within_s`; then the alert is raised to the next severity, if there is one.
    """

    severity: Severity
    acknowledge_within_s: Annotated[int, Field(ge=10, le=86_400)]
    repeats: Annotated[int, Field(ge=0, le=10)] = 0
    channels: Annotated[tuple[Channel, ...], Field(min_length=1, max_length=4)]
    recipients: Annotated[tuple[Id, ...], Field(min_length=1, max_length=4)]


class AlertKind(Frozen):
    """How alerts of a kind are handled.

    What comes again within `window_s` of the first is the same trouble. `action` is carried out from severity high on
    and repeated until it succeeds; `plan` is proposed when the alert is critical.
    """

    kind: Id
    severity: Severity
    window_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    procedure: Procedure = ""
    action: Action | None = None
    plan: Id | None = None


class Inhibition(Frozen):
    """While an alert of kind `by` is active, it inhibits those of the same controller and its doors, these spared.

    Where there are `only` some, those kinds are inhibited at the whole site instead; by `network_outage`, the
    controllers' that fell silent together.
    """

    by: Id
    spares: tuple[Id, ...] = ()
    only: tuple[Id, ...] = ()


LEVELS = (
    AlertLevel(severity=Severity.MEDIUM, acknowledge_within_s=600, channels=("email",), recipients=("control-room",)),
    AlertLevel(
        severity=Severity.HIGH, acknowledge_within_s=300, channels=("sms",), recipients=("control-room", "on-call")
    ),
    AlertLevel(
        severity=Severity.CRITICAL,
        acknowledge_within_s=120,
        repeats=3,
        channels=("phone", "sms"),
        recipients=("on-call", "head-of-security"),
    ),
)

KINDS = (
    AlertKind(
        kind="duress", severity=Severity.CRITICAL, procedure="Silent: call nobody at the door. Alert the police."
    ),
    AlertKind(
        kind="door_forced_open",
        severity=Severity.HIGH,
        procedure="Send a guard. Look at the camera. Close the door and check who came in.",
        plan="lockdown",
    ),
    AlertKind(
        kind="door_held_open",
        severity=Severity.MEDIUM,
        procedure="Ask who is at the door to close it; send a guard where nobody answers.",
        action="probe",
    ),
    AlertKind(kind="door_pre_alarm", severity=Severity.LOW),
    AlertKind(
        kind="tamper",
        severity=Severity.HIGH,
        procedure="Send a guard to the controller. Trust no reading of it until it was looked at.",
        plan="lockdown",
    ),
    AlertKind(
        kind="controller_offline",
        severity=Severity.MEDIUM,
        procedure="Its doors decide alone. Check power and network; send a guard where the door matters.",
    ),
    AlertKind(
        kind="site_offline",
        severity=Severity.HIGH,
        procedure="Most controllers are silent: check the site's network and power. Doors decide alone meanwhile.",
    ),
    AlertKind(
        kind="network_outage",
        severity=Severity.HIGH,
        procedure="Controllers fell silent together: check the switch and power that they share, and their doors.",
    ),
    AlertKind(
        kind="offline_mode",
        severity=Severity.MEDIUM,
        procedure="It can be heard and hears nothing, so its doors decide alone: check the network on the way to it.",
    ),
    AlertKind(
        kind="offline_difference",
        severity=Severity.MEDIUM,
        procedure="Somebody was let in whom the rules keep out: find them, and see why the controller did not know.",
    ),
    AlertKind(kind="fault", severity=Severity.MEDIUM, procedure="Open a repair case."),
    AlertKind(kind="power_failure", severity=Severity.MEDIUM, procedure="It runs on its battery. Restore the mains."),
    AlertKind(kind="battery_low", severity=Severity.MEDIUM, procedure="Replace the battery."),
    AlertKind(kind="flapping", severity=Severity.MEDIUM, procedure="Have the installation checked."),
    AlertKind(kind="clock_wrong", severity=Severity.LOW),
    AlertKind(kind="credential_lockout", severity=Severity.MEDIUM, procedure="Ask the holder; end the lock or block."),
    AlertKind(kind="cardholder_lockout", severity=Severity.MEDIUM, procedure="Ask the holder; end the lock or block."),
    AlertKind(
        kind="permanent_lockout", severity=Severity.HIGH, procedure="Find out who tried. Only an operator ends it."
    ),
    AlertKind(
        kind="access_point_lockout",
        severity=Severity.HIGH,
        procedure="Somebody guesses numbers at this reader: send a guard.",
    ),
    AlertKind(
        kind="permission_updated",
        severity=Severity.MEDIUM,
        window_s=3600,
        procedure="The permission no longer holds: renew or revoke it.",
    ),
    AlertKind(kind="lockout_impending", severity=Severity.MEDIUM, procedure="Look at the camera of this reader."),
    AlertKind(kind="threat_low", severity=Severity.LOW),
    AlertKind(
        kind="threat_medium",
        severity=Severity.MEDIUM,
        procedure="Monitoring is heightened: look at the cameras there. It ends by itself, or with `threats clear`.",
    ),
    AlertKind(
        kind="threat_high",
        severity=Severity.CRITICAL,
        procedure="Decide now: start the plan that is proposed by its command, or clear the threat with a reason.",
    ),
    AlertKind(
        kind="abnormal_passage",
        severity=Severity.LOW,
        procedure="Look at the camera of this door, and ask the person what they did there.",
    ),
    AlertKind(
        kind="lockdown",
        severity=Severity.CRITICAL,
        procedure="Guard the entrances. Tell people to stay, or to leave where the plan says so. Watch the progress.",
    ),
    AlertKind(
        kind="lockdown_escalated",
        severity=Severity.CRITICAL,
        procedure="The lockdown is larger now. Guard the entrances of its whole scope; watch the progress.",
    ),
    AlertKind(kind="lockdown_confirmed", severity=Severity.HIGH, procedure="See to the doors that stand open."),
    AlertKind(kind="lockdown_over", severity=Severity.HIGH, procedure="Tell people that they may go about again."),
    AlertKind(kind="lockdown_drill", severity=Severity.LOW),
    AlertKind(
        kind="door_mode_unconfirmed",
        severity=Severity.HIGH,
        procedure="Send a guard to the door: nobody knows whether it is in the mode that is asked of it.",
        action="probe",
    ),
    AlertKind(
        kind="door_mode_drift",
        severity=Severity.MEDIUM,
        procedure="Somebody has set this door by hand, or its controller was swapped: find out who.",
    ),
)
"""How the kinds that doorstream raises by itself are handled where a policy says nothing else."""

INFORMING = frozenset({"permission_updated"})
"""Kinds that are told once and resolved when nobody has acknowledged them in time: nobody is called up for them."""

OTHER_KINDS = AlertKind(kind="other", severity=Severity.LOW)
"""All other kinds: recorded."""


class AlertRules(Frozen):
    """How the alerts of a site are handled; what is left out is as usual.

    `levels` are medium, high and critical, in this order. `kinds` stand for the usual ones of the same name. An action
    is verified `verify_within_s` after it was carried out, and carried out up to `attempts` times; then the alert is
    raised. Where `outage_controllers` of one part of the network (`upstream` of a device; of the site, where nobody has
    said) fall silent within `outage_within_s` of each other, they are one `network_outage`. What an offline controller
    explained waits until its first heartbeat is due when it is back, and `settle_s` more; what is still there then is
    told of. A resolved alert is closed after `close_after_s`. Nobody shelves one for longer than `shelve_at_most_s`.
    """

    levels: tuple[AlertLevel, ...] = LEVELS
    kinds: tuple[AlertKind, ...] = ()
    inhibitions: tuple[Inhibition, ...] = (
        Inhibition(by="controller_offline", spares=("door_forced_open", "tamper", "duress", "door_mode_unconfirmed")),
        Inhibition(by="site_offline", only=("controller_offline", "network_outage")),
        Inhibition(by="network_outage", only=("controller_offline",)),
    )
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    verify_within_s: Annotated[int, Field(ge=5, le=3600)] = 30
    close_after_s: Annotated[int, Field(ge=0, le=604_800)] = 600
    outage_controllers: Annotated[int, Field(ge=2, le=20)] = 5
    outage_within_s: Annotated[int, Field(ge=5, le=600)] = 60
    settle_s: Annotated[int, Field(ge=0, le=600)] = 5
    shelve_at_most_s: Annotated[int, Field(ge=60, le=604_800)] = 28_800

    @model_validator(mode="after")
    def _has_all_levels(self) -> Self:
        if tuple(level.severity for level in self.levels) != RAISED:
            raise ValueError("levels are medium, high and critical, in this order")
        return self

    def kind(self, name: str) -> AlertKind:
        """How a kind is handled."""
        for one in (*self.kinds, *KINDS):
            if one.kind == name:
                return one
        return OTHER_KINDS
