"""`doorstream lockdown`: start one, see how far it is, give the all-clear (E2)."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.incidents import (
    LockdownEffectiveRequested,
    LockdownEscalationRequested,
    LockdownReleaseRequested,
    LockdownRequested,
)
from schemas.operators import OperatorRequest
from schemas.vocabulary import ThreatLevel
from sinks.lockdown_queries import CaseFile
from streams.commands.finding_lockdowns import by_incident, case_of, scope_of, the_incident, told
from streams.commands.lockdown_pages import case_lines, kind_of, page, report_fields
from streams.commands.lockdown_report import html_report
from streams.commands.operating import ACCEPTED, Operator, request_of, send_and_await, show_answer
from streams.commands.rendering import counts
from streams.commands.running import (
    FOUND_WRONG,
    WRONG_USE,
    CommandError,
    Json,
    fail,
    print_json,
    run,
    say,
    settings_or_fail,
)
from streams.commands.terminal import clock
from streams.settings import Settings

app = typer.Typer(help="Lockdowns: start, watch, release.", no_args_is_help=True)

Fields = dict[str, Any]
LOOK_S = 0.5
TOLD_WITHIN_S = 5.0
"""How soon after its answer something is told of a lockdown."""

EARLIER_MS = 60_000
"""So much earlier than its answer what is told of it may be stamped; what is older is not read."""

Reason = Annotated[str, typer.Option(help="Why; it is kept with the lockdown.")]
Level = Annotated[
    ThreatLevel, typer.Option(help="low: the area; medium: its floor; high: its building; extreme: the whole site.")
]
Incident = Annotated[str, typer.Argument(help="The lockdown's id, or as much of its beginning as is its own.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask back.")]
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
def drill(  # noqa: PLR0913, PLR0917 - one an option
    zone: Annotated[str, typer.Argument(help="A zone.")],
    operator: Operator,
    reason: Reason = "drill",
    level: Level = ThreatLevel.HIGH,
    plan: Annotated[str | None, typer.Option(help="A plan of the site's policy.")] = None,
    with_commands: Annotated[
        bool, typer.Option("--with-commands", help="Lock the doors and refuse entry, as if it were real.")
    ] = False,
    wait: Wait = 2.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """The same as a drill: told and kept as one, without any command or refusal unless you ask for them."""
    given = {"plan_id": plan, "drill": True, "drill_commands": with_commands}
    _start(zone, operator, reason, level, given, dry_run=False, wait=wait, yes=yes, json=json)


@app.command()
def release(
    incident: Incident,
    operator: Operator,
    reason: Reason,
    wait: Wait = 10.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Give the all-clear: each door gets the mode that is left to it. Some plans need two people."""
    _about(incident, LockdownReleaseRequested, "release", operator, reason, wait=wait, yes=yes, json=json)


@app.command()
def escalate(
    incident: Incident,
    operator: Operator,
    reason: Reason,
    level: Annotated[ThreatLevel, typer.Option(help="medium: its floor; high: its building; extreme: the whole site.")],
    wait: Wait = 10.0,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Extend it to a larger scope; the doors that are locked stay so, the others follow."""
    what = f"escalate to {level}"
    given = {"threat_level": level}
    _about(incident, LockdownEscalationRequested, what, operator, reason, given, wait=wait, yes=yes, json=json)


@app.command()
def effective(
    incident: Incident,
    operator: Operator,
    reason: Reason,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Declare it formally effective, although people are still inside or doors have not confirmed."""
    _about(incident, LockdownEffectiveRequested, "declare effective", operator, reason, wait=0, yes=yes, json=json)


@app.command()
def status(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    json: Json = False,
) -> None:
    """Show the lockdowns in force, with the doors that have not confirmed and those that stand open."""
    standing = [steps[-1] for steps in by_incident(run(told(settings_or_fail())))]
    found = [one for one in standing if one["released_at"] is None and site in {None, one["site_id"]}]
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
    incident: Incident,
    html: Annotated[Path | None, typer.Option(help="Write it to this file as a page that can be printed.")] = None,
    json: Json = False,
) -> None:
    """What happened in a lockdown, from its start to its end."""
    settings = settings_or_fail()

    async def work() -> tuple[list[Fields], CaseFile | None]:
        steps = await the_incident(settings, incident)
        return steps, await case_of(settings, steps)

    steps, case = run(work())
    if html is not None:
        try:
            html.write_text(html_report(steps, case), encoding="utf-8")
        except OSError as error:
            fail(f"{html}: {error.strerror}: give another file", WRONG_USE)
    if json:
        print_json(report_fields(steps, case))
        return
    for line in (*page(steps[-1]), *case_lines(case)):
        say(line)
    say("happened")
    for one in steps:
        say(f"  {clock(one['decided_at'])} {one['type']} {counts(one)}")


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
    _need(reason)
    settings = settings_or_fail()
    site_id, scope, doors, refused = run(scope_of(settings, zone, level))
    if dry_run and refused:
        fail(refused, FOUND_WRONG)
    if dry_run:
        print_json({"site_id": site_id, "zone_id": scope, "doors": doors}) if json else say(
            f"{scope}: {len(doors)} doors: {' '.join(doors)}"
        )
        return
    drill = "start a drill with real commands for" if given.get("drill_commands") else "start a drill for"
    what = drill if given.get("drill") else "LOCK DOWN"
    _confirm(f"{what} {scope} ({len(doors)} doors)?", yes=yes)
    fields = {"zone_id": zone, "threat_level": level, **given}
    answer = run(_asked(settings, LockdownRequested, site_id, operator, reason, fields))
    _show(settings, answer, wait=wait, json=json)


