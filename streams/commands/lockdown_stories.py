"""What is told of the lockdowns of a demo, as steps of their stories: from the request to the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from schemas.people import Cardholder
from schemas.places import Zone
from streams.commands.stories import Step, Stories, Told
from streams.loading.campus import Campus
from streams.simulator.scene import Story
from streams.simulator.stories import LOCKDOWNS

Fields = dict[str, Any]
UNCONFIRMED = "door_mode_unconfirmed"
_EARLIER_S = 1.0
_TIMES = ("confirmed", "secured", "effective", "releasing", "released")


class LockdownStories:
    """Puts incidents, refusals and alerts about doors into the stories of lockdowns. `steps`: each as it was told."""

    def __init__(self, stories: Stories, campus: Campus) -> None:
        self.steps: dict[str, list[Fields]] = defaultdict(list)
        self._stories = stories
        records = campus.records
        self._zones = {id_: one for id_, one in records.get("zone", {}).items() if isinstance(one, Zone)}
        self._people = {id_: one for id_, one in records.get("cardholder", {}).items() if isinstance(one, Cardholder)}

    def all(self) -> Iterator[Told]:
        """The stories of lockdowns that are on the day."""
        yield from (one for one in self._stories.told.values() if one.story in LOCKDOWNS and not one.missing)

    def on_incident(self, fields: Fields) -> None:
        """A lockdown as it stands."""
        found = self._story_of(fields)
        if found is not None:
            before, found.incident = found.incident, fields
            self.steps[fields["incident_id"]].append(fields)
            found.steps += _steps_of(fields, before)

    def on_decision(self, fields: Fields) -> None:
        """Somebody was refused because of a lockdown, let out of it, or let in by a controller alone."""
        for found in self.all():
            one = found.incident
            if one is None or one["drill"] or one["releasing_at"] or fields.get("site_id") != one["site_id"]:
                continue
            kind = self._kind(fields, one)
            if kind is not None:
                who = self._people.get(fields.get("cardholder_id") or "")
                name = f"{who.name} ({who.cardholder_id})" if who is not None else "somebody unknown"
                found.steps.append(Step(_moment(fields["decided_at"]), kind, f"{name} at {fields['access_point_id']}"))

    def on_alert(self, fields: Fields) -> None:
        """An alert about a door that has not confirmed."""
        if fields["kind"] != UNCONFIRMED or fields["type"] != "alert_raised":
            return
        for found in self.all():
            doors = {one["door_id"] for one in (found.incident or {}).get("unconfirmed", ())}
            if fields.get("door_id") in doors:
                found.steps.append(Step(_moment(fields["updated_at"]), "alert", _severe(fields)))

    def report(self, found: Told) -> dict[str, Any]:
        """A lockdown's numbers for a script: doors, seconds until each step, the missing doors, who was refused."""
        steps = self.steps[found.incident["incident_id"]] if found.incident is not None else []
        if not steps:
            return {}
        first, last = steps[0], steps[-1]
        locked = [one for one in steps if one["releasing_at"] is None]
        missing = {one["door_id"]: one["why"] for step in locked for one in step["unconfirmed"] if one["why"]}
        times = {f"seconds_until_{name}": _seconds(first["started_at"], last[f"{name}_at"]) for name in _TIMES}
        kinds = ("refused", "let out", "let in alone")
        counts = {name: sum(step.kind == name for step in found.steps) for name in kinds}
        return {
            "incident_id": last["incident_id"],
            "zone_id": last["zone_id"],
            "doors": last["doors"],
            "confirmed": locked[-1]["confirmed"],
            "secured": locked[-1]["secured"],
            "missing": missing,
            "approved_by": list(last["approved_by"]),
            "refused": counts["refused"],
            "let_out": counts["let out"],
            "let_in_offline": counts["let in alone"],
            **times,
        }

    def _kind(self, fields: Fields, incident: Fields) -> str | None:
        """What a decision is to a lockdown; what came too late was no answer to anybody."""
        zone_id, entry = incident["zone_id"], fields.get("direction") == "entry"
        if fields["timeliness"] == "offline":
            since = _moment(fields["occurred_at"]) >= _moment(incident["started_at"])
            entered = fields["recorded_outcome"] == "granted" and entry and since
            return "let in alone" if entered and self._inside(fields["zone_to"] or "", zone_id) else None
        if fields["timeliness"] == "late":
            return None
        if fields["type"] == "access_denied" and fields["reason"] == "lockdown":
            return "refused"
        return "let out" if not entry and self._inside(fields.get("zone_from") or "", zone_id) else None

    def _inside(self, zone_id: str, scope: str) -> bool:
        zone = self._zones.get(zone_id)
        return zone is not None and (zone_id == scope or self._inside(zone.parent_id or "", scope))

    def _story_of(self, fields: Fields) -> Told | None:
        story = Story.LOCKDOWN_DRILL if fields["drill"] else Story.LOCKDOWN
        found = self._stories.told.get((fields["site_id"], story))
        if found is None or found.cause is None:
            return None
        if found.incident is not None:
            return found if found.incident["incident_id"] == fields["incident_id"] else None
        late_s = (_moment(fields["started_at"]) - found.cause.at).total_seconds()
        return found if late_s >= -_EARLIER_S else None


def _steps_of(fields: Fields, before: Fields | None) -> Iterator[Step]:
    at, kind = _moment(fields["decided_at"]), str(fields["type"]).removeprefix("lockdown_")
    doors, by = fields["doors"], ", ".join(fields["approved_by"]) or "itself"
    if kind == "started":
        what = "a drill, nobody is refused" if fields["drill"] else fields["reason"]
        yield Step(at, kind, f"{doors} doors of {fields['zone_id']}, plan {fields['plan_id']}: {what}")
    elif kind == "release_approved":
        yield Step(at, "approved", f"by {by}; this plan asks for two people")
    elif kind == "releasing":
        yield Step(at, "all-clear", f'by {by}: "{fields["release_reason"]}"')
    elif kind == "released":
        yield Step(at, kind, f"{fields['confirmed']} of {doors} doors have what is left to them")
    elif fields["releasing_at"] is None and not fields["drill"]:
        if before is None or fields["confirmed"] != before["confirmed"]:
            yield Step(at, "confirmed", f"{fields['confirmed']} of {doors}, {fields['secured']} shut")
        missing = _missing(fields)
        if missing and missing != _missing(before or {}):
            yield Step(at, "missing", missing)
        if kind == "effective":
            yield Step(at, kind, "formally effective")
        if fields["secured_at"] and not (before or {}).get("secured_at"):
            yield Step(
                at, "secured", f"every door is shut, {_seconds(fields['started_at'], fields['secured_at'])} s on"
            )


def _missing(fields: Fields) -> str:
    """The doors of which it is known why they have not confirmed."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in fields.get("unconfirmed", ()):
        if one["why"] is not None:
            by_reason[str(one["why"]).replace("_", " ")].append(one["door_id"])
    return "; ".join(f"{', '.join(sorted(doors))} ({why})" for why, doors in sorted(by_reason.items()))


def _severe(fields: Fields) -> str:
    return f"{fields['severity']}: {fields['summary']}"


def _seconds(start: str, end: str | None) -> float | None:
    return None if end is None else round((_moment(end) - _moment(start)).total_seconds(), 1)


def _moment(text: Any) -> datetime:
    return datetime.fromisoformat(str(text))
