"""A campus in a hurry: what a policy says in minutes, and a controller in quarters of one, in seconds."""

from __future__ import annotations

from schemas.alerting import AlertLevel, AlertRules
from schemas.rules import DeviceTiming, Policy
from streams.loading.campus import Campus

LEAST_ACKNOWLEDGE_S = 10
"""No policy asks for less."""

HEARTBEAT_S, OFFLINE_AFTER_S = 5, 25
"""So much longer that no controller is missed before the day begins, nor on a machine that has much else to do."""


def hurried(campus: Campus) -> Campus:
    """The campus with a minute of its escalation policies as a second, and controllers that are missed in seconds."""
    records = {name: dict(found) for name, found in campus.records.items()}
    for id_, policy in campus.records["policy"].items():
        if isinstance(policy, Policy):
            timing = {"heartbeat_s": HEARTBEAT_S, "offline_after_s": OFFLINE_AFTER_S}
            types = tuple(one.model_copy(update=timing) for one in policy.monitoring.types if _quick(one))
            monitoring = policy.monitoring.model_copy(update={**timing, "types": types})
            changes = {"alerts": _alerts(policy.alerts), "monitoring": monitoring}
            records["policy"][id_] = policy.model_copy(update=changes)
    return Campus(records, campus.pins, campus.templates)


def _quick(timing: DeviceTiming) -> bool:
    return timing.offline_after_s >= OFFLINE_AFTER_S


def _alerts(rules: AlertRules) -> AlertRules:
    levels = tuple(_level(level) for level in rules.levels)
    return rules.model_copy(update={"levels": levels, "close_after_s": rules.close_after_s // 60})


def _level(level: AlertLevel) -> AlertLevel:
    return level.model_copy(update={"acknowledge_within_s": max(LEAST_ACKNOWLEDGE_S, level.acknowledge_within_s // 60)})
