"""`doorstream threats`: threat levels and heightened monitoring, and setting and clearing them (A5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from schemas.operators import OperatorRequest
from schemas.threats import ThreatClearRequested, ThreatLevelRequested
from schemas.vocabulary import ThreatLevel
from streams.commands.operating import Operator, request_of, send_and_await, show_answer
from streams.commands.reading import fields_in, read_topics
from streams.commands.rendering import line_of
from streams.commands.running import WRONG_USE, Json, fail, print_json, run, say, settings_or_fail
from streams.connection import kafka_options
from streams.settings import Settings

app = typer.Typer(help="Threat levels and heightened monitoring: list, set, clear.", no_args_is_help=True)

Fields = dict[str, Any]
TOPIC = "threats"
_OVER = {"threat_level_cleared", "monitoring_ended"}
_STANDING = {"threat_level_set", "monitoring_started", "monitoring_extended"}
Reason = Annotated[str, typer.Option(help="Why; it is kept with the level.")]
Site = Annotated[str, typer.Option(help="The site.")]


@app.command("list")
def list_(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    json: Json = False,
) -> None:
    """Show the threat levels that zones have and what is under heightened monitoring, the oldest first."""
    found = [one for one in run(standing(settings_or_fail())) if site in {None, one.get("site_id")}]
    if json:
        print_json(found)
        return
    for one in found:
        say(line_of(TOPIC, one))
    if not found:
        say("nothing threatens")


@app.command("set")
def set_(
    zone: Annotated[str, typer.Argument(help="A zone, such as hq-lobby; all that lies in it is included.")],
    level: Annotated[ThreatLevel, typer.Argument(help="low, medium, high or extreme.")],
    site: Site,
    operator: Operator,
    reason: Reason,
    clearance: Annotated[
        int | None, typer.Option(help="What who enters needs (0 to 7); as the policy says unless given.")
    ] = None,
    for_s: Annotated[int | None, typer.Option(help="For so many seconds; until it is cleared unless given.")] = None,
    json: Json = False,
) -> None:
    """Set a zone's threat level: who lacks the clearance that it asks for is denied at every entry."""
    fields = {"zone_id": zone, "level": level, "clearance": clearance, "for_s": for_s}
    request = request_of(ThreatLevelRequested, site, operator, reason=_given(reason), **fields)
    _send(request, f"{zone} has the threat level {level}", json=json)


@app.command("clear")
def clear(
    subject: Annotated[str, typer.Argument(help="A zone (hq-lobby), or a person (cardholder/p0017).")],
    site: Site,
    operator: Operator,
    reason: Reason,
    json: Json = False,
) -> None:
    """End a zone's threat level and its heightened monitoring, or a person's."""
    kind, _, id_ = subject.rpartition("/")
    about = {"subject": kind or "zone", "subject_id": id_}
    request = request_of(ThreatClearRequested, site, operator, reason=_given(reason), **about)
    _send(request, f"the threat to {subject} is cleared", json=json)


def _given(reason: str) -> str:
    if not reason.strip():
        fail('a reason is required: --reason "looked at: nothing"', WRONG_USE)
    return reason


def _send(request: OperatorRequest, done: str, *, json: bool) -> None:
    answer = run(send_and_await(settings_or_fail(), request))
    show_answer(answer, json=json)
    if not json:
        say(done)


async def standing(settings: Settings) -> list[Fields]:
    """What was last said of each level and each heightened monitoring that is not over, the oldest first."""
    settings.need("kafka")
    latest: dict[tuple[str, str], Fields] = {}
    async for record in read_topics(kafka_options(settings), (TOPIC,), start_ms=None, follow=False):
        fields = fields_in(record)
        if fields.get("type") in _OVER | _STANDING:
            latest[str(fields.get("threat_key")), str(fields.get("source"))] = fields
    now = datetime.now(UTC)
    held = [one for one in latest.values() if one["type"] in _STANDING and _holds(one, now)]
    return sorted(held, key=lambda one: (str(one.get("decided_at")), str(one.get("threat_key"))))


def _holds(one: Fields, now: datetime) -> bool:
    try:
        return one["until"] is None or datetime.fromisoformat(one["until"]) > now
    except (KeyError, TypeError, ValueError):
        return False
