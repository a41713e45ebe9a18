"""`doorstream explain`: every check of a decision, as it was decided."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer

from sinks.queries import decision as stored_decision
from streams.commands.reading import read_topics
from streams.commands.running import CommandError, print_json, run, say, settings_or_fail
from streams.connection import kafka_options
from streams.core.explanation import explain as explain_decision
from streams.settings import Settings


def explain(
    decision_id: Annotated[str, typer.Argument(help="As in a decision's message or the decisions table.")],
    json: Annotated[bool, typer.Option("--json", help="Print the whole message.")] = False,
) -> None:
    """Say what was decided, why, and how each check went."""
    found = run(find(settings_or_fail(), decision_id))
    if json:
        print_json(found)
    else:
        for line in explain_decision(found):
            say(line)


async def find(settings: Settings, decision_id: str) -> dict[str, Any]:
    """A decision's message: from PostgreSQL where that is set, else (or if it is not stored yet) from its topic.

    Raises:
        CommandError: there is none.
    """
    if settings.postgres:
        found = await stored_decision(settings.postgres, decision_id)
        if found is not None:
            return found
    if settings.kafka:
        wanted = f'"decision_id":"{decision_id}"'.encode()
        async for record in read_topics(kafka_options(settings), ["access.decisions"], start_ms=None, follow=False):
            if record.value is not None and wanted in record.value:
                fields: dict[str, Any] = jsonlib.loads(record.value)
                if fields.get("type") in {"access_granted", "access_denied"}:
                    return fields
    if not settings.kafka and not settings.postgres:
        settings.need("postgres")
    raise CommandError(
        f"there is no decision {decision_id}: take the id from `doorstream tail access.decisions --json`"
    )
