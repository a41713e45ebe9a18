"""`doorstream devices repairs` and `doorstream devices repair`: the repair cases of devices (D3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from schemas.repair_requests import RepairAssignRequested, RepairCloseRequested, RepairDoneRequested, RepairRequest
from sinks import repair_queries
from streams.commands.operating import Comment, Operator, request_of, send_and_await, show_answer
from streams.commands.running import FOUND_WRONG, WRONG_USE, CommandError, Json, print_json, run, say, settings_or_fail
from streams.commands.terminal import age
from streams.settings import Settings

Fields = dict[str, Any]
app = typer.Typer(help="Repair cases: who repairs it, that it is repaired, closing it.", no_args_is_help=True)

Case = Annotated[str, typer.Argument(help="The case's id, or as much of its beginning as tells it from others.")]


def repairs(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are closed, too.")] = False,
    json: Json = False,
) -> None:
    """List the open repair cases, the oldest first."""
    found = run(_cases(settings_or_fail(), site, closed=closed))
    if json:
        print_json({"repairs": found})
        return
    now = datetime.now(UTC)
    for one in found:
        who = f", {one['assigned_to']}" if one["assigned_to"] else ""
        there = "" if one["active"] else ", the fault is gone"
        say(
            f"{age(one['opened_at'], now):>5} {one['case_id'][:8]} {one['site_id']} {one['device_id']} {one['cause']} "
            f"{one['detail']}: {one['state']}{who}{there}. {one['remedy']}".rstrip()
        )
    if not found:
        say("no repair cases" if closed else "no open repair cases")


@app.command()
def assign(
    case: Case,
    operator: Operator,
    to: Annotated[str | None, typer.Option(help="Who repairs it; leave it out for nobody in particular.")] = None,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Say who is to repair it."""
    _ask(case, operator, RepairAssignRequested, {"assigned_to": to, "reason": comment}, json=json)


@app.command()
def repaired(
    case: Case,
    operator: Operator,
    result: Annotated[str, typer.Option(help="What was done.")],
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Say that it is repaired; the device is asked for its state, and the case closes when that verifies it."""
    _ask(case, operator, RepairDoneRequested, {"result": result, "reason": comment}, json=json)


@app.command()
def close(
    case: Case,
    operator: Operator,
    result: Annotated[str, typer.Option(help="How it was handled, unless that was said before.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Although the fault is there; needs the right.")] = False,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Close it. Refused while the fault is still there."""
    given = {"result": result, "force": force, "reason": comment}
    _ask(case, operator, RepairCloseRequested, given, json=json)


def _ask(case: str, operator: str, model: type[RepairRequest], given: Fields, *, json: bool) -> None:
    answer = run(_asked(settings_or_fail(), case, operator, model, given))
    show_answer(answer, json=json)
    if not json:
        done = answer["request_type"].removeprefix("repair_").removesuffix("_requested")
        said = {"assign": "assigned", "done": "repaired", "close": "closed"}[done]
        say(f"{answer['case_id']}: {said} by {operator}")


async def _asked(settings: Settings, case: str, operator: str, model: type[RepairRequest], given: Fields) -> Fields:
    found = the_case(await _cases(settings, None, closed=True), case)
    about = {"device_id": found["device_id"], "case_id": found["case_id"]}
    return await send_and_await(settings, request_of(model, found["site_id"], operator, **about, **given))


def the_case(found: list[Fields], case: str) -> Fields:
    """The case whose id begins so.

    Raises:
        CommandError: there is none, or there are several.
    """
    meant = [one for one in found if one["case_id"].startswith(case)]
    if not meant:
        raise CommandError(f"there is no repair case {case}: `doorstream devices repairs` shows them", FOUND_WRONG)
    if len(meant) > 1:
        raise CommandError(f"{case} is the beginning of {len(meant)} cases: give more of it", WRONG_USE)
    return meant[0]


async def _cases(settings: Settings, site: str | None, *, closed: bool) -> list[Fields]:
    settings.need("postgres")
    return await repair_queries.cases(settings.postgres, site, closed=closed)
