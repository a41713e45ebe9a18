"""The security desk of a demo: op-7 starts lockdowns, op-1 and op-2 give the all-clear, and the report is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.incidents import LockdownReleaseRequested, LockdownRequested
from schemas.operators import OperatorRequest
from schemas.rules import Policy
from schemas.vocabulary import ThreatLevel
from streams.commands.finding_lockdowns import case_of
from streams.commands.lockdown_report import html_report
from streams.commands.lockdown_stories import LockdownStories
from streams.commands.stories import Step, Told
from streams.loading.campus import Campus
from streams.settings import Settings
from streams.simulator.scene import Story

STARTS, RELEASES, RELEASES_TOO = "op-7", "op-1", "op-2"
THINKS_S = 1.5
"""How long somebody looks before the next step."""

LOOKS_FOR_REFUSALS = 20
"""How often the report waits for the store to know of everybody who was refused."""

Ask = Callable[[OperatorRequest], Awaitable[None]]
"""Publishes a request."""

_REASONS = {Story.LOCKDOWN_DRILL: "the drill of this month", Story.LOCKDOWN: "an intruder, seen by reception"}
_OVER = {Story.LOCKDOWN_DRILL: "everybody knew what to do", Story.LOCKDOWN: "searched by the police: nobody is there"}


class LockdownDesk:
    """Does what is next for each lockdown, once, some time after it could be done."""

    def __init__(self, settings: Settings, stories: LockdownStories, campus: Campus, folder: Path) -> None:
        self._settings = settings
        self._stories = stories
        self._folder = folder
        policies = [one for one in campus.records.get("policy", {}).values() if isinstance(one, Policy)]
        plans = [plan for policy in policies for plan in policy.lockdowns if plan.two_person_release]
        self._plan_id = plans[0].plan_id if plans else None
        self._due: dict[tuple[str, Story, str], float] = {}
        self._done: set[tuple[str, Story, str]] = set()
        self._looked: Counter[str] = Counter()

    async def act(self, now_s: float, ask: Ask, new_id: Callable[[str], str]) -> None:
        """Do what is due. `now_s` is any clock that runs on; `new_id` makes ids of requests by an operator."""
        for found in self._stories.all():
            step = self._next(found)
            key = (found.site_id, found.story, step or "")
            if step is None or key in self._done or now_s < self._due.setdefault(key, now_s + THINKS_S):
                continue
            if step == "report":
                await self._report(found)
                continue
            self._done.add(key)
            who = {"start": STARTS, "approve": RELEASES}.get(step, RELEASES_TOO)
            await ask(self._request(found, step, who, new_id(who)))

    def _next(self, found: Told) -> str | None:
        one = found.incident
        if found.cause is None or found.done("report"):
            return None
        if one is None:
            return "start"
        if one["released_at"]:
            return None if one["drill"] else "report"
        if one["releasing_at"] or not (one["effective_at"] if one["drill"] else one["secured_at"]):
            return None
        return "approve second" if one["approved_by"] else "approve"

    def _request(self, found: Told, step: str, who: str, request_id: str) -> OperatorRequest:
        named: dict[str, Any] = {"request_id": request_id, "site_id": found.site_id, "operator_id": who}
        named["occurred_at"] = datetime.now(UTC)
        if step != "start":
            incident_id = (found.incident or {})["incident_id"]
            return LockdownReleaseRequested(**named, incident_id=incident_id, reason=_OVER[found.story])
        drill = found.story is Story.LOCKDOWN_DRILL
        zone_id = found.cause.goal if found.cause is not None else ""
        plan_id = None if drill else self._plan_id
        given = {"zone_id": zone_id, "threat_level": ThreatLevel.HIGH, "plan_id": plan_id, "drill": drill}
        return LockdownRequested(**named, **given, reason=_REASONS[found.story])

    async def _report(self, found: Told) -> None:
        """Write the report, when the store knows of everybody who was refused, or will not for a long while."""
        steps = self._stories.steps[(found.incident or {})["incident_id"]]
        case = await case_of(self._settings, steps)
        refused = self._stories.report(found)["refused"]
        self._looked[found.site_id] += 1
        if case is None or (len(case.refused) < refused and self._looked[found.site_id] < LOOKS_FOR_REFUSALS):
            return
        path = self._folder / f"lockdown-{found.site_id}.html"
        path.write_text(html_report(steps, case), encoding="utf-8")
        found.steps.append(Step(datetime.now(UTC), "report", f"is in {path.name}"))
