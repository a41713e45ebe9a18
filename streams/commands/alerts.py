"""`doorstream alerts`: what is open, what happened to it, and what an operator does about it (M3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from schemas.alert_requests import (
    AcknowledgeAlert,
    AlertRequest,
    AssignAlert,
    CloseAlert,
    CommentAlert,
    ResolveAlert,
    ShelveAlert,
)
from streams.commands.finding_alerts import history, standing, the_alert
from streams.commands.operating import (
    EVERYBODYS,
    MONITORINGS,
    Comment,
    Operator,
    request_of,
    send_and_await,
    show_answer,
)
from streams.commands.rendering import line_of
from streams.commands.running import WRONG_USE, Json, fail, print_json, run, say, settings_or_fail
from streams.commands.terminal import SPANS_S, age, clock, coloured, printable
from streams.settings import Settings

app = typer.Typer(help="Alerts: what is open, and what is done about it.", no_args_is_help=True)

_SPAN = re.compile(r"^(\d{1,6})([smhd])$")

Alert = Annotated[str, typer.Argument(help="The alert's id, or as much of its beginning as tells it from others.")]
Monitoring = Annotated[bool, typer.Option("--monitoring", help="Alerts of duress; for monitoring alone.")]


@app.command("list")
def list_(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are closed, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    monitoring: Monitoring = False,
    json: Json = False,
) -> None:
    """Show the open alerts, worst first."""
    found = run(standing(settings_or_fail(), monitoring=monitoring, closed=closed, site_id=site, limit=limit))
    if json:
        print_json(found)
        return
    now = datetime.now(UTC)
    if found:
        say(f"{'age':>5}  {'id':8}  {'severity':8}  {'state':33}  {'next':8}  what")
    for one in found:
        say(coloured(row_of(one, now), {**one, "type": None}))
    if not found:
        say("no open alerts" if not closed else "no alerts")


@app.command()
def show(alert: Alert, monitoring: Monitoring = False, json: Json = False) -> None:
    """Show an alert: where, who, what led to it, what to do, and everything that happened to it."""
    settings = settings_or_fail()

    async def work() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        found = await the_alert(settings, alert, monitoring=monitoring)
        return found, await history(settings, found["alert_id"], monitoring=monitoring)

    found, told = run(work())
    if json:
        print_json(found | {"history": told})
        return
    for line in page(found, told):
        say(line)


@app.command()
def ack(
    alert: Alert, operator: Operator, comment: Comment = "", monitoring: Monitoring = False, json: Json = False
) -> None:
    """Acknowledge: you know of it, and it is not escalated any further."""
    _ask(alert, operator, AcknowledgeAlert, {"reason": comment}, monitoring=monitoring, json=json)


@app.command()
def comment(
    alert: Alert,
    text: Annotated[str, typer.Argument(help="What to write down.")],
    operator: Operator,
    monitoring: Monitoring = False,
    json: Json = False,
) -> None:
    """Write something down."""
    _ask(alert, operator, CommentAlert, {"reason": text}, monitoring=monitoring, json=json)


@app.command()
def assign(
    alert: Alert,
    operator: Operator,
    to: Annotated[str | None, typer.Option(help="Who is to handle it; leave it out for nobody in particular.")] = None,
    comment: Comment = "",
    monitoring: Monitoring = False,
    json: Json = False,
) -> None:
    """Say who is to handle it."""
    _ask(alert, operator, AssignAlert, {"assigned_to": to, "reason": comment}, monitoring=monitoring, json=json)


@app.command()
def shelve(
    alert: Alert,
    operator: Operator,
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h; 0m takes it from the shelf.")],
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Put it aside for a while; then it is told of again."""
    span = _SPAN.match(for_)
    if span is None:
        fail(f"--for {for_}: give a span such as 30m or 2h", WRONG_USE)
    seconds = int(span[1]) * SPANS_S[span[2]]
    _ask(alert, operator, ShelveAlert, {"shelve_s": seconds, "reason": comment}, monitoring=False, json=json)


