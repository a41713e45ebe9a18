"""`doorstream lockouts`: who or what is locked out, and ending it early (A4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from schemas.operators import LockoutEndRequested
from sinks import lockout_queries
from streams.commands.operating import Operator, request_of, send_and_await, show_answer
from streams.commands.reading import fields_in, read_topics
from streams.commands.rendering import line_of
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
from streams.connection import kafka_options
from streams.settings import Settings

app = typer.Typer(help="Lockouts: who or what is locked, and ending it early.", no_args_is_help=True)

Fields = dict[str, Any]
TOPICS = ("lockouts", "lockouts.global")


@app.command("list")
def list_(
    site: Annotated[str | None, typer.Option(help="Only this site, and what holds everywhere.")] = None,
    json: Json = False,
) -> None:
    """Show the locks in force, the oldest first."""
    found = [one for one in run(in_force(settings_or_fail())) if _concerns(one, site)]
    if json:
        print_json(found)
        return
    for one in found:
        told = line_of(TOPICS[one["scope"] == "everywhere"], {"type": "lockout_started", **one})
        say(told.replace(" lockout_started    ", "  ", 1))
    if not found:
        say("nobody and nothing is locked")


@app.command("end")
def end(
    subject: Annotated[str, typer.Argument(help="Who or what: cardholder/p0017, credential/c17, or the id alone.")],
    operator: Operator,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the request.")],
    site: Annotated[str | None, typer.Option(help="The site; needed where several have locked the subject.")] = None,
    json: Json = False,
) -> None:
    """End a lock now. A cardholder's includes those of their credentials at the site, and what holds everywhere."""
    if not reason.strip():
        fail('a reason is required: --reason "identified at the desk"', WRONG_USE)
    settings = settings_or_fail()
    lock = _the_lock([one for one in run(in_force(settings)) if _concerns(one, site)], subject)
    about = {"subject": lock["subject"], "subject_id": lock["subject_id"]}
    request = request_of(LockoutEndRequested, site or lock["site_id"], operator, reason=reason, **about)
    answer = run(send_and_await(settings, request))
    show_answer(answer, json=json)
    if not json:
        say(f"{lock['subject']} {lock['subject_id']} is no longer locked at {request.site_id}")
        _tell_of_holder(lock, run(in_force(settings)))


def _tell_of_holder(lock: Fields, left: list[Fields]) -> None:
    holder = lock.get("cardholder_id")
    if lock["subject"] == "credential" and any(
        one["subject"] == "cardholder" and one["subject_id"] == holder for one in left
    ):
        say(f"its cardholder is still locked: doorstream lockouts end cardholder/{holder}")


def _concerns(one: Fields, site: str | None) -> bool:
    return site is None or one["scope"] == "everywhere" or one["site_id"] == site


def _the_lock(found: list[Fields], subject: str) -> Fields:
    """The lock that is meant by `<subject>/<id>` or an id alone.

    Raises:
        CommandError: there is none, or there are several.
    """
    named = [one for one in found if subject in {one["subject_id"], f"{one['subject']}/{one['subject_id']}"}]
    if not named:
        raise CommandError(f"{subject} is not locked: `doorstream lockouts list` shows what is", FOUND_WRONG)
    if len({one["subject"] for one in named}) > 1:
        several = " or ".join(sorted(f"{one['subject']}/{subject}" for one in named))
        raise CommandError(f"{subject} is the id of several: give {several}", WRONG_USE)
    sites = sorted({one["site_id"] for one in named if one["scope"] == "site"})
    if len(sites) > 1:
        raise CommandError(f"{subject} is locked at {', '.join(sites)}: give --site", WRONG_USE)
    return next((one for one in named if one["scope"] == "site"), named[0])


async def in_force(settings: Settings) -> list[Fields]:
    """The locks in force, the oldest first: from PostgreSQL where that is set, else from their topics."""
    if settings.postgres:
        return await lockout_queries.in_force(settings.postgres)
    settings.need("kafka")
    latest: dict[str, Fields] = {}
    async for record in read_topics(kafka_options(settings), TOPICS, start_ms=None, follow=False):
        fields = fields_in(record)
        if fields.get("type") in {"lockout_started", "lockout_ended"}:
            latest[str(fields.get("lockout_key"))] = fields
    now = datetime.now(UTC)
    held = [one for one in latest.values() if one["type"] == "lockout_started" and _holds(one, now)]
    return sorted(held, key=lambda one: (str(one.get("started_at")), str(one.get("lockout_key"))))


def _holds(one: Fields, now: datetime) -> bool:
    try:
        return one["locked_until"] is None or datetime.fromisoformat(one["locked_until"]) > now
    except (KeyError, TypeError, ValueError):
        return False
