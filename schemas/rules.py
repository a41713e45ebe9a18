"""Reference data about rules: schedules, holiday calendars and policies."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - a field is called date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.alerting import AlertRules
from schemas.base import Frozen, Id, Message, Text
from schemas.diagnosis import FaultRule
from schemas.lockdown_plans import LockdownPlan
from schemas.places import Seconds, Thresholds
from schemas.threat_rules import ThreatRules
from schemas.vocabulary import Enforcement, FactorKind

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
"""Local wall time `HH:MM`; `24:00` is the end of the day."""

Right = Literal[
    "unlock",
    "forgive_passback",
    "end_lockout",
    "acknowledge_alerts",
    "shelve_alerts",
    "force_alerts",
    "monitor_duress",
    "repair_devices",
    "force_repairs",
    "start_lockdown",
    "release_lockdown",
    "override_lockdown",
    "set_door_modes",
    "set_threat_level",
]
"""`acknowledge_alerts`: also comment, assign, resolve and close; `force_alerts`: close while the cause is active.
`repair_devices`: assign, report as repaired and close; `force_repairs`: close while the fault is there.
`override_lockdown`: declare one formally effective, whoever is still inside.
`set_threat_level`: also clear it, and end heightened monitoring."""


class Window(Frozen):
    """A span of local wall time on some weekdays; an end not after the start lies on the next day.

    The start is included, the end is not. A window belongs to the day on which it starts.
    """

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)]
    start: ClockTime
    end: ClockTime


class HolidayWindow(Frozen):
    """What applies instead on holidays of that kind; no windows of a kind = closed on such days."""

    kind: Id
    start: ClockTime
    end: ClockTime


class Schedule(Message):
    """When access is allowed, in the site's time zone. On a holiday only `holidays` windows of its kind apply."""

    type: Literal["schedule"] = "schedule"
    schedule_id: Id
    name: Text
    windows: tuple[Window, ...]
    holidays: tuple[HolidayWindow, ...] = ()
    observes_holidays: bool = True


class Holiday(Frozen):
    """One day of a calendar, local to the site."""

    date: Date
    name: Text = ""
    kind: Id = "holiday"


class HolidayCalendar(Message):
    """The holidays of a region."""

    type: Literal["holiday_calendar"] = "holiday_calendar"
    holiday_calendar_id: Id
    name: Text
    days: tuple[Holiday, ...]


class SingleMethod(Frozen):
    """One factor is enough."""

    kind: Literal["single"] = "single"
    factor: FactorKind


class AllRequired(Frozen):
    """Every one of the factors must pass."""

    kind: Literal["all_required"] = "all_required"
    factors: Annotated[tuple[FactorKind, ...], Field(min_length=2)]


class Fusion(Frozen):
    """The weighted sum of the factors' scores must reach the threshold (a card counts 1 when it is good, else 0)."""

    kind: Literal["fusion"] = "fusion"
    weights: dict[FactorKind, Annotated[float, Field(gt=0, le=1)]]
    threshold: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _weights_make_one(self) -> Self:
        if len(self.weights) < 2:  # noqa: PLR2004 - a fusion of one is none
            raise ValueError("a fusion needs at least two factors")
        if abs(sum(self.weights.values()) - 1.0) > 1e-6:  # noqa: PLR2004
            raise ValueError("the weights of a fusion must add up to 1")
        return self


Method = Annotated[SingleMethod | AllRequired | Fusion, Field(discriminator="kind")]


class OperatorRights(Frozen):
    """What an operator may do at the sites of this policy."""

    operator_id: Id
    rights: tuple[Right, ...]


