"""`doorstream dead`: messages that could not be decided."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaProducer, ConsumerRecord

from schemas.topics import dead_name, registry
from streams.commands.reading import read_topics, since_ms
from streams.commands.rendering import without_secrets
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
from streams.commands.tail import fields_of
from streams.connection import kafka_options, started

app = typer.Typer(help="Dead letters: messages that could not be decided.", no_args_is_help=True)
_PREFIX = "__connect.errors."
SEALED_HEADER = "doorstream-sealed"
CUT_HEADER = "doorstream-cut"


def dead_topics() -> list[str]:
    """Every dead-letter topic."""
    return [dead_name(topic.name) for topic in registry().values() if topic.dead]


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Option(help="Only those of this source topic.")] = None,
    since: Annotated[str | None, typer.Option(help="10m, 2h, 1d ago, or a time.")] = None,
    json: Json = False,
) -> None:
    """List dead letters: where they came from, at which step they failed and why."""
    if topic is not None and dead_name(topic) not in dead_topics():
        fail(f"{topic} has no dead letters: choose one of {', '.join(t[:-5] for t in dead_topics())}", WRONG_USE)
    settings = settings_or_fail()

    async def work() -> list[dict[str, Any]]:
        names = [dead_name(topic)] if topic else dead_topics()
        start = since_ms(since) if since else None
        records = read_topics(kafka_options(settings), names, start_ms=start, follow=False)
        return [describe(record) async for record in records]

    found = run(work())
    if json:
        print_json({"dead_letters": found})
        return
    for row in found:
        say(f"{row['position']:34} {row['source']:34} {row['stage']:9} {row['error']}")
    say(f"{len(found)} dead letters" if found else "no dead letters")


@app.command()
def show(
    position: Annotated[str, typer.Argument(help="As `list` prints it: TOPIC:PARTITION:OFFSET.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as without it.")] = False,  # noqa: ARG001
) -> None:
    """Show one dead letter, as JSON: its headers, and its original value with secrets starred."""
    record = run(_fetch(position))
    print_json({**describe(record), "headers": _headers(record), "value": _shown(record)})


@app.command()
def replay(
    position: Annotated[str, typer.Argument(help="As `list` prints it: TOPIC:PARTITION:OFFSET.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask back.")] = False,
    json: Json = False,
) -> None:
    """Publish a dead letter's original to its source topic again.

    A controller's message keeps its signature and number, so one that was decided meanwhile is not decided twice.
    """
    record = run(_fetch(position))
    row = describe(record)
    if _headers(record).get(SEALED_HEADER):
        fail("this original is sealed because it may hold a secret: the controller has to send it again", FOUND_WRONG)
    if any(name.startswith(CUT_HEADER) for name in _headers(record)):
        fail(f"this letter was cut because of its size: the original lies in its topic at {row['source']}", FOUND_WRONG)
    if not yes and not typer.confirm(f"publish {position} to {row['source'].split(':')[0]} again?"):
        fail("nothing was published", FOUND_WRONG)
    settings = settings_or_fail()

    async def work() -> None:
        headers = [(k, v) for k, v in record.headers if not k.startswith((_PREFIX, "doorstream-position"))]
        async with started(AIOKafkaProducer(**kafka_options(settings), acks="all")) as producer:
            await producer.send_and_wait(
                row["source"].split(":")[0], record.value, key=record.key, partition=record.partition, headers=headers
            )

    run(work())
    if json:
        print_json({**row, "published": True})
    else:
        say(f"published {position} to {row['source'].split(':')[0]} again")


async def _fetch(position: str) -> ConsumerRecord:
    parts = position.split(":")
    if len(parts) != 3 or parts[0] not in dead_topics() or not (parts[1] + parts[2]).isdigit():  # noqa: PLR2004
        raise CommandError(f"{position}: give TOPIC:PARTITION:OFFSET as `doorstream dead list` prints it", WRONG_USE)
    settings = settings_or_fail()
    async for record in read_topics(kafka_options(settings), [parts[0]], start_ms=None, follow=False):
        if (record.partition, record.offset) == (int(parts[1]), int(parts[2])):
            return record
    raise CommandError(f"there is no dead letter at {position}: see `doorstream dead list`")


def _headers(record: ConsumerRecord) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in record.headers}


def describe(record: ConsumerRecord) -> dict[str, Any]:
    """A dead letter's place, source, step and error."""
    headers = _headers(record)
    source = ":".join(headers.get(_PREFIX + part, "?") for part in ("topic", "partition", "offset"))
    return {
        "position": f"{record.topic}:{record.partition}:{record.offset}",
        "source": source,
        "stage": headers.get(_PREFIX + "stage", "?"),
        "error": headers.get(_PREFIX + "exception.message", "?"),
        "bytes": len(record.value or b""),
    }


def _shown(record: ConsumerRecord) -> Any:
    fields = fields_of(record)
    if fields.get("type") == "undecodable":
        return {"undecodable": (record.value or b"")[:2000].decode("utf-8", errors="backslashreplace")}
    return without_secrets(fields)