@app.command()
def resolve(
    alert: Alert,
    operator: Operator,
    result: Annotated[str, typer.Option(help="How it was handled.")],
    comment: Comment = "",
    monitoring: Monitoring = False,
    json: Json = False,
) -> None:
    """Say that it is handled; after a while it closes by itself."""
    _ask(alert, operator, ResolveAlert, {"result": result, "reason": comment}, monitoring=monitoring, json=json)


@app.command()
def close(
    alert: Alert,
    operator: Operator,
    result: Annotated[str, typer.Option(help="How it was handled, unless that was said before.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Although its cause is still there; needs the right.")] = False,
    comment: Comment = "",
    monitoring: Monitoring = False,
    json: Json = False,
) -> None:
    """Close it. Refused while its cause is still there."""
    given = {"result": result, "force": force, "reason": comment}
    _ask(alert, operator, CloseAlert, given, monitoring=monitoring, json=json)


def _ask(
    alert: str,
    operator: str,
    model: type[AlertRequest],
    given: dict[str, Any],
    *,
    monitoring: bool,
    json: bool,
) -> None:
    answer = run(_asked(settings_or_fail(), alert, operator, model, given, monitoring=monitoring))
    show_answer(answer, json=json)
    if not json:
        say(f"{answer['alert_id']}: {answer['request_type'].removeprefix('alert_')} by {operator}")


async def _asked(
    settings: Settings,
    alert: str,
    operator: str,
    model: type[AlertRequest],
    given: dict[str, Any],
    *,
    monitoring: bool,
) -> dict[str, Any]:
    found = await the_alert(settings, alert, monitoring=monitoring)
    request = request_of(model, found["site_id"], operator, alert_id=found["alert_id"], **given)
    return await send_and_await(settings, request, MONITORINGS if monitoring else EVERYBODYS)


def row_of(one: dict[str, Any], now: datetime) -> str:
    """An alert in one row: its age, as much of its id as names it, how it stands, when it is told of next, and what."""
    due = clock(one["next_escalation_at"])[:8] if one.get("next_escalation_at") else ""
    state = str(one.get("state")).replace("_", " ")
    count = f" (x{one['count']})" if one.get("count") not in {None, 1} else ""
    what = (
        f"{str(one.get('alert_id'))[:8]:8}  {one.get('severity')!s:8}  {state:33}  {due:8}  {one.get('summary')}{count}"
    )
    return printable(f"{age(one.get('raised_at'), now):>5}  {what}")


def page(one: dict[str, Any], told: list[dict[str, Any]]) -> list[str]:
    """An alert as a guard reads it."""
    where = [f"{name.removesuffix('_id').replace('_', ' ')} {one[name]}" for name in _WHERE if one.get(name)]
    lines = [
        f"{one['alert_id']}",
        f"what      {one['severity']}: {one['summary']}"
        + (f" (seen {one['count']} times)" if one["count"] > 1 else ""),
        f"state     {one['state'].replace('_', ' ')}" + ("; the cause is still there" if one.get("active") else ""),
        f"where     {', '.join([one['site_id'], *where])}",
        f"who       {one.get('cardholder_id') or 'nobody known'}",
    ]
    lines += [f"do        {one['procedure']}"] if one.get("procedure") else []
    lines += [f"plan      {one['plan_proposed']} is proposed"] if one.get("plan_proposed") else []
    lines += [f"assigned  {one['assigned_to']}"] if one.get("assigned_to") else []
    lines += [f"next      told again or raised at {clock(one['next_escalation_at'])[:8]}"] if _due(one) else []
    lines += ["led to it"] if one.get("led_to") else []
    lines += [f"  {clock(led['at'])[:8]} {led['summary']} ({led['type']} {led['id']})" for led in one.get("led_to", ())]
    lines.append("happened")
    for transition in told:
        fields = {**one, "assigned_to": None, "shelved_until": None, "suppressed_by": None, **transition}
        lines.append(f"  {line_of('alerts', fields)}")
    return [printable(line) for line in lines]


def _due(one: dict[str, Any]) -> bool:
    return bool(one.get("next_escalation_at"))


_WHERE = ("door_id", "access_point_id", "device_id")
