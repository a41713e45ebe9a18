"""A decision in sentences, derived from the compact checks that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.vocabulary import MEANINGS, Reason

TITLES = {
    "admission": "the message itself",
    "in-service": "access point and device in service",
    "posture": "posture of the zone",
    "threat-level": "threat level of the zone",
    "credential": "credential and authentication",
    "lockout": "lockout",
    "permission": "a permission at this site",
    "validity": "validity of the permission",
    "permission-type": "type of the permission",
    "schedule": "schedule and holidays",
    "device-permission": "permission for this door",
    "passback": "anti-passback",
    "occupancy": "occupancy limit",
    "two-person": "two-person rule",
    "escort": "escort",
    "interlock": "interlock",
    "first-person-in": "first person in",
    "risk": "risk",
}
_SIGNS = {"passed": "ok  ", "failed": "FAIL", "soft": "soft", "skipped": "-   "}


def explain(decision: Mapping[str, Any]) -> list[str]:
    """The lines that say what was decided, why, and how each check went. `decision` is the message's JSON object."""
    granted = decision.get("type") == "access_granted"
    who = decision.get("cardholder_id") or "somebody unknown"
    way = f"{decision.get('zone_from')} -> {decision.get('zone_to')}"
    direction = decision.get("direction") or "unknown direction"
    outcome = "GRANTED" if granted else "DENIED"
    lines = [f"{outcome}  {who} at {decision.get('access_point_id')} ({direction}, {way})"]
    if decision.get("reason"):
        lines.append(f"because {decision['reason']}: {MEANINGS[Reason(decision['reason'])]}")
    lines.append(
        f"decided {decision.get('decided_at')}, {decision.get('timeliness')}, {decision.get('age_ms')} ms after it "
        f"arrived; policy {decision.get('policy_version')}"
    )
    lines += [_factor(factor) for factor in decision.get("factors", ())]
    if decision.get("fused_score") is not None:
        lines.append(f"fused score {decision['fused_score']}")
    for name, outcome, inputs in decision.get("checks", ()):
        lines.append(f"{_SIGNS.get(outcome, outcome)}  {TITLES.get(name, name):34} {inputs}".rstrip())
    if decision.get("recorded_outcome"):
        agrees = "another outcome than" if decision.get("difference") else "the same outcome as"
        lines.append(f"the controller had {decision['recorded_outcome']} it alone: {agrees} now")
        recorded = decision.get("recorded") or {}
        if recorded.get("cause"):
            version = recorded.get("snapshot_version") or "none"
            lines.append(f"its mode was {recorded['mode']}, snapshot {version}; likely because: {recorded['cause']}")
    return lines


def _factor(factor: Mapping[str, Any]) -> str:
    score = factor.get("score")
    how = f" with {score:.3f} against a threshold of {factor.get('threshold')}" if score is not None else ""
    return f"factor {factor.get('kind')}: {factor.get('result')}{how}"
