"""Topics made, and waited for until every partition has a leader that answers for it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest, OffsetResetStrategy

from streams.engine.kafka_cluster import ClusterError
from streams.engine.kafka_settings import KafkaSettings

LED_WITHIN_S = 30.0
LOOK_AGAIN_S = 0.1
NAMED = 3
"""So many topics an error names; of the others it gives the number."""
DONE = (0, 36)
"""Made; or somebody else made it meanwhile."""
NOT_LED = frozenset({3, 5, 6, 56, 74, 75, 78})
"""Answers of a broker that does not serve a partition, yet or any more; other refusals come from one that leads it."""


async def make_topics(settings: KafkaSettings, topics: Sequence[NewTopic]) -> None:
    """Create topics and wait until they can be used; those that exist already stay as they are.

    Raises:
        ClusterError: a partition has no leader.
        KafkaError: the broker makes one of them not.
    """
    admin = AIOKafkaAdminClient(**settings.client_options)
    await admin.start()
    try:
        answer = await admin.create_topics(list(topics))
    finally:
        await admin.close()
    for name, code, *why in answer.topic_errors:
        if code not in DONE:
            raise for_code(code)(f"{name}: {why[0] if why else ''}")
    await await_leaders(settings, [topic.name for topic in topics])


async def await_leaders(settings: KafkaSettings, topics: Sequence[str], within_s: float = LED_WITHIN_S) -> None:
    """Wait until each partition of these topics is served by the broker that the metadata names.

    A broker names the leaders of new topics before they know of it, and refuses what is sent to them until then.

    Raises:
        ClusterError: some are not served within that time (seconds).
        KafkaError: Kafka can't be reached.
    """
    until_s = time.monotonic() + within_s
    client = AIOKafkaClient(**settings.client_options)
    try:
        await client.bootstrap()
        while missing := await _not_led(client, topics):
            if time.monotonic() > until_s:
                more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
                raise ClusterError(
                    f"partitions have no leader after {within_s:g} s (of {', '.join(missing[:NAMED])}{more}): "
                    "check that all of Kafka's brokers are up, then run it again"
                )
            await asyncio.sleep(LOOK_AGAIN_S)
    finally:
        await client.close()


async def _not_led(client: AIOKafkaClient, topics: Sequence[str]) -> list[str]:
    """Which of the topics are not served in all of their partitions."""
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    described = (await client.send(client.get_random_node(), request)).to_object()["topics"]
    by_leader: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for topic in described:
        for partition in topic["partitions"]:
            by_leader[partition["leader"]][topic["topic"]].append(partition["partition"])
    missing = {topic["topic"] for topic in described if not topic["partitions"]}
    for leader, places in by_leader.items():
        missing |= await _refused_by(client, leader, places)
    return [topic for topic in topics if topic in missing]


async def _refused_by(client: AIOKafkaClient, leader: int, places: Mapping[str, Sequence[int]]) -> set[str]:
    """Which of these topics the broker does not serve in all of these partitions."""
    if leader < 0:
        return set(places)
    latest = [
        (topic, [(number, OffsetResetStrategy.LATEST) for number in numbers]) for topic, numbers in places.items()
    ]
    try:
        answer = await client.send(leader, OffsetRequest(-1, 0, latest))
    except KafkaError:
        return set(places)  # it is away, or so new that this client has not heard of it
    return {topic for topic, rows in answer.topics if any(row[1] in NOT_LED for row in rows)}
