"""`doorstream subscriptions`: who is sent which events, how far each is behind, and what its last delivery came to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import typer
from aiokafka import ConsumerRecord

from streams.agents.courier_payloads import secret_of
from streams.commands.reading import fields_in, read_topics, since_ms
from streams.commands.rendering import line_of
from streams.commands.running import (
    FOUND_WRONG,
    CommandError,
    Json,
    one_line_errors,
    print_json,
    run,
    say,
    settings_or_fail,
)
from streams.connection import kafka_options
from streams.engine.marks import POSITION_HEADER, Marks
from streams.settings import Settings

app = typer.Typer(help="Subscriptions: who is sent which events, and what became of it.", no_args_is_help=True)

Fields = dict[str, Any]
Since = Annotated[str, typer.Option(help="Deliveries from then on: 10m, 2h, 1d ago, or a time.")]
DELIVERIES, REFERENCE = "deliveries", "reference.subscription"


class Standing(NamedTuple):
    """How a subscription stands, by its last delivery in each partition within the time looked at.

    `pending` events waited after these, the oldest since `oldest_at`; `failing_since` where the last attempt failed.
    """

    subscription: Fields
    pending: int
    oldest_at: str | None
    failing_since: str | None
    error: str
    delivered: int
    dropped: int
    last: Fields | None


@app.command("list")
def list_(since: Since = "1d", json: Json = False) -> None:
    """Show all subscriptions; exit code 1 where deliveries of one fail."""
    found = list(run(standings(settings_or_fail(), since)).values())
    if json:
        print_json([one._asdict() for one in found])
    else:
        for one in found:
            say(_line(one))
        if not found:
            say("there are no subscriptions: write subscriptions.yaml and `doorstream load` it")
    if any(one.failing_since for one in found):
        raise typer.Exit(FOUND_WRONG)


@app.command()
def show(
    subscription: Annotated[str, typer.Argument(help="Its id, as in subscriptions.yaml.")],
    since: Since = "1d",
    json: Json = False,
) -> None:
    """Show one with its filter, and what became of its last events."""
    settings = settings_or_fail()
    one = _named(run(standings(settings, since)), subscription)
    if json:
        print_json(one._asdict())
        return
    say(_line(one))
    for name, value in one.subscription["wants"].items():
        if value:
            say(f"  {name}: {', '.join(value)}")
    say(f"  delivered {one.delivered}, dropped {one.dropped}, within {since}")
    if one.last is not None:
        say(f"  last: {line_of(DELIVERIES, one.last)}")


@app.command()
def secret(
    subscription: Annotated[str, typer.Argument(help="Its id, as in subscriptions.yaml.")],
    json: Json = False,
) -> None:
    """Print what the receiver checks signatures with (Standard Webhooks); hand it over where nobody listens."""
    with one_line_errors():
        found = secret_of(settings_or_fail().master_secret(), subscription)
    if json:
        print_json({"subscription_id": subscription, "secret": found})
    else:
        say(found)


def _named(found: dict[str, Standing], id_: str) -> Standing:
    if id_ not in found:
        known = ", ".join(found) or "none"
        raise CommandError(f"there is no subscription {id_} - there are: {known}", FOUND_WRONG)
    return found[id_]


def _line(one: Standing) -> str:
    fields = one.subscription
    how = f"{fields['delivery']} by {fields['channel']} to {fields['recipient_id']}"
    parts = [f"{fields['subscription_id']:24}", f"{fields['status']:7}", f"{how:40}", f"{one.pending} pending"]
    if one.failing_since:
        parts.append(f"FAILING since {one.failing_since}: {one.error}")
    return "  ".join(parts)


async def standings(settings: Settings, since: str) -> dict[str, Standing]:
    """How every subscription on file stands, by id."""
    options, start_ms = kafka_options(settings), since_ms(since)
    subscriptions: dict[str, Fields | None] = {}
    async for record in read_topics(options, [REFERENCE], start_ms=None, follow=False):
        subscriptions[(record.key or b"").decode(errors="replace")] = _fields(record)
    told: list[tuple[int, Fields]] = []
    marks = Marks()
    async for record in read_topics(options, [DELIVERIES], start_ms=start_ms, follow=False):
        position = dict(record.headers).get(POSITION_HEADER)
        fields = _fields(record) if marks.accept(record.topic, record.partition, position) else None
        if fields is not None:
            told.append((record.partition, fields))
    return {id_: standing(fields, told) for id_, fields in sorted(subscriptions.items()) if fields is not None}


def _fields(record: ConsumerRecord) -> Fields | None:
    fields = fields_in(record)
    return fields if "subscription_id" in fields else None


def standing(subscription: Fields, told: Iterable[tuple[int, Fields]]) -> Standing:
    """How a subscription stands after what was told of deliveries, oldest first, with the partition of each."""
    own = [(partition, one) for partition, one in told if one["subscription_id"] == subscription["subscription_id"]]
    last = dict(own)
    failing = [one for one in last.values() if one["type"] == "delivery_failed"]
    waiting = [one["oldest_at"] for one in last.values() if one.get("oldest_at")]
    return Standing(
        subscription,
        sum(one["pending"] for one in last.values()),
        min(waiting, default=None),
        min((one["first_failed_at"] for one in failing), default=None),
        failing[-1]["error"] if failing else "",
        sum(len(one["events"]) for _, one in own if one["type"] == "events_delivered"),
        sum(len(one["events"]) for _, one in own if one["type"] == "events_dropped"),
        own[-1][1] if own else None,
    )
