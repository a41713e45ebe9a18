"""The record role: every topic that is kept, into PostgreSQL and ClickHouse."""

from __future__ import annotations

from collections.abc import Callable

from schemas.record import Record
from sinks.clickhouse import ClickHouseSink
from sinks.poison import log_skipped
from sinks.postgres import PostgresSink
from sinks.postgres_rows import EVERYWHERE
from sinks.reading import Messages, Skipped
from streams import telemetry
from streams.connection import kafka_options
from streams.core.genuine import Genuine
from streams.core.lockout_publication import signed_until
from streams.core.reference_tables import authentication, tables
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.recording import LaneOptions, Recorder, RecordOptions
from streams.settings import Settings

SINK_LANES = {ClickHouseSink.name: LaneOptions(batch_records=40_000, batch_s=1.0)}
"""ClickHouse likes large batches, about one a second: each is a part that it has to merge later."""


def wire(settings: Settings) -> Recorder:
    """A record worker.

    Reference records, and locks of all sites, count as they do where decisions are made: only with the signature of
    who may write them, so that nothing forged is found when a decision looks something up. Controllers' messages count
    with the controller's.

    Raises:
        SettingsError: a server, or the master secret, is not set.
    """
    settings.need("kafka", "postgres", "clickhouse")
    signed = settings.reference_authentication == "required"
    master = settings.master_secret()
    genuine = Genuine(master, tables(master if signed else None))
    messages = Messages(readers=2, genuine=genuine)
    authenticate = _authenticate(master) if signed else None
    sinks: list[PostgresSink | ClickHouseSink] = [
        PostgresSink(settings.postgres, messages, count_skipped, authenticate),
        ClickHouseSink(settings.clickhouse, messages, count_skipped),
    ]
    topics = sorted({topic for sink in sinks for topic in sink.topics})
    options = RecordOptions(KafkaSettings.of(kafka_options(settings)), sink_lanes=SINK_LANES)
    return Recorder(options, topics, sinks, genuine)


def _authenticate(master: bytes) -> Callable[[Record], int | None]:
    of_reference, of_lockout = authentication(master), signed_until(master)
    return lambda record: of_lockout(record) if record.topic == EVERYWHERE else of_reference(record)


def count_skipped(skipped: Skipped) -> None:
    """Count and log a record that a store passed over; the original stays in its topic."""
    telemetry.RECORDS_SKIPPED.labels(skipped.sink, skipped.record.topic, skipped.reason).inc()
    log_skipped(skipped)
