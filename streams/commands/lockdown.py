"""`doorstream lockdown`: start one, see how far it is, give the all-clear (E2)."""

from __future__ import annotations

import asyncio
import json as jsonlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.incidents import LockdownReleaseRequested, LockdownRequested
from schemas.operators import OperatorRequest
from schemas.registry import describe
from schemas.vocabulary import ThreatLevel
from streams.commands.lockdown_report import html_report, seconds_until
from streams.commands.operating import fail_if_refused, moment, new_request_id, send_and_await
from streams.commands.reading import read_topics
from streams.commands.rendering import clock
from streams.commands.running import WRONG_USE, CommandError, fail, print_json, run, say, settings_or_fail
from streams.connection import kafka_options
from streams.settings import Settings

app = typer.Typer(help="Lockdowns: start, watch, release.", no_args_is_help=True)

Fields = dict[str, Any]
LOOK_S = 0.5
_TIMES = ("confirmed", "secured", "effective", "released")
_REFERENCES = ("reference.zone", "reference.access-point")

Operator = Annotated[str, typer.Option(help="Who asks: an operator of the site's policy, such as op-7.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the lockdown.")]
Level = Annotated[
    ThreatLevel, typer.Option(help="low: the area; medium: its floor; high: its building; extreme: the whole site.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask back.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wait = Annotated[float, typer.Option(help="How many seconds to show the progress for.")]


@app.command()
def start(  # noqa: PLR0913, PLR0917 - one an option
    zone: Annotated[str, typer.Argument(help="A zone, such as hq-b1 or hq-lobby.")],
    operator: Operator,
    reason: Reason,
    level: Level = ThreatLevel.HIGH,
    plan: Annotated[str | None, typer.Option(help="A plan of the site's policy; its first one unless given.")] = None,
    threat: Annotated[str | None, typer.Option(help="The threat that led to it.")] = None,
    auto_release: Annotated[int | None, typer.Option(help="Release it by itself after so many seconds.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the doors.")] = False,
    wait: Wait = 10.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Lock down: nobody enters, everybody may leave. Shows how many doors have confirmed."""
    given = {"plan_id": plan, "threat_id": threat, "auto_release_s": auto_release}
    _start(zone, operator, reason, level, given, dry_run=dry_run, wait=wait, yes=yes, json=json)


@app.command()
def drill(
    zone: Annotated[str, typer.Argument(help="A zone.")],
    operator: Operator,
    reason: Reason = "drill",
    level: Level = ThreatLevel.HIGH,
    plan: Annotated[str | None, typer.Option(help="A plan of the site's policy.")] = None,
    wait: Wait = 2.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """The same as a drill: told and kept as one, without any command or refusal."""
    given = {"plan_id": plan, "drill": True}
    _start(zone, operator, reason, level, given, dry_run=False, wait=wait, yes=yes, json=json)


@app.command()
def release(
    incident: Annotated[str, typer.Argument(help="The lockdown's id, or as much of its beginning as is its own.")],
    operator: Operator,
    reason: Reason,
    wait: Wait = 10.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give the all-clear: each door gets the mode that is left to it. Some plans need two people."""
    settings = settings_or_fail()
    found = run(_the_incident(settings, incident))
    _confirm(f"release the lockdown of {found['zone_id']} ({found['doors']} doors)?", yes=yes)
    fields = {"incident_id": found["incident_id"]}
    answer = run(_asked(settings, LockdownReleaseRequested, found["site_id"], operator, reason, fields))
    _show(settings, answer, wait=wait, json=json)


@app.command()
def status(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    json: Json = False,
) -> None:
    """Show the lockdowns in force, with the doors that have not confirmed and those that stand open."""
    found = [one for one in run(_standing(settings_or_fail())) if one["released_at"] is None]
    found = [one for one in found if site in {None, one["site_id"]}]
    if json:
        print_json(found)
        return
    for one in found:
        for line in page(one):
            say(line)
    if not found:
        say("no lockdown is in force")


@app.command()
def report(
    incident: Annotated[str, typer.Argument(help="The lockdown's id, or as much of its beginning as is its own.")],
    html: Annotated[Path | None, typer.Option(help="Write it to this file as a page that can be printed.")] = None,
    json: Json = False,
) -> None:
    """What happened in a lockdown, from its start to its end."""
    settings = settings_or_fail()
    found = run(_the_incident(settings, incident))
    steps = [one for one in run(_told(settings)) if one["incident_id"] == found["incident_id"]]
    if html is not None:
        try:
            html.write_text(html_report(found, steps), encoding="utf-8")
        except OSError as error:
            fail(f"{html}: {error.strerror}: give another file", WRONG_USE)
    if json:
        times = {f"seconds_until_{name}": seconds_until(found, f"{name}_at") for name in _TIMES}
        print_json(found | times | {"steps": steps})
        return
    for line in page(found):
        say(line)
    say("happened")
    for one in steps:
        say(f"  {clock(one['decided_at'])} {one['type']} {_counts(one)}")


def page(one: Fields) -> list[str]:
    """A lockdown as a guard reads it."""
    kind = "drill" if one["drill"] else "lockdown"
    lines = [
        f"{one['incident_id']}",
        f"what      {kind} of {one['zone_id']}, threat {one['threat_level']}, since {clock(one['started_at'])[:8]}",
        f"why       {one['reason']} ({one['cause']} {one['cause_id']})",
        f"doors     {_counts(one)}",
    ]
    lines += [f"  {door['door_id']} has not confirmed: {door['why'] or 'not yet'}" for door in one["unconfirmed"]]
    lines += [f"  {door} stands open" for door in one["propped"]]
    lines.append(f"inside    {one['inside']}")
    lines.append(f"effective {clock(one['effective_at'])[:8] if one['effective_at'] else 'not yet'}")
    if one["releasing_at"]:
        done = f"released {clock(one['released_at'])[:8]}" if one["released_at"] else "being released"
        lines.append(f"end       {done} by {', '.join(one['approved_by']) or 'itself'}: {one['release_reason']}")
    return ["".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines]


def _counts(one: Fields) -> str:
    return f"{one['confirmed']}/{one['doors']} confirmed, {one['secured']} shut"


def _start(  # noqa: PLR0913 - what both commands share
    zone: str,
    operator: str,
    reason: str,
    level: ThreatLevel,
    given: Fields,
    *,
    dry_run: bool,
    wait: float,
    yes: bool,
    json: bool,
) -> None:
    if not reason.strip():
        fail('a reason is required: --reason "intruder in the lobby"', WRONG_USE)
    settings = settings_or_fail()
    site_id, scope, doors = run(_scope(settings, zone, level))
    if dry_run:
        print_json({"site_id": site_id, "zone_id": scope, "doors": doors}) if json else say(
            f"{scope}: {len(doors)} doors: {' '.join(doors)}"
        )
        return
    what = "start a drill for" if given.get("drill") else "LOCK DOWN"
    _confirm(f"{what} {scope} ({len(doors)} doors)?", yes=yes)
    fields = {"zone_id": zone, "threat_level": level, **given}
    answer = run(_asked(settings, LockdownRequested, site_id, operator, reason, fields))
    _show(settings, answer, wait=wait, json=json)


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is here to be asked: add --yes", WRONG_USE)
    typer.confirm(question, abort=True)


async def _asked(
    settings: Settings, model: type[OperatorRequest], site_id: str, operator: str, reason: str, fields: Fields
) -> Fields:
    try:
        request = model(
            request_id=new_request_id(operator),
            site_id=site_id,
            operator_id=operator,
            occurred_at=moment(),
            reason=reason,
            **fields,
        )
    except ValueError as error:
        fail(describe(error), WRONG_USE)
    return await send_and_await(settings, request)


def _show(settings: Settings, answer: Fields, *, wait: float, json: bool) -> None:
    fail_if_refused(answer)
    found = run(_followed(settings, answer["incident_id"], wait, quiet=json))
    if json:
        print_json(found)
    else:
        for line in page(found):
            say(line)


async def _followed(settings: Settings, incident_id: str, wait: float, *, quiet: bool) -> Fields:
    """The lockdown once nothing more is to come, or after the wait; each change is shown."""
    end, shown = time.monotonic() + wait, -1
    while True:
        latest = [one for one in await _told(settings) if one["incident_id"] == incident_id]
        for one in latest:
            if one["transition"] > shown:
                shown = one["transition"]
                if not quiet:
                    say(f"{clock(one['decided_at'])} {one['type']} {_counts(one)}")
        if latest:
            last = latest[-1]
            done = last["released_at"] or (not last["releasing_at"] and last["effective_at"])
            if done or (last["approved_by"] and not last["releasing_at"]) or time.monotonic() >= end:
                return last
        elif time.monotonic() >= end:
            raise CommandError("nothing is told of it yet: see `doorstream lockdown status`")
        await asyncio.sleep(LOOK_S)


async def _told(settings: Settings) -> list[Fields]:
    """Everything that was told of lockdowns, in order."""
    settings.need("kafka")
    found: list[Fields] = []
    async for record in read_topics(kafka_options(settings), ("incidents",), start_ms=None, follow=False):
        try:
            fields = jsonlib.loads(record.value or b"null")
        except ValueError:
            continue
        if isinstance(fields, dict) and "incident_id" in fields:
            found.append(fields)
    return sorted(found, key=lambda one: int(one["transition"]))


async def _standing(settings: Settings) -> list[Fields]:
    latest: dict[str, Fields] = {}
    for one in await _told(settings):
        latest[one["incident_id"]] = one
    return sorted(latest.values(), key=lambda one: str(one["started_at"]))


async def _the_incident(settings: Settings, beginning: str) -> Fields:
    found = [one for one in await _standing(settings) if one["incident_id"].startswith(beginning)]
    if len(found) != 1:
        what = "no lockdown's id begins" if not found else f"{len(found)} lockdowns' ids begin"
        raise CommandError(f"{what} with {beginning}: see `doorstream lockdown status`")
    return found[0]


async def _scope(settings: Settings, zone_id: str, level: ThreatLevel) -> tuple[str, str, list[str]]:
    """The site, the zone that is locked down, and its doors, by the reference data; the site itself decides anew."""
    settings.need("kafka")
    latest: dict[str, Fields] = {}
    async for record in read_topics(kafka_options(settings), _REFERENCES, start_ms=None, follow=False):
        key = f"{record.topic}/{(record.key or b'').decode(errors='replace')}"
        latest[key] = jsonlib.loads(record.value) if record.value else {}
    zones = {one["zone_id"]: one for one in latest.values() if one.get("type") == "zone"}
    if zone_id not in zones:
        raise CommandError(f"no zone {zone_id}: see zones.yaml of the loaded folder")
    kinds = ["area", "floor", "building", "site"]
    scope = zone_id
    while kinds.index(zones[scope]["kind"] if zones[scope]["kind"] in kinds else "site") < list(ThreatLevel).index(
        level
    ):
        parent = zones[scope].get("parent_id")
        if not isinstance(parent, str) or parent not in zones:
            break
        scope = parent
    inside = {scope}
    while more := {id_ for id_, one in zones.items() if one.get("parent_id") in inside} - inside:
        inside |= more
    points = [one for one in latest.values() if one.get("type") == "access_point"]
    doors = {one["door_id"] for one in points if one["zone_to"] in inside and one["direction"] == "entry"}
    return zones[zone_id]["site_id"], scope, sorted(doors)
