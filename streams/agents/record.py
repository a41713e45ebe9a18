"""The record role: every topic that is kept, into PostgreSQL and ClickHouse."""

from __future__ import annotations

from sinks.clickhouse import ClickHouseSink
from sinks.poison import log_skipped
from sinks.postgres import PostgresSink
from sinks.reading import Messages, Skipped
from streams import telemetry
from streams.connection import kafka_options
from streams.core.reference import authentication
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.recording import Recorder, RecordOptions
from streams.settings import Settings


def wire(settings: Settings) -> Recorder:
    """A record worker.

    Reference records count as they do where decisions are made: only with the administration's signature, so that
    nothing forged is found when a decision looks something up.

    Raises:
        SettingsError: a server is not set, or the master secret where reference records have to be signed.
    """
    settings.need("kafka", "postgres", "clickhouse")
    messages = Messages(readers=2)
    signed = settings.reference_authentication == "required"
    authenticate = authentication(settings.master_secret()) if signed else None
    sinks: list[PostgresSink | ClickHouseSink] = [
        PostgresSink(settings.postgres, messages, count_skipped, authenticate),
        ClickHouseSink(settings.clickhouse, messages, count_skipped),
    ]
    topics = sorted({topic for sink in sinks for topic in sink.topics})
    return Recorder(RecordOptions(kafka=KafkaSettings.of(kafka_options(settings))), topics, sinks)


def count_skipped(skipped: Skipped) -> None:
    """Count and log a record that a store passed over; the original stays in its topic."""
    telemetry.RECORDS_SKIPPED.labels(skipped.sink, skipped.record.topic, skipped.reason).inc()
    log_skipped(skipped)
