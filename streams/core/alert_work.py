"""What one cause does to alerts, step by step, each step seeing the ones before; and an alert as a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

import msgspec

from schemas.alerting import KINDS, OTHER_KINDS, AlertKind, AlertLevel, AlertRules, Inhibition
from schemas.alerts import DURESS, Alert, AlertAction, AlertThreat, LedTo, Notify
from schemas.base import trusted
from schemas.operators import OperatorRequest
from schemas.threats import Assessment
from schemas.vocabulary import Severity
from streams.core import reference
from streams.core.alert_state import (
    Around,
    Assessed,
    AtSite,
    Case,
    Led,
    Level,
    Outage,
    alert_key,
    around_key,
    outage_key,
    site_key,
)
from streams.core.keeping import Draft
from streams.core.passage import journal_position
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

_replace = msgspec.structs.replace
_USUAL = AlertRules()
_NOTHING_AROUND = Around()
_SEVERITIES = {severity.value: severity for severity in Severity}
_led = trusted(LedTo)
POLICIES_KEPT = 1_024
"""Policies' levels as messages show them: each alert carries its policy's, and thousands carry the same."""


class Handling(msgspec.Struct, frozen=True, gc=False):
    """How the alerts of a site are handled, by their kinds: worked out once for each version of the reference data.

    `levels` has those from each severity on; a low alert has none. `inhibitions` are by the kind that inhibits.
    """

    rules: AlertRules
    kinds: dict[str, AlertKind]
    levels: dict[Severity, tuple[Level, ...]]
    inhibitions: dict[str, Inhibition]

    def kind(self, name: str) -> AlertKind:
        """How a kind is handled."""
        return self.kinds.get(name, OTHER_KINDS)


def _handling(rules: AlertRules) -> Handling:
    levels = [level_of(level) for level in rules.levels]
    return Handling(
        rules,
        {kind.kind: rules.kind(kind.kind) for kind in (*KINDS, *rules.kinds)},
        {Severity.LOW: ()} | {level.severity: tuple(levels[at:]) for at, level in enumerate(rules.levels)},
        {one.by: one for one in reversed(rules.inhibitions)},
    )


class Work(Draft):
    """The alerts while one cause is decided: messages to be published, and what is kept."""

    def __init__(self, state: State, context: Context) -> None:
        super().__init__(state)
        self.context = context
        self.now_ms = context.now_ms
        self._messages: list[Outcome] = []

    def case(self, alert_id: str) -> Case | None:
        """An alert that is kept."""
        found: Case | None = self.get(alert_key(alert_id))
        return found

    def outcomes(self) -> list[Outcome]:
        """What is to be published, in order, and then what is kept."""
        return [*self._messages, *self.changes()]

    def handling(self, site_id: str) -> Handling:
        """How the alerts of a site are handled now, by their kinds."""
        references = self.context.references
        key = ("alerts", site_id)
        known: Handling | None = references.derived.get(key)
        if known is None:
            site = reference.site(references, site_id)
            policy = reference.policy(references, site.policy_id) if site is not None else None
            known = references.derived[key] = _handling(policy.alerts if policy is not None else _USUAL)
        return known

    def inhibition(self, case: Case) -> Inhibition | None:
        """What an alert inhibits, if it does."""
        return self.handling(case.site_id).inhibitions.get(case.kind)

    def rules(self, site_id: str) -> AlertRules:
        """How the alerts of a site are handled now."""
        return self.handling(site_id).rules

    def settle_ms(self, case: Case) -> int:
        """How long after its return a controller has told how its doors are: a heartbeat, and the policy's time."""
        references = self.context.references
        site = reference.site(references, case.site_id)
        policy = reference.policy(references, site.policy_id) if site is not None else None
        device = reference.device(references, case.device_id or "")
        if policy is None:
            return _USUAL.settle_s * 1000
        timing = policy.monitoring.timing(device.model if device is not None else "")
        return (timing.heartbeat_s + policy.alerts.settle_s) * 1000

    def publish(self, outcome: Outcome) -> None:
        """Publish something else than an alert's transition."""
        self._messages.append(outcome)

    def keep(self, case: Case, **changes: Any) -> Case:
        """Keep an alert with some changes that nobody need be told."""
        after = _replace(case, **changes)
        self.put(alert_key(case.alert_id), after)
        return after

    def tell(
        self,
        model: type[Alert],
        case: Case,
        *,
        notify: bool = False,
        request: OperatorRequest | None = None,
        **changes: Any,
    ) -> Case:
        """A transition: the alert with these changes is kept and published.

        `notify`: those of its level are to be told, and must acknowledge within its time from now, unless somebody has.
        """
        after = _replace(case, transition=case.transition + 1, seen=changes.get("count", case.count), **changes)
        level = after.level
        if notify and level is not None:
            more = after.acknowledged_ms is None and (after.told < level.repeats or level is not after.levels[-1])
            due_ms = self.now_ms + level.within_s * 1000 if more else None
            after = _replace(after, step=after.step + 1, due_ms=due_ms)
        elif after.due_ms is not None and (after.quiet or after.acknowledged_ms is not None):
            after = _replace(after, due_ms=None)
        self.put(alert_key(after.alert_id), after)
        self._messages.append(_message(model, after, self.context, notify=notify, request=request))
        return after

    def inhibitor_afar(self, case: Case) -> str | None:
        """The alert that inhibits one of this kind at the whole site, or all that fell silent with its controller.

        Or all of its controller, where so many are open there that this one is not in its list.
        """
        found: AtSite | None = self.get(site_key(case.site_id))
        if found is not None and case.kind in found.only:
            return found.inhibitor_id
        if case.outage is None:
            around = self.around(case)
            apart = case.alert_id not in around.alert_ids and case.kind not in {DURESS, *around.spares}
            return around.inhibitor_id if apart else None
        outage: Outage | None = self.get(outage_key(case.site_id, case.upstream))
        inhibits = outage is not None and outage.inhibits and outage.alert_id == case.outage
        return case.outage if inhibits else None

    # -- the alerts of a controller and its doors ---------------------------------------------------------------

    def around(self, case: Case) -> Around:
        """What is open at the controller of an alert."""
        if case.device_id is None:
            return _NOTHING_AROUND
        return self.around_device(case.site_id, case.device_id)

    def around_device(self, site_id: str, device_id: str) -> Around:
        """What is open at a controller."""
        found: Around = self.get(around_key(site_id, device_id)) or _NOTHING_AROUND
        return found

    def put_around(self, case: Case, around: Around) -> None:
        """Keep what is open at the controller of an alert."""
        if case.device_id is not None:
            key = around_key(case.site_id, case.device_id)
            self.put(key, around if around != _NOTHING_AROUND else None)


