"""The record role: every topic that is kept, into PostgreSQL and ClickHouse."""

from __future__ import annotations

from sinks.clickhouse import ClickHouseSink
from sinks.postgres import PostgresSink
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
    sinks: list[PostgresSink | ClickHouseSink] = [PostgresSink(settings.postgres), ClickHouseSink(settings.clickhouse)]
    topics = sorted({topic for sink in sinks for topic in sink.topics})
    return Recorder(RecordOptions(kafka=KafkaSettings.of(kafka_options(settings))), topics, sinks)
