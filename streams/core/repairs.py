"""Exceptions of a device (A5) and their repair cases (D3): what its conditions, time and operators make of them.

A fault that is told is diagnosed. A transient one is awaited to recover until its deadline; a permanent one, and one
that did not recover, is a repair case: opened, assigned, repaired, re-synced, verified, closed. A case counts as
repaired when somebody says so or the device does; then the device is asked for its state until it answers, and what it
answers verifies the repair or opens the case again. A verified one is watched for a while, so that a fault that comes
back goes on with the same case.

What a case makes of a device follows from the conditions as they stand, never from the message that changed them: so a
case can neither miss the end of its fault nor be there twice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from schemas.exceptions import DeviceStep
from schemas.ids import derive
from schemas.repair_requests import RepairAssignRequested, RepairCloseRequested, RepairDoneRequested, RepairRequest
from streams.core.diagnosis import OFFLINE, cause_of, condition_of, diagnose
from streams.core.hearing import Rules
from streams.core.watched import Condition, Repair, Watched

RECOVERING, OPENED, ASSIGNED, REPAIRED, VERIFIED = "recovering", "opened", "assigned", "repaired", "verified"
DISMISSED = "dismissed"
"""Closed although the fault is there: remembered until it is gone, so that it opens no other case."""
UNDER_REPAIR = frozenset({OPENED, ASSIGNED})
BY_ITSELF = "the device reports that it is gone"
_replace = msgspec.structs.replace


class Step(NamedTuple):
    """What happened to an exception, and how it stands after it; `active`: its fault is still there."""

    name: DeviceStep
    cause: str
    case: Repair
    active: bool
    request: RepairRequest | None = None
    forced: bool = False


class NotPossible(Exception):  # noqa: N818 - a refusal
    """A request that a case does not allow: a word for why, and a sentence with the fix."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


def lapse(device: Watched, at_ms: int, rules: Rules, *, excused: bool = False) -> tuple[Watched, list[Step]]:
    """What the deadlines up to that moment make of a device's exceptions.

    `excused`: most of its site is offline, so that its own silence says nothing of the device.
    """
    if not any(0 < case.due_ms <= at_ms for case in device.repairs.values()):
        return device, []
    course = _Course(device, at_ms, rules)
    for cause, case in device.repairs.items():
        if 0 < case.due_ms <= at_ms:
            course.lapse(cause, case, excused=excused and cause == OFFLINE)
    return course.end()


def follow(
    device: Watched, device_id: str, at_ms: int, rules: Rules, *, answered: bool = False
) -> tuple[Watched, list[Step]]:
    """What a device's conditions make of its exceptions; `answered`: it has just told its whole state when asked."""
    course = _Course(device, at_ms, rules)
    for cause, case in device.repairs.items():
        course.follow(cause, case, answered=answered)
    for name, condition in device.conditions.items():
        found = cause_of(name) if condition.told else None
        if found is not None and found not in device.repairs:
            course.begin(device_id, found, condition)
    return course.end()


def abandon(device: Watched, result: str) -> list[Step]:
    """The steps that end all exceptions of a device that is watched no longer."""
    return [
        Step("closed", cause, _replace(case, transition=case.transition + 1, due_ms=0, result=result), active=False)
        for cause, case in device.repairs.items()
        if case.stage != DISMISSED
    ]


def handle(device: Watched, request: RepairRequest, at_ms: int, rules: Rules) -> tuple[Watched, list[Step]]:
    """What an operator's request makes of a case.

    Raises:
        NotPossible: there is no such case, or it is not in a state for that.
    """
    found = next((one for one in device.repairs.items() if one[1].case_id == request.case_id), None)
    if found is None or found[1].stage in {RECOVERING, DISMISSED}:
        detail = f"{request.device_id} has no open repair case {request.case_id}: see `doorstream devices repairs`"
        raise NotPossible("unknown_repair", detail)
    course = _Course(device, at_ms, rules)
    course.handle(*found, request)
    return course.end()


