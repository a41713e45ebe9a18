"""Alerts as they stand and what happened to them: from PostgreSQL where that is set, else from their topic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sinks import alert_queries
from streams.commands.reading import fields_in, read_topics
from streams.commands.running import CommandError
from streams.connection import kafka_options
from streams.settings import Settings

Fields = dict[str, Any]
SEVERITIES = ("critical", "high", "medium", "low")


def topic_of_alerts(*, monitoring: bool) -> str:
    """Where alerts are: of duress, or all others."""
    return "duress.alerts" if monitoring else "alerts"


async def standing(
    settings: Settings, *, monitoring: bool, closed: bool, site_id: str | None, limit: int
) -> list[Fields]:
    """Alerts as they stand, the open ones first, worst first."""
    if settings.postgres:
        return await alert_queries.alerts(
            settings.postgres, duress=monitoring, closed=closed, site_id=site_id, limit=limit
        )
    latest: dict[str, Fields] = {}
    async for fields in _told(settings, monitoring=monitoring):
        latest[str(fields.get("alert_id"))] = fields
    found = [
        one
        for one in latest.values()
        if (closed or one.get("state") != "closed") and site_id in {None, one.get("site_id")}
    ]
    return sorted(found, key=_worst_first)[:limit]


def _worst_first(one: Fields) -> tuple[bool, int, str]:
    severity = one.get("severity")
    rank = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
    return one.get("state") == "closed", rank, str(one.get("raised_at"))


async def the_alert(settings: Settings, beginning: str, *, monitoring: bool) -> Fields:
    """The one alert whose id begins so.

    Raises:
        CommandError: there is none, or there are several.
    """
    found: list[Fields] = []
    if settings.postgres:
        found = await alert_queries.alerts_named(settings.postgres, beginning, duress=monitoring)
    if not found and settings.kafka:
        latest: dict[str, Fields] = {}
        async for fields in _told(settings, monitoring=monitoring):
            if str(fields.get("alert_id")).startswith(beginning):
                latest[str(fields["alert_id"])] = fields
        found = list(latest.values())
    if not settings.postgres and not settings.kafka:
        settings.need("kafka")
    if len(found) > 1:
        raise CommandError(f"several alerts begin with {beginning}: give more of the id")
    if not found:
        raise CommandError(f"there is no alert {beginning}: `doorstream alerts list` shows the open ones")
    return found[0]


async def history(settings: Settings, alert_id: str, *, monitoring: bool) -> list[Fields]:
    """Every transition of an alert, in order."""
    if settings.postgres:
        found = await alert_queries.history(settings.postgres, alert_id, duress=monitoring)
        if found:
            return found
    return [one async for one in _told(settings, monitoring=monitoring) if one.get("alert_id") == alert_id]


async def _told(settings: Settings, *, monitoring: bool) -> AsyncIterator[Fields]:
    settings.need("kafka")
    topic = topic_of_alerts(monitoring=monitoring)
    async for record in read_topics(kafka_options(settings), [topic], start_ms=None, follow=False):
        fields = fields_in(record)
        if fields.get("alert_id"):
            yield fields
