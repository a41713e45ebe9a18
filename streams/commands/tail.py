"""`doorstream tail`: what passes on the topics, as lines for people or JSON."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable
from enum import EnumType
from typing import Annotated, Any, get_args

import typer
from aiokafka import ConsumerRecord

from schemas.event_classes import class_of
from schemas.registry import ASKED_ON, model_of
from schemas.topics import registry
from schemas.vocabulary import Classification
from streams.commands.reading import read_topics, since_ms
from streams.commands.rendering import line_of, without_secrets
from streams.commands.running import WRONG_USE, fail, print_json, run, say, settings_or_fail
from streams.commands.terminal import coloured
from streams.connection import kafka_options
from streams.loading.problems import nearest

UNDECODABLE, TOMBSTONE = "undecodable", "tombstone"
"""The types of what has none."""


def tail(  # noqa: PLR0913, PLR0917 - one for each option
    topics: Annotated[list[str], typer.Argument(help="Topics, such as access.decisions device.commands.")],
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    door: Annotated[str | None, typer.Option(help="Only this door or one of its access points.")] = None,
    cardholder: Annotated[str | None, typer.Option(help="Only this cardholder.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only this message type, or event of a device.")] = None,
    class_: Annotated[
        Classification | None, typer.Option("--class", help="Only events of this class.", show_choices=True)
    ] = None,
    since: Annotated[str | None, typer.Option(help="From then on: 10m, 2h, 1d ago, or a time.")] = None,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="End at the end instead of waiting for more.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show messages as they come. Secrets are never shown."""
    unknown = [topic for topic in topics if topic not in registry()]
    if unknown:
        fail(f"no topic {', '.join(unknown)}: `doorstream topics check` knows {', '.join(registry())}", WRONG_USE)
    if type_ is not None and type_ not in (known := types_of(topics)) and known:
        fail(f"{', '.join(topics)} have no message or event {type_!r}{nearest(type_, known)}", WRONG_USE)
    settings = settings_or_fail()
    wanted = {"site_id": site, "cardholder_id": cardholder, "type": type_}

    async def work() -> None:
        start = since_ms(since) if since else None
        async for record in read_topics(kafka_options(settings), topics, start_ms=start, follow=not no_follow):
            fields = fields_of(record)
            if fits(fields, wanted, door) and (class_ is None or classed(record.topic, fields) is class_):
                show(record, fields, json=json)

    run(work())


def types_of(topics: Iterable[str]) -> frozenset[str]:
    """What `--type` may name on these topics: message types and events. Nothing where all may come (dead letters)."""
    found = {UNDECODABLE, TOMBSTONE}
    for topic in topics:
        messages = registry()[topic].messages
        if not messages:
            return frozenset()
        for name in messages:
            model = model_of(topic, name)
            event = model.model_fields.get("event") if model is not None else None
            found |= {name, *(map(str, _values(event.annotation)) if event is not None else ())}
    return frozenset(found)


def _values(annotation: Any) -> Iterable[Any]:
    return annotation if isinstance(annotation, EnumType) else get_args(annotation)


def fields_of(record: ConsumerRecord) -> dict[str, Any]:
    """A record's JSON object without its secrets; what is none becomes a `type` that says so."""
    try:
        value = jsonlib.loads(record.value or b"null")
    except (ValueError, RecursionError):
        return {"type": UNDECODABLE, "bytes": len(record.value or b"")}
    if not isinstance(value, dict):
        return {"type": TOMBSTONE if value is None else UNDECODABLE}
    shown: dict[str, Any] = without_secrets(value)
    return shown


def fits(fields: dict[str, Any], wanted: dict[str, str | None], door: str | None) -> bool:
    """Whether a message passes the filters."""
    for name, value in wanted.items():
        if value is not None and value not in (
            [fields.get("type"), fields.get("event")] if name == "type" else [fields.get(name)]
        ):
            return False
    if door is None:
        return True
    return fields.get("door_id") == door or str(fields.get("access_point_id", "")).startswith(f"{door}-")


def classed(topic: str, fields: dict[str, Any]) -> Classification | None:
    """The event's class; None for what is no event, or none that can be read."""
    if topic in ASKED_ON:
        # Requests are named like the events that they ask for.
        return None
    try:
        return class_of(fields)
    except (TypeError, AttributeError):
        # Anybody may have written this.
        return None


def show(record: ConsumerRecord, fields: dict[str, Any], *, json: bool) -> None:
    """Print one message."""
    if json:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        print_json({**place, "key": (record.key or b"").decode(errors="replace"), "value": fields})
    else:
        say(coloured(line_of(record.topic, fields), fields))
