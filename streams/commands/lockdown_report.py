"""The report of a lockdown as a page that can be kept and printed: no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from streams.commands.rendering import clock

Fields = Mapping[str, Any]
_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:60em}table{border-collapse:collapse;margin:1em 0}"
    "th,td{border:1px solid #999;padding:.3em .6em;text-align:left}"
)


def seconds_until(one: Fields, name: str) -> float | None:
    """How long after its start a lockdown reached that; None where it has not."""
    reached = one.get(name)
    if reached is None:
        return None
    took = datetime.fromisoformat(str(reached)) - datetime.fromisoformat(str(one["started_at"]))
    return round(took.total_seconds(), 3)


def html_report(one: Fields, steps: Sequence[Fields]) -> str:
    """A lockdown with its times, its doors and everything that happened, as HTML."""
    title = f"{'Drill' if one['drill'] else 'Lockdown'} of {one['zone_id']}"
    facts = {
        "incident": one["incident_id"],
        "site": one["site_id"],
        "threat level and plan": f"{one['threat_level']}, {one['plan_id']}",
        "reason": f"{one['reason']} ({one['cause']} {one['cause_id']})",
        "started": one["started_at"],
        "all doors confirmed": _after(one, "confirmed_at"),
        "all doors shut": _after(one, "secured_at"),
        "formally effective": _after(one, "effective_at"),
        "released": _after(one, "released_at"),
        "all-clear by": f"{', '.join(one['approved_by'])}: {one['release_reason']}" if one["releasing_at"] else "-",
        "people inside at last": one["inside"],
    }
    doors = [(door["door_id"], f"not confirmed: {door['why'] or 'no reason known'}") for door in one["unconfirmed"]]
    doors += [(door, "stood open") for door in one["propped"]]
    happened = [
        (clock(step["decided_at"]), step["type"], f"{step['confirmed']}/{step['doors']}", step["secured"],
         step["inside"])
        for step in steps
    ]  # fmt: skip
    body = f"<h1>{escape(title)}</h1>{_table((), facts.items())}"
    body += f"<h2>Doors that were not as they should be</h2>{_table(('door', 'what'), doors)}" if doors else ""
    body += f"<h2>What happened</h2>{_table(('time', 'step', 'confirmed', 'shut', 'inside'), happened)}"
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _after(one: Fields, name: str) -> str:
    took = seconds_until(one, name)
    return "-" if took is None else f"after {took} s"


def _table(head: Sequence[str], rows: Any) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if head else ''}{lines}</table>"
