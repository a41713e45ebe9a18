"""The decide role: the processors of sites, devices, alerts and lockouts, with what they need of the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sinks.lookups import PostgresLookups
from streams.agents.metering import MetricsObserver, count_device, count_outcome
from streams.agents.verification import SecretVerifier
from streams.connection import kafka_options
from streams.core.alerts import AlertsProcessor
from streams.core.devices import DevicesProcessor
from streams.core.everywhere import LockoutsProcessor
from streams.core.notifications import NotifyProcessor
from streams.core.processor import Found, Lookup, Processor
from streams.core.site import SiteProcessor
from streams.core.subscriptions import SubscriptionsProcessor
from streams.engine.faust_transport import GroupOptions
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.runner import DecideOptions
from streams.engine.worker import DecideWorker
from streams.settings import Settings

_COUNTS = {"site": count_outcome, "devices": count_device}


class _Lookups:
    """PostgreSQL's answers in the core's words."""

    def __init__(self, dsn: str, incarnation: int) -> None:
        self._asked = PostgresLookups(dsn, incarnation)
        self._asked.begin()

    async def fetch(self, lookups: Sequence[Lookup]) -> Mapping[Lookup, Sequence[Found]]:
        answers = await self._asked.fetch(lookups)
        return {lookup: [Found(row.id, row.position, row.value) for row in rows] for lookup, rows in answers.items()}


def plain_processors(settings: Settings) -> list[Processor]:
    """Every processor, to decide again what was decided: nothing is counted, and nobody is told of anything."""
    signed, master = settings.reference_authentication == "required", settings.master_secret()
    return [
        SiteProcessor(master, signed_references=signed),
        DevicesProcessor(master, signed_references=signed),
        AlertsProcessor(master, signed_references=signed),
        LockoutsProcessor(master),
        NotifyProcessor(master if signed else None),
        SubscriptionsProcessor(master if signed else None),
    ]


def wire(settings: Settings, incarnation: int) -> DecideWorker:
    """A decide worker. Needs a running event loop.

    Raises:
        SettingsError: Kafka or the master secret is not set.
    """
    master = settings.master_secret()
    signed = settings.reference_authentication == "required"
    processors: list[Any] = [
        SiteProcessor(master, signed_references=signed),
        DevicesProcessor(master, signed_references=signed),
        AlertsProcessor(master, signed_references=signed),
        LockoutsProcessor(master),
    ]
    options = DecideOptions(
        kafka=KafkaSettings.of(kafka_options(settings)),
        group=GroupOptions.missed_after(settings.session_timeout_s),
        lookups=_Lookups(settings.postgres, incarnation) if settings.postgres else None,
        verifier=SecretVerifier(master),
        observer=lambda processor: MetricsObserver(processor.name, _COUNTS.get(processor.name)),
        # Nobody stands at a door and waits for these; what they cost, the site's requests would wait for.
        unhurried=frozenset(one.name for one in processors[1:]),
    )
    return DecideWorker(options, processors)