def level_of(level: AlertLevel) -> Level:
    """A level as it is kept on an alert."""
    return Level(
        level.severity.value, level.acknowledge_within_s, level.repeats, tuple(level.channels), tuple(level.recipients)
    )


def _message(
    model: type[Alert], case: Case, context: Context, *, notify: bool, request: OperatorRequest | None
) -> Alert:
    level, acting = case.level, case.acting
    fields = {
        "alert_id": case.alert_id,
        "site_id": case.site_id,
        "kind": case.kind,
        "severity": _SEVERITIES[case.severity],
        "state": case.state,
        "dedup_key": case.dedup_key,
        "count": case.count,
        "door_id": case.door_id,
        "access_point_id": case.access_point_id,
        "device_id": case.device_id,
        "cardholder_id": case.cardholder_id,
        "cause_id": case.cause_id,
        "summary": case.summary,
        "raised_at": from_ms(case.raised_ms),
        "updated_at": from_ms(context.now_ms),
        "journal": journal_position(context),
        "transition": case.transition,
        "active": case.active,
        "notify": _notify(case.step, level) if notify and level is not None else None,
        "escalation": _levels(case.levels),
        "next_escalation_at": _moment(case.due_ms),
        "procedure": case.procedure,
        "led_to": tuple([_led_to(led) for led in case.led_to]),
        "acknowledged_at": _moment(case.acknowledged_ms),
        "acknowledged_by": case.acknowledged_by,
        "assigned_to": case.assigned_to,
        "shelved_until": _moment(case.shelved_until_ms),
        "suppressed_by": case.suppressed_by,
        "action": None
        if acting is None or not acting.attempt
        else AlertAction.model_validate(
            {"action": acting.action, "attempt": acting.attempt, "attempts": acting.attempts, "verdict": acting.verdict}
        ),
        "plan_proposed": case.plan if case.severity == Severity.CRITICAL.value else None,
        "assessment": None if case.assessed is None else _assessment(case.assessed),
        "threat": None if case.assessed is None else _threat(case.assessed),
        "result": case.result,
        "forced": case.forced,
        "operator_id": request.operator_id if request is not None else None,
        "request_id": request.request_id if request is not None else None,
        "comment": request.reason if request is not None else "",
    }
    return _made_of(model)(fields)


@cache
def _made_of(model: type[Alert]) -> Callable[[Mapping[str, Any]], Alert]:
    """What makes alerts: all that is in them was checked as a part of the messages and the policy that it came from."""
    return trusted(model)


def _led_to(led: Led) -> LedTo:
    return _led({"at": from_ms(led.at_ms), "type": led.type, "id": led.id, "summary": led.summary})


def _assessment(found: Assessed) -> Assessment:
    factors = [{"name": name, "points": points, "detail": detail} for name, points, detail in found.factors]
    return Assessment.model_validate({"level": found.level, "score": found.score, "factors": factors})


def _threat(found: Assessed) -> AlertThreat | None:
    if found.threat_id is None:
        return None
    return AlertThreat(threat_id=found.threat_id, response=found.response, confirm=found.confirm)


def _moment(milliseconds: int | None) -> Any:
    return None if milliseconds is None else from_ms(milliseconds)


@lru_cache(maxsize=POLICIES_KEPT)
def _levels(levels: tuple[Level, ...]) -> tuple[AlertLevel, ...]:
    return tuple(_level(one) for one in levels)


def _level(level: Level) -> AlertLevel:
    return AlertLevel.model_validate(
        {
            "severity": level.severity,
            "acknowledge_within_s": level.within_s,
            "repeats": level.repeats,
            "channels": level.channels,
            "recipients": level.recipients,
        }
    )


@lru_cache(maxsize=POLICIES_KEPT)
def _notify(step: int, level: Level) -> Notify:
    return Notify.model_validate(
        {
            "step": step,
            "severity": level.severity,
            "channels": level.channels,
            "recipients": level.recipients,
        }
    )
