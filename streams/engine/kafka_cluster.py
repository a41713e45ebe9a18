"""What a worker must know of a cluster before it starts: its abilities, its life, its partition counts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as AioPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, UnsupportedVersionError, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from streams.engine.kafka_records import TolerantConsumer
from streams.engine.kafka_settings import KafkaSettings

CLUSTER_TOPIC = "doorstream.cluster"
INCARNATION_KEY = b"incarnation"
NONE = (-1, 35)
"""Answers of a broker that gives no producer ids, though it may list the request: unknown, unsupported."""
NOT_YET = (14, 15, 16, 51)
"""Answers of a broker whose coordinator is loading or moving: asked again."""
NOT_YET_ATTEMPTS = 50
NOT_YET_S = 0.2
LOOKS = 20
LOOK_MS = 500


class ClusterError(Exception):
    """The cluster can't be worked with; the text says what to do."""


class ClusterUnreachableError(ClusterError):
    """No broker answers."""


class Abilities(msgspec.Struct, frozen=True):
    """`idempotent`: the broker gives producer ids. `stamps`: it stamps every one of the topics asked for."""

    idempotent: bool
    stamps: bool


async def probe(settings: KafkaSettings, topics: Sequence[str]) -> Abilities:
    """What the broker can do, and whether all of these topics carry its append time.

    Raises:
        ClusterError: it can't be reached.
    """
    client = AIOKafkaClient(**settings.client_options)
    try:
        await client.bootstrap()
        idempotent = await _gives_producer_ids(client, settings)
    except KafkaError as error:
        raise ClusterUnreachableError(
            f"Kafka at {settings.bootstrap} does not answer ({error}): start it or check it"
        ) from error
    finally:
        await client.close()
    # The embedded broker takes the setting and ignores it; one without producer ids is not believed.
    return Abilities(idempotent, idempotent and await _stamped(settings, topics))


async def _gives_producer_ids(client: AIOKafkaClient, settings: KafkaSettings) -> bool:
    """Ask for a producer id: the embedded broker lists the request and fails it."""
    request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
    for _ in range(NOT_YET_ATTEMPTS):
        try:
            answer = await client.send(client.get_random_node(), request)
        except (IncompatibleBrokerVersion, UnsupportedVersionError):
            return False
        code = answer.error_code
        if code == 0 or code in NONE:
            return bool(code == 0)
        if code not in NOT_YET:
            why = for_code(code).__name__
            raise ClusterError(f"Kafka at {settings.bootstrap} refuses a producer id ({why}): allow IdempotentWrite")
        await asyncio.sleep(NOT_YET_S)
    raise ClusterError(f"Kafka at {settings.bootstrap} gives no producer id: its coordinator is not ready, try again")


async def _stamped(settings: KafkaSettings, topics: Sequence[str]) -> bool:
    admin = AIOKafkaAdminClient(**settings.client_options)
    await admin.start()
    try:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        found = {
            resource[3]: {entry[0]: entry[1] for entry in resource[4]}
            for answer in await admin.describe_configs(resources)
            for resource in answer.resources
        }
        return all(found.get(topic, {}).get("message.timestamp.type") == "LogAppendTime" for topic in topics)
    except (KafkaError, NotImplementedError, ValueError):
        return False
    finally:
        await admin.close()


async def common_partitions(settings: KafkaSettings, topics: Sequence[str]) -> int:
    """The one partition count of topics that are decided together.

    Raises:
        ClusterError: a topic is missing, or the counts differ.
    """
    admin = AIOKafkaAdminClient(**settings.client_options)
    try:
        await admin.start()
        existing = await admin.list_topics()
        missing = [topic for topic in topics if topic not in existing]
        if missing:
            raise ClusterError(f"topics are missing ({', '.join(missing)}): run `doorstream topics apply`")
        described = await admin.describe_topics(list(topics))
        counts = {row["topic"]: len(row["partitions"]) for row in described}
    except KafkaError as error:
        raise ClusterUnreachableError(
            f"Kafka at {settings.bootstrap} does not answer ({error}): start it or check it"
        ) from error
    finally:
        await admin.close()
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{topic} {count}" for topic, count in counts.items())
        raise ClusterError(f"partition counts differ ({shown}): all topics by site need one count; make them anew")
    return next(iter(counts.values()))


def incarnation_in(value: bytes | None) -> int:
    """The incarnation that a record of the cluster's topic tells.

    Raises:
        ClusterError: it tells none.
    """
    try:
        return int(json.loads(value or b"")["incarnation"])
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"{CLUSTER_TOPIC} holds no incarnation ({error!r}): recreate it with `topics apply`"
        ) from error


async def find_incarnation(settings: KafkaSettings) -> int | None:
    """Which life of the broker this is (Unix, seconds): the first record of the cluster's topic counts."""
    consumer = TolerantConsumer(**settings.client_options, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        if CLUSTER_TOPIC not in await consumer.topics():
            return None
        place = AioPartition(CLUSTER_TOPIC, 0)
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        return await _first_incarnation(consumer, place, end) if end else None
    except KafkaError as error:
        raise ClusterUnreachableError(
            f"Kafka at {settings.bootstrap} does not answer ({error}): start it or check it"
        ) from error
    finally:
        await consumer.stop()


async def _first_incarnation(consumer: TolerantConsumer, place: AioPartition, end: int) -> int:
    """What the first record that is left before the end tells."""
    await consumer.seek_to_beginning(place)
    for _ in range(LOOKS):
        fetched = await consumer.getmany(place, timeout_ms=LOOK_MS)
        for record in fetched.get(place, ()):
            return incarnation_in(record.value)
        if await consumer.position(place) >= end:
            raise ClusterError(
                f"{CLUSTER_TOPIC} has lost its record, which says which life of the broker this is: keep it for ever "
                '(retention.ms=-1) and write {"incarnation": <number>} to it under the key "incarnation" (the first '
                "record of any doorstream.*.journal has the number), or begin anew with all topics"
            )
    raise ClusterUnreachableError(f"{CLUSTER_TOPIC} is not delivered (its leader may be away): check Kafka, try again")


async def read_incarnation(settings: KafkaSettings) -> int:
    """The incarnation.

    Raises:
        ClusterError: nobody has written it, or the cluster does not answer.
    """
    found = await find_incarnation(settings)
    if found is None:
        raise ClusterError(f"{CLUSTER_TOPIC} is missing or empty: run `doorstream topics apply`")
    return found


async def ensure_incarnation(settings: KafkaSettings) -> int:
    """The incarnation; written now where there is none (the topic must exist)."""
    found = await find_incarnation(settings)
    if found is not None:
        return found
    producer = AIOKafkaProducer(**settings.client_options, acks="all")
    await producer.start()
    try:
        value = json.dumps({"incarnation": int(time.time())}).encode()
        await producer.send_and_wait(CLUSTER_TOPIC, value, key=INCARNATION_KEY, partition=0)
    finally:
        await producer.stop()
    return await read_incarnation(settings)
