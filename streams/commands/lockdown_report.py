"""The report of a lockdown as a page that can be kept and printed: no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sinks.lockdown_queries import CaseFile
from streams.commands.lockdown_pages import not_well, started

Fields = Mapping[str, Any]
MOST_LISTED = 1000
"""People, doors or attempts that a table lists; of more it says how many."""

_MINUTE_S, _HOUR_S = 60, 3600
_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;color:#1c2733;max-width:64em;margin:2em auto;padding:0 1.5em}
h1{font-size:1.7em;margin:0}h2{font-size:1.15em;margin:2em 0 .4em;border-bottom:2px solid #1c2733;padding-bottom:.2em}
.under{color:#5a6b7b;margin:.2em 0 1.4em}.drill{background:#fff3cd;padding:.2em .6em;border-radius:.3em}
dl.sums{display:flex;flex-wrap:wrap;gap:.8em;margin:0}dl.sums div{border:1px solid #c9d3dc;border-radius:.4em;
padding:.5em .9em;min-width:8em}dl.sums dt{color:#5a6b7b;font-size:.85em}dl.sums dd{margin:0;font-size:1.3em}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3em .8em .3em 0;
border-bottom:1px solid #dde4ea}th{color:#5a6b7b;font-weight:600}tr.bad td{background:#fdecea}
.line td:not(:nth-child(3)){white-space:nowrap}
p.none{color:#5a6b7b}@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}
"""
_LATER = '<p class="none">With passages that controllers reported later; the time line has what was known then.</p>'
_ATTEMPT = ("time", "cardholder", "name", "reader", "to")
_WORDS = {
    "lockdown_started": "started: entry is refused, and the doors are being locked",
    "lockdown_escalated": "escalated: entry is refused in a larger scope, and its other doors are being locked",
    "lockdown_progress": "progress",
    "lockdown_confirmed": "every door has confirmed",
    "lockdown_effective": "formally effective",
    "lockdown_release_approved": "one of two people has given the all-clear",
    "lockdown_releasing": "all-clear: entry is as usual, and the doors are given back",
    "lockdown_released": "every door has what is left to it: closed",
}


class _Clock(NamedTuple):
    """Times as the site's people read them; the day is told where it is another one than at the start."""

    zone: tzinfo
    start: datetime

    def at(self, moment: Any) -> str:
        """A time of day, to the millisecond."""
        return "-" if moment is None else f"{self.second(moment)}.{_moment(moment).microsecond // 1000:03}"

    def second(self, moment: Any) -> str:
        """A time of day, to the second."""
        local = _moment(moment).astimezone(self.zone)
        day = "" if local.date() == self.start.astimezone(self.zone).date() else f"{local:%d %b} "
        return f"{day}{local:%H:%M:%S}"

    def whole(self, moment: Any) -> str:
        """Day and time."""
        return f"{_moment(moment).astimezone(self.zone):%d %B %Y, %H:%M:%S}"

    def after(self, moment: Any, *, over: bool = False) -> str:
        """How long after the start; what has not come until now never does once it is `over`."""
        if moment is None:
            return "never" if over else "-"
        return _span((_moment(moment) - self.start).total_seconds())


