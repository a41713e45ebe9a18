"""`doorstream lag`: how far each role is behind what was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import registry
from streams.commands.running import Json, print_json, run, say, settings_or_fail
from streams.connection import kafka_options, partitions_of, started

GROUPS = {
    name: f"doorstream-{name}"
    for name in ("site", "devices", "alerts", "lockouts", "record", "notify", "subscriptions")
}
"""The consumer group of each reader named in topics.yaml."""


class Lag(NamedTuple):
    """What one reader has not yet taken from one topic; `partitions_read` tells how many it has committed at all."""

    reader: str
    topic: str
    messages: int
    partitions: int
    partitions_read: int


def lag(json: Json = False) -> None:
    """Show how many messages each role has not yet taken, by topic."""
    settings = settings_or_fail()
    found = run(measure(kafka_options(settings)))
    if json:
        print_json({"lag": [row._asdict() for row in found]})
        return
    say(f"{'reader':8} {'topic':20} {'waiting':>9}  partitions read")
    for row in found:
        say(f"{row.reader:8} {row.topic:20} {row.messages:9}  {row.partitions_read}/{row.partitions}")


async def measure(options: Mapping[str, Any]) -> list[Lag]:
    """The lag of every reader on every topic that it reads by site, from committed offsets."""
    async with (
        started(AIOKafkaAdminClient(**options)) as admin,
        started(AIOKafkaConsumer(**options, enable_auto_commit=False)) as consumer,
    ):
        have = await partitions_of(consumer, list(registry()))
        found: list[Lag] = []
        for reader in GROUPS:
            topics = [topic.name for topic in registry().values() if reader in topic.readers and topic.by_site]
            found += [
                await _lag_of(admin, consumer, reader, topic, have[topic])
                for topic in topics
                if topic in have and not _internal(topic)
            ]
        return found


def _internal(topic: str) -> bool:
    return topic.endswith((".journal", ".state", ".dead"))


async def _lag_of(
    admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, reader: str, topic: str, places: list[TopicPartition]
) -> Lag:
    # The partitions are named one by one: the embedded broker can't answer for all at once.
    committed = await admin.list_consumer_group_offsets(GROUPS[reader], partitions=places)
    starts = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    waiting = read = 0
    for place in places:
        offset = committed[place].offset if place in committed else -1
        read += offset >= 0
        waiting += max(0, ends[place] - max(offset, starts[place]))
    return Lag(reader, topic, waiting, len(places), read)
