"""The record role: every topic that is kept, into PostgreSQL and ClickHouse."""

from __future__ import annotations

from sinks.clickhouse import ClickHouseSink
from sinks.poison import log_skipped
from sinks.postgres import PostgresSink
from sinks.reading import Messages, Skipped
from streams import telemetry
from streams.connection import kafka_options
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.recording import Recorder, RecordOptions
from streams.settings import Settings


def wire(settings: Settings) -> Recorder:
    """A record worker.

    Raises:
        SettingsError: a server is not set.
    """
    settings.need("kafka", "postgres", "clickhouse")
    messages = Messages(readers=2)
    sinks: list[PostgresSink | ClickHouseSink] = [
        PostgresSink(settings.postgres, messages, count_skipped),
        ClickHouseSink(settings.clickhouse, messages, count_skipped),
    ]
    topics = sorted({topic for sink in sinks for topic in sink.topics})
    return Recorder(RecordOptions(kafka=KafkaSettings.of(kafka_options(settings))), topics, sinks)


def count_skipped(skipped: Skipped) -> None:
    """Count and log a record that a store passed over; the original stays in its topic."""
    telemetry.RECORDS_SKIPPED.labels(skipped.sink, skipped.record.topic, skipped.reason).inc()
    log_skipped(skipped)
