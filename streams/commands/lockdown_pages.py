"""Lockdowns as lines for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sinks.lockdown_queries import CaseFile
from streams.commands.rendering import counts
from streams.commands.terminal import clock, printable

Fields = Mapping[str, Any]
_TIMES = ("confirmed", "secured", "effective", "released")


def page(one: Fields) -> list[str]:
    """A lockdown as a guard reads it."""
    kind = kind_of(one)
    lines = [
        f"{one['incident_id']}",
        f"what      {kind} of {one['zone_id']}, threat {one['threat_level']}, since {clock(one['started_at'])[:8]}",
        f"why       {one['reason']} ({started(one)})",
        *(
            f"escalated {clock(past['at'])[:8]} from {past['zone_id']} by {past['operator_id']}: {past['reason']}"
            for past in one.get("escalations", ())
        ),
        f"doors     {counts(one)}",
    ]
    lines += [f"  {line}" for line in not_well(one)]
    lines.append(f"inside    {one['inside']}")
    lines.append(f"effective {_effective(one)}")
    if one["approved_by"] and not one["releasing_at"]:
        lines.append(f"all-clear given by {', '.join(one['approved_by'])}: somebody else must give it, too")
    if one["releasing_at"]:
        done = f"released {clock(one['released_at'])[:8]}" if one["released_at"] else "being released"
        lines.append(f"end       {done} by {', '.join(one['approved_by']) or 'itself'}: {one['release_reason']}")
    return [printable(line) for line in lines]


def not_well(one: Fields) -> Iterator[str]:
    """The doors that are not as they should be, by what is wrong with them."""
    wrong: dict[str, list[str]] = {}
    for door in one["unconfirmed"]:
        why = f"({door['why'].replace('_', ' ')})" if door["why"] else "yet"
        wrong.setdefault(f"not confirmed {why}", []).append(door["door_id"])
    if one["propped"]:
        wrong["stands open"] = one["propped"]
    return (f"{what}: {', '.join(doors)}" for what, doors in wrong.items())


def kind_of(one: Fields) -> str:
    """What it is: the real thing, or which kind of drill."""
    if not one["drill"]:
        return "lockdown"
    return "drill with real commands" if one.get("drill_commands") else "drill"


def started(one: Fields) -> str:
    """Who or what started it."""
    by = f"started by {one['operator_id'] or 'the policy'}"
    return by if one["cause"] == "operator" else f"{by} for {one['cause']} {one['cause_id']}"


def _effective(one: Fields) -> str:
    if not one["effective_at"]:
        return "not yet"
    by = one.get("effective_by")
    return clock(one["effective_at"])[:8] + (f" declared by {by}: {one['effective_reason']}" if by else "")


def case_lines(case: CaseFile | None) -> Iterator[str]:
    """What the store knows of a lockdown, as lines; how many of each, and the attempts to enter."""
    if case is None:
        yield "doors, people inside and refused attempts: set DOORSTREAM_POSTGRES to see them"
        return
    first = [one for one in case.doors if one["first_confirmed_at"]]
    yield f"locked    {len(first)} of {len(case.doors)} doors have confirmed at some time"
    end = "still lasts" if case.at_end is None else f"{len(case.at_end)} at the all-clear"
    yield f"people    {len(case.at_start)} inside at the start, {end}"
    yield f"refused   {len(case.refused)} attempts"
    yield from _attempts(case.refused)
    if case.let_in_offline:
        yield f"let in    {len(case.let_in_offline)}, by controllers alone that could not be reached"
        yield from _attempts(case.let_in_offline)


def _attempts(found: Sequence[Fields]) -> Iterator[str]:
    for one in found:
        who = one["name"] or one["cardholder_id"] or "nobody known"
        yield printable(f"  {clock(one['at'])} {who} at {one['access_point_id']}")


def report_fields(steps: Sequence[Fields], case: CaseFile | None) -> dict[str, Any]:
    """A lockdown as it stands, with its `steps`, the seconds until each of its times, and what the store knows.

    `door_list`, `inside_at_start`, `inside_at_end`, `refused` and `let_in_offline` are None where no store was asked.
    """
    one = steps[-1]
    times = {f"seconds_until_{name}": seconds_until(one, f"{name}_at") for name in _TIMES}
    known = {
        "door_list": case and _plain(case.doors),
        "inside_at_start": case and _plain(case.at_start),
        "inside_at_end": case and case.at_end and _plain(case.at_end),
        "refused": case and _plain(case.refused),
        "let_in_offline": case and _plain(case.let_in_offline),
    }
    return {**one, **times, **known, "steps": list(steps)}


def _plain(rows: Sequence[Fields]) -> list[dict[str, Any]]:
    return [{k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()} for row in rows]


def seconds_until(one: Fields, name: str) -> float | None:
    """How long after its start a lockdown reached that; None where it has not."""
    reached = one.get(name)
    if reached is None:
        return None
    return round((datetime.fromisoformat(reached) - datetime.fromisoformat(one["started_at"])).total_seconds(), 3)