def html_report(steps: Sequence[Fields], case: CaseFile | None) -> str:
    """A lockdown with its times, its time line, its doors, who was inside, and who was refused or not, as HTML.

    `steps`: everything that was told of it, in order; `case`: what the store knows, None where none was asked.
    """
    one = steps[-1]
    clock = _Clock(ZoneInfo(case.time_zone) if case is not None else UTC, _moment(one["started_at"]))
    kind = "Drill" if one["drill"] else "Lockdown"
    title = f"{kind} of {one['zone_id']}"
    told_only = one["drill"] and not one.get("drill_commands")
    how = "no door was commanded, and nobody was refused" if told_only else "with real commands and refusals"
    mark = f'<p><span class="drill">This was a drill, {how}.</span></p>' if one["drill"] else ""
    under = f"{one['site_id']}, {clock.whole(one['started_at'])}; times of {case.time_zone if case else 'UTC'}"
    columns = ("time", "after", "what", "confirmed", "shut", "inside")
    parts = [
        f'<h1>{escape(title)}</h1><p class="under">{escape(under)}</p>{mark}',
        _sums(steps, case, clock),
        f"<h2>What and why</h2>{_table((), _facts(one, clock))}",
        f"<h2>Time line</h2><div class='line'>{_table(columns, _happened(steps, clock))}</div>",
    ]
    if case is None:
        parts.append(
            '<p class="none">Doors, people inside and refused attempts are not known here: no store was asked.</p>'
        )
    else:
        parts += [_doors(case), _people(case, clock), _refused(case, clock), _let_in(case, clock)]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _sums(steps: Sequence[Fields], case: CaseFile | None, clock: _Clock) -> str:
    one, locked = steps[-1], [step for step in steps if step["releasing_at"] is None] or steps
    over = one["releasing_at"] is not None
    sums = {
        "doors confirmed": f"{locked[-1]['confirmed']} of {one['doors']}",
        "all confirmed after": clock.after(one["confirmed_at"], over=over),
        "all shut after": clock.after(one["secured_at"], over=over),
        "all-clear after": clock.after(one["releasing_at"]),
    }
    if case is not None:
        sums["inside at the start"] = str(len(case.at_start))
        sums["inside at the end"] = "-" if case.at_end is None else str(len(case.at_end))
        sums["attempts refused"] = str(len(case.refused))
        sums["let in by unreachable controllers"] = str(len(case.let_in_offline))
    cells = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in sums.items())
    return f'<dl class="sums">{"".join(cells)}</dl>'


def _facts(one: Fields, clock: _Clock) -> Iterable[tuple[str, str]]:
    yield "reason", f"{one['reason']} ({started(one)})"
    yield (
        "threat level, plan",
        f"{one['threat_level']}, {one['plan_id']} (rank {one['rank']}; people {one['occupants']})",
    )
    for name, what in (("confirmed_at", "every door confirmed"), ("secured_at", "every door shut")):
        yield what, _reached(one, name, clock)
    declared = f", declared by {one['effective_by']}: {one['effective_reason']}" if one.get("effective_by") else ""
    yield "formally effective", f"{_reached(one, 'effective_at', clock)}{declared}"
    if one["releasing_at"] is not None:
        by = ", ".join(one["approved_by"]) or "itself"
        yield "all-clear", f"{clock.at(one['releasing_at'])} by {by}: {one['release_reason']}"
        yield "closed", _reached(one, "released_at", clock)
    yield "incident", one["incident_id"]


def _reached(one: Fields, name: str, clock: _Clock) -> str:
    """When it reached that; where it was escalated before, also how long after that."""
    if one[name] is None:
        return "not reached"
    past = one.get("escalations", ())
    since = (_moment(one[name]) - _moment(past[-1]["at"])).total_seconds() if past else 0
    escalated = f", {_span(since)} after it was escalated" if past and name != "released_at" else ""
    return f"{clock.at(one[name])} (after {clock.after(one[name])}{escalated})"


def _happened(steps: Sequence[Fields], clock: _Clock) -> Iterable[tuple[str, ...]]:
    for step in steps:
        told = [_WORDS.get(step["type"], str(step["type"]))]
        if step["type"] == "lockdown_escalated":
            last = step["escalations"][-1]
            told.append(f"from {last['zone_id']} to {step['zone_id']} by {last['operator_id']}: {last['reason']}")
        told += not_well(step)
        counts = (*_counts(step), str(step["inside"]))
        yield clock.at(step["decided_at"]), clock.after(step["decided_at"]), "\n".join(told), *counts


def _counts(step: Fields) -> tuple[str, str]:
    """Doors confirmed and shut; from the all-clear on those that are given back."""
    count = f"{step['confirmed']} of {step['doors']}"
    return (count, str(step["secured"])) if step["releasing_at"] is None else (f"{count} given back", "-")