def _about(  # noqa: PLR0913 - what these commands share
    incident: str,
    model: type[OperatorRequest],
    what: str,
    operator: str,
    reason: str,
    given: Fields | None = None,
    *,
    wait: float,
    yes: bool,
    json: bool,
) -> None:
    """Ask for something about a lockdown that is there, and show what becomes of it."""
    _need(reason)
    settings = settings_or_fail()
    found = run(the_incident(settings, incident))[-1]
    _confirm(f"{what} the {kind_of(found)} of {found['zone_id']} ({found['doors']} doors)?", yes=yes)
    fields = {"incident_id": found["incident_id"], **(given or {})}
    answer = run(_asked(settings, model, found["site_id"], operator, reason, fields))
    _show(settings, answer, known=found["transition"], wait=wait, json=json)


def _need(reason: str) -> None:
    if not reason.strip():
        fail('a reason is required: --reason "intruder in the lobby"', WRONG_USE)


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is here to be asked: add --yes", WRONG_USE)
    typer.confirm(question, abort=True)


async def _asked(
    settings: Settings, model: type[OperatorRequest], site_id: str, operator: str, reason: str, fields: Fields
) -> Fields:
    request = request_of(model, site_id, operator, reason=reason, **fields)
    return await send_and_await(settings, request)


def _show(settings: Settings, answer: Fields, *, known: int = -1, wait: float, json: bool) -> None:
    """Show what becomes of a lockdown after the step that is `known`, or why it was refused."""
    if answer["type"] != ACCEPTED:
        show_answer(answer, json=json)
    found = run(_followed(settings, answer, known, wait, quiet=json))
    if json:
        print_json(found)
    else:
        for line in page(found):
            say(line)


async def _followed(settings: Settings, answer: Fields, known: int, wait: float, *, quiet: bool) -> Fields:
    """The lockdown once nothing more is to come, or after the wait; each change is shown."""
    begun, shown = time.monotonic(), known
    since_ms = round(datetime.fromisoformat(answer["decided_at"]).timestamp() * 1000) - EARLIER_MS
    while True:
        found = await told(settings, since_ms)
        steps = [one for one in found if one["incident_id"] == answer["incident_id"] and one["transition"] > known]
        for one in steps:
            if one["transition"] > shown:
                shown = one["transition"]
                if not quiet:
                    say(f"{clock(one['decided_at'])} {one['type']} {counts(one)}")
        waited = time.monotonic() - begun
        if steps:
            last = steps[-1]
            done = last["released_at"] or (not last["releasing_at"] and last["effective_at"])
            if done or (last["approved_by"] and not last["releasing_at"]) or waited >= wait:
                return last
        elif waited >= max(wait, TOLD_WITHIN_S):
            raise CommandError("nothing is told of it yet: see `doorstream lockdown status`")
        await asyncio.sleep(LOOK_S)