class DeviceTiming(Frozen):
    """How often a device is to be heard: `offline_after_s` without a message and it is offline (M1).

    A probe is sent every `probe_every_s` (0: never), and less often to a device that is offline.

    A transient fault may last for `recovery_s`; then it is a case for repair. A repaired device is asked for its state
    until it answers, every `verify_within_s`; then it is watched for `observe_s` before the case is closed. `faults` is
    the table of what is transient and what is not, before the usual one (A5).
    """

    heartbeat_s: Annotated[int, Field(ge=1, le=86_400)] = 15
    offline_after_s: Annotated[int, Field(ge=1, le=604_800)] = 45
    probe_every_s: Annotated[int, Field(ge=0, le=604_800)] = 300
    recovery_s: Annotated[int, Field(ge=1, le=2_592_000)] = 900
    verify_within_s: Annotated[int, Field(ge=5, le=86_400)] = 300
    observe_s: Annotated[int, Field(ge=0, le=604_800)] = 600
    faults: Annotated[tuple[FaultRule, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _waits_for_a_heartbeat(self) -> Self:
        if self.offline_after_s <= self.heartbeat_s:
            raise ValueError("offline_after_s must be more than heartbeat_s: a device that is well would be offline")
        return self


class DeviceType(DeviceTiming):
    """Other times for the devices of a model, as their records name it."""

    model: Annotated[Text, Field(min_length=1)]


class Monitoring(DeviceTiming):
    """How devices are watched; `types` for the models that differ.

    A clock off by more than `clock_tolerance_s` is wrong, and right again within half of it. What changes more than
    `flapping_changes` times in `flapping_window_s` is told as flapping, and then again when it has kept still as long.
    """

    types: tuple[DeviceType, ...] = ()
    clock_tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = 5
    flapping_changes: Annotated[int, Field(ge=2, le=100)] = 6
    flapping_window_s: Annotated[int, Field(ge=1, le=86_400)] = 600

    def timing(self, model: str) -> DeviceTiming:
        """The times of the devices of a model."""
        return next((one for one in self.types if one.model == model), self)


class OfflineMode(Frozen):
    """How a network fault is handled (A5): a probe or a command must be answered within `answer_within_s`.

    A permission snapshot ends `snapshot_valid_s` after its issue, and is renewed when half of that is over.
    """

    answer_within_s: Annotated[int, Field(ge=1, le=3600)] = 10
    snapshot_valid_s: Annotated[int, Field(ge=600, le=2_592_000)] = 86_400


class LockoutLimits(Frozen):
    """When a credential or a cardholder is locked, and for how long (A4).

    `failures` within `window_s` lock for `lock_s`; each further lock within `ladder_s` lasts twice as long as the one
    before, at most `longest_lock_s`, and after `permanent_after` of them the next holds until somebody ends it.
    """

    failures: Annotated[int, Field(ge=2, le=10)] = 3
    window_s: Annotated[int, Field(ge=10, le=3600)] = 300
    lock_s: Annotated[int, Field(ge=10, le=86_400)] = 300
    longest_lock_s: Annotated[int, Field(ge=10, le=86_400)] = 3600
    permanent_after: Annotated[int, Field(ge=1, le=10)] = 5
    ladder_s: Annotated[int, Field(ge=3600, le=604_800)] = 86_400

    @model_validator(mode="after")
    def _longest_is_longest(self) -> Self:
        if self.longest_lock_s < self.lock_s:
            raise ValueError("longest_lock_s must not be below lock_s")
        return self


class AccessPointLimits(Frozen):
    """When an access point is locked for single factors because many credentials are guessed at it (A4).

    `failures` by at least `numbers` different numbers within `window_s` lock it for `lock_s`; half as many failures are
    told of before. Such a lock never doubles and is never permanent. `soft` only tells, `off` does not even count.
    """

    failures: Annotated[int, Field(ge=4, le=50)] = 20
    numbers: Annotated[int, Field(ge=2, le=20)] = 5
    window_s: Annotated[int, Field(ge=10, le=600)] = 60
    lock_s: Annotated[int, Field(ge=10, le=600)] = 60
    enforcement: Enforcement = Enforcement.HARD


class Lockout(Frozen):
    """What failed attempts lead to: the limits of each of the three independent counters (A4)."""

    credential: LockoutLimits = LockoutLimits()
    cardholder: LockoutLimits = LockoutLimits()
    access_point: AccessPointLimits = AccessPointLimits()


class Policy(Message):
    """How to authenticate and how strict to be.

    Of `methods`, the one with the most factors whose factors were all presented is run; where none is complete, the
    first one that a presented factor belongs to names what is missing. `online_s` and `grace_s` bound the age of a
    request that may still actuate (A3).
    """

    type: Literal["policy"] = "policy"
    policy_id: Id
    name: Text = ""
    methods: Annotated[tuple[Method, ...], Field(min_length=1)]
    thresholds: Thresholds = Thresholds(face=0.75, fingerprint=0.75)
    online_s: Seconds = 5
    grace_s: Seconds = 30
    device_rate_per_s: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    device_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    monitoring: Monitoring = Monitoring()
    offline_mode: OfflineMode = OfflineMode()
    lockout: Lockout = Lockout()
    alerts: AlertRules = AlertRules()
    lockdowns: tuple[LockdownPlan, ...] = ()
    threats: ThreatRules = ThreatRules()
    operators: tuple[OperatorRights, ...] = ()

    @model_validator(mode="after")
    def _has_thresholds(self) -> Self:
        if self.thresholds.face is None or self.thresholds.fingerprint is None:
            raise ValueError("a policy needs both thresholds: face and fingerprint")
        return self
