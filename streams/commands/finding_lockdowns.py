"""Lockdowns as their topic tells them, and what PostgreSQL knows besides: for the commands about them (E2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from schemas.record import Record
from schemas.vocabulary import ThreatLevel
from sinks.lockdown_queries import CaseFile, Span, case_file
from streams.commands.reading import fields_in, read_topics
from streams.commands.running import CommandError
from streams.connection import kafka_options
from streams.core import lockdowns, reference
from streams.core.operator_admission import Refused
from streams.core.reference_tables import tables
from streams.engine.faust_process import SystemClock
from streams.engine.references import ReferenceTables
from streams.settings import Settings

Fields = dict[str, Any]
_ENTITIES = ("zone", "access-point")


async def told(settings: Settings, since_ms: int | None = None) -> list[Fields]:
    """Everything that was told of lockdowns (since a time, Unix milliseconds), in order."""
    settings.need("kafka")
    found: list[Fields] = []
    async for record in read_topics(kafka_options(settings), ("incidents",), start_ms=since_ms, follow=False):
        fields = fields_in(record)
        if "incident_id" in fields:
            found.append(fields)
    return sorted(found, key=lambda one: int(one["transition"]))


def by_incident(found: Sequence[Fields]) -> list[list[Fields]]:
    """Each lockdown as all that was told of it, the oldest first."""
    steps: dict[str, list[Fields]] = {}
    for one in found:
        steps.setdefault(one["incident_id"], []).append(one)
    return sorted(steps.values(), key=lambda one: str(one[0]["started_at"]))


async def the_incident(settings: Settings, beginning: str) -> list[Fields]:
    """All that was told of the one lockdown whose id begins so.

    Raises:
        CommandError: there is none, or there are several.
    """
    found = [one for one in by_incident(await told(settings)) if one[0]["incident_id"].startswith(beginning)]
    if len(found) != 1:
        what = "no lockdown's id begins" if not found else f"{len(found)} lockdowns' ids begin"
        raise CommandError(f"{what} with {beginning}: see `doorstream lockdown status`")
    return found[0]


class Scope(NamedTuple):
    """What would be locked down; `refused` says why nothing will be."""

    site_id: str
    zone_id: str
    doors: Sequence[str]
    refused: str = ""


async def scope_of(settings: Settings, zone_id: str, level: ThreatLevel) -> Scope:
    """What is locked down, by the reference data; the site itself decides anew.

    Raises:
        CommandError: there is no such zone.
    """
    settings.need("kafka")
    specs = tables(entities=_ENTITIES)
    known = ReferenceTables(specs, SystemClock())
    views = known.views(specs)
    number = 0
    async for found in read_topics(kafka_options(settings), views.topics, start_ms=None, follow=False):
        known.apply(found.topic, [Record(found.topic, 0, number, found.key, found.value, (), 0)])
        number += 1
    references = views.live()
    zone = reference.zone(references, zone_id)
    if zone is None:
        raise CommandError(f"no zone {zone_id}: see zones.yaml of the loaded folder")
    try:
        scope = lockdowns.scope_of(references, zone.site_id, zone_id, level)
    except Refused as refused:
        return Scope(zone.site_id, zone_id, [], str(refused))
    return Scope(zone.site_id, scope, lockdowns.doors_in(references, scope))


async def case_of(settings: Settings, steps: Sequence[Fields]) -> CaseFile | None:
    """What PostgreSQL knows of a lockdown that went through these steps; None where no PostgreSQL is set."""
    if not settings.postgres:
        return None
    one = steps[-1]
    drill, spans = bool(one["drill"]), spans_of(steps)
    refusing = not drill or bool(one.get("drill_commands"))
    return await case_file(settings.postgres, one["site_id"], one["incident_id"], spans, refusing=refusing, drill=drill)


def spans_of(steps: Sequence[Fields]) -> list[Span]:
    """A lockdown's scopes, one after the other, from its start to the all-clear."""
    spans: list[Span] = []
    for step in steps:
        if not spans or spans[-1].zone_id != step["zone_id"]:
            at = datetime.fromisoformat(step["decided_at"] if spans else step["started_at"])
            spans = [*spans[:-1], *(one._replace(until=at) for one in spans[-1:]), Span(step["zone_id"], at, None)]
    end = steps[-1]["releasing_at"]
    return [*spans[:-1], spans[-1]._replace(until=datetime.fromisoformat(end) if end else None)]