class _Course:
    """The exceptions of one device while one cause is decided."""

    def __init__(self, device: Watched, at_ms: int, rules: Rules) -> None:
        self._device = device
        self._at_ms = at_ms
        self._rules = rules
        self._changed: dict[str, Repair] | None = None
        self._ask = False
        self._steps: list[Step] = []

    def end(self) -> tuple[Watched, list[Step]]:
        """The device after it, and the steps; one that was repaired is to be asked for its state now."""
        if self._changed is None:
            return self._device, []
        changes: dict[str, Any] = {"repairs": self._changed}
        if self._ask:
            # What it was asked before the repair tells nothing of it.
            changes |= {"probe_at_ms": self._at_ms, "probe_id": ""}
        return _replace(self._device, **changes), self._steps

    # -- what is so -------------------------------------------------------------------------------------------------

    def _condition(self, cause: str) -> Condition | None:
        return self._device.conditions.get(condition_of(cause))

    def _active(self, cause: str) -> bool:
        found = self._condition(cause)
        return found is not None and found.told

    def _steady(self, cause: str) -> bool:
        """Whether it is gone, and not just between two changes that are not told one by one."""
        found = self._condition(cause)
        return found is None or not (found.on or found.told or found.until_ms)

    # -- what changes -----------------------------------------------------------------------------------------------

    def _put(self, cause: str, case: Repair | None) -> None:
        if self._changed is None:
            self._changed = dict(self._device.repairs)
        if case is None:
            self._changed.pop(cause, None)
        else:
            self._changed[cause] = case

    def _tell(self, name: DeviceStep, cause: str, case: Repair, **how: Any) -> Repair:
        """A step: the case with one more transition is kept and told."""
        case = _replace(case, transition=case.transition + 1)
        self._put(cause, case)
        self._steps.append(Step(name, cause, case, self._active(cause), **how))
        return case

    def begin(self, device_id: str, cause: str, condition: Condition) -> None:
        """A fault is there: diagnose it."""
        found = diagnose(cause, self._rules)
        due_ms = condition.since_ms + found.recovery_ms if found.nature == "transient" else 0
        case = Repair(
            case_id=derive("device_exception", device_id, cause, condition.since_ms, *condition.number),
            stage=RECOVERING,
            nature=found.nature,
            began_ms=condition.since_ms,
            due_ms=due_ms,
            recover_by_ms=due_ms,
            detail=condition.detail,
            remedy=found.remedy,
        )
        case = self._tell("diagnosed", cause, case)
        if found.nature == "permanent":
            self._open(cause, case, self._at_ms)

    def _open(self, cause: str, case: Repair, at_ms: int) -> None:
        self._tell("opened", cause, _replace(case, stage=OPENED, nature="permanent", opened_ms=at_ms, due_ms=0))

    def _repaired(self, cause: str, case: Repair, result: str, request: RepairRequest | None = None) -> None:
        due_ms = self._at_ms + self._rules.timing.verify_within_s * 1000
        self._ask = True
        case = _replace(case, stage=REPAIRED, repaired_ms=self._at_ms, due_ms=due_ms, result=result)
        self._tell("repaired", cause, case, request=request)

    def _reopen(self, cause: str, case: Repair) -> None:
        stage = ASSIGNED if case.assigned_to else OPENED
        self._tell("reopened", cause, _replace(case, stage=stage, due_ms=0, repaired_ms=0, result=""))

    def _close(self, cause: str, case: Repair, **how: Any) -> None:
        active = self._active(cause)
        closed = self._tell("closed", cause, _replace(case, due_ms=0), **how)
        self._put(cause, _replace(closed, stage=DISMISSED) if active else None)

    def lapse(self, cause: str, case: Repair, *, excused: bool) -> None:
        """A deadline of a case is over."""
        timing = self._rules.timing
        if case.stage == RECOVERING and excused:
            later_ms = self._at_ms + diagnose(cause, self._rules).recovery_ms
            self._put(cause, _replace(case, due_ms=later_ms, recover_by_ms=later_ms))
        elif case.stage == RECOVERING:
            self._open(cause, case, case.due_ms)
        elif case.stage == REPAIRED and self._active(cause):
            self._reopen(cause, case)
        elif case.stage == REPAIRED:
            self._ask = True
            self._put(cause, _replace(case, due_ms=self._at_ms + timing.verify_within_s * 1000))
        else:
            self._close(cause, case)

    def follow(self, cause: str, case: Repair, *, answered: bool) -> None:
        """What the device's conditions make of a case."""
        active = self._active(cause)
        if case.stage == DISMISSED:
            if not active:
                self._put(cause, None)
        elif case.stage == RECOVERING:
            if not active:
                self._tell("recovered", cause, _replace(case, due_ms=0))
                self._put(cause, None)
        elif case.stage in UNDER_REPAIR:
            if not active:
                self._repaired(cause, case, BY_ITSELF)
        elif active and (case.stage == VERIFIED or answered):
            self._reopen(cause, case)
        elif case.stage == REPAIRED and answered and self._steady(cause):
            case = self._tell("resynced", cause, case)
            due_ms = self._at_ms + max(1, self._rules.timing.observe_s * 1000)
            self._tell("verified", cause, _replace(case, stage=VERIFIED, due_ms=due_ms))

    def handle(self, cause: str, case: Repair, request: RepairRequest) -> None:
        """What an operator asks for."""
        if isinstance(request, RepairAssignRequested):
            who = request.assigned_to or ""
            stage = case.stage if case.stage not in UNDER_REPAIR else ASSIGNED if who else OPENED
            self._tell("assigned", cause, _replace(case, stage=stage, assigned_to=who), request=request)
        elif isinstance(request, RepairDoneRequested):
            if case.stage not in UNDER_REPAIR:
                raise NotPossible("not_possible", f"it is {case.stage} already")
            self._repaired(cause, case, request.result, request)
        elif isinstance(request, RepairCloseRequested):
            active = self._active(cause)
            if active and not request.force:
                raise NotPossible("still_active", f"{cause} is still there; who may force it can close the case")
            result = request.result or case.result
            if not result.strip():
                raise NotPossible("not_possible", "say how it was handled: give a result")
            self._close(cause, _replace(case, result=result), request=request, forced=active)