def _why(why: str | None) -> str:
    return why.replace("_", " ") if why else "not yet"


def _doors(case: CaseFile) -> str:
    rows = [(one["door_id"], one["name"] or "", one["device_id"], *_confirmation(one)) for one in case.doors]
    bad = [not one["first_confirmed_at"] for one in case.doors]
    head = ("door", "name", "controller", "confirmed after", "at last")
    return _section("Doors", head, rows, "No door was given a command.", bad)


def _confirmation(one: Fields) -> tuple[str, str]:
    """How long after it was asked a door first confirmed, and how it was when it was last heard of as locked down."""
    first, asked = one["first_confirmed_at"], one["asked_at"]
    took = "never" if first is None else "-" if asked is None else _span(max(0.0, (first - asked).total_seconds()))
    mode = str(one["mode"]).replace("_", " ")
    return took, mode if one["confirmed_at"] is not None else f"{mode}, not confirmed: {_why(one['unconfirmed'])}"


def _people(case: CaseFile, clock: _Clock) -> str:
    start, end = ({one["cardholder_id"]: one for one in found or ()} for found in (case.at_start, case.at_end))
    rows = []
    for who in sorted(start.keys() | end.keys()):
        name = (start.get(who) or end[who])["name"] or ""
        rows.append(
            (who, name, _seen(start.get(who), clock), "?" if case.at_end is None else _seen(end.get(who), clock))
        )
    head = ("cardholder", "name", "at the start in", "at the all-clear in")
    found = _section("Who was inside, as far as passages tell", head, rows, "Nobody was known to be inside.")
    return f"{found}{_LATER}"


def _seen(one: Fields | None, clock: _Clock) -> str:
    return "not inside" if one is None else f"{one['zone'] or one['zone_id']}, since {clock.second(one['since'])}"


def _refused(case: CaseFile, clock: _Clock) -> str:
    rows = [_attempt(one, clock) for one in case.refused]
    return _section("Refused attempts", _ATTEMPT, rows, "Nobody was refused.")


def _let_in(case: CaseFile, clock: _Clock) -> str:
    """Who got in at a door whose controller had not heard of the lockdown, and what the rules said of it later."""
    rows = [(*_attempt(one, clock), _why(one["reason"]) if one["reason"] else "-") for one in case.let_in_offline]
    head = (*_ATTEMPT, "against the rules")
    return _section("Let in by controllers that could not be reached", head, rows, "Nobody was let in by one.")


def _attempt(one: Fields, clock: _Clock) -> tuple[str, ...]:
    who = (one["cardholder_id"] or "nobody known", one["name"] or "")
    return clock.at(one["at"]), *who, one["access_point_id"], one["zone_id"] or ""


def _section(
    title: str, head: Sequence[str], rows: Sequence[tuple[str, ...]], none: str, bad: Sequence[bool] = ()
) -> str:
    counted = f"<h2>{escape(title)}{f' ({len(rows)})' if rows else ''}</h2>"
    if not rows:
        return f'{counted}<p class="none">{escape(none)}</p>'
    more = f'<p class="none">and {len(rows) - MOST_LISTED} more</p>' if len(rows) > MOST_LISTED else ""
    return f"{counted}{_table(head, rows[:MOST_LISTED], bad)}{more}"


def _table(head: Sequence[str], rows: Iterable[tuple[str, ...]], bad: Sequence[bool] = ()) -> str:
    marks = [*bad]
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = []
    for number, row in enumerate(rows):
        cells = (escape(str(cell)).replace("\n", "<br>") for cell in row)
        marked = ' class="bad"' if number < len(marks) and marks[number] else ""
        lines.append(f"<tr{marked}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table>{f'<tr>{top}</tr>' if head else ''}{''.join(lines)}</table>"


def _moment(text: Any) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(str(text))


def _span(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{round(seconds, 2):g} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
