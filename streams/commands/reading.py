"""Reading topics for people: from a time or offset on, until an end or for ever."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streams.commands.running import WRONG_USE, CommandError
from streams.connection import started

_SPAN = re.compile(r"^(\d+)([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def since_ms(text: str) -> int:
    """A point in time (Unix, milliseconds) from `10m`, `2h`, `1d` ago, or an RFC 3339 time.

    Raises:
        CommandError: neither.
    """
    span = _SPAN.match(text)
    if span:
        return int((time.time() - int(span[1]) * _SECONDS[span[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"--since {text}: give a span such as 10m, 2h, 1d, or a time such as {now()}", WRONG_USE
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def now() -> str:
    """The time, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="seconds")


async def read_topics(
    options: Mapping[str, Any], topics: Sequence[str], *, start_ms: int | None, follow: bool
) -> AsyncIterator[ConsumerRecord]:
    """The records of some topics, in order per partition.

    `start_ms`: from the first record not older than that; None: from now on (following) or from the beginning. Without
    `follow` it ends at the ends seen when it began.

    Raises:
        CommandError: a topic does not exist.
    """
    async with started(AIOKafkaConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=100)) as consumer:
        partitions = await _partitions(consumer, topics)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await _seek(consumer, partitions, start_ms, follow=follow)
        waiting = set(partitions)
        while waiting or follow:
            if not follow:
                waiting = {p for p in waiting if await consumer.position(p) < ends[p]}
                if not waiting:
                    break
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    yield record


async def _partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    known = await consumer.topics()
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise CommandError(f"no topic {', '.join(missing)} on this cluster: run `doorstream topics apply`")
    return [TopicPartition(topic, p) for topic in topics for p in sorted(consumer.partitions_for_topic(topic) or ())]


async def _seek(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], start_ms: int | None, *, follow: bool
) -> None:
    if start_ms is None:
        await (consumer.seek_to_end(*partitions) if follow else consumer.seek_to_beginning(*partitions))
        return
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, start_ms))
    for partition in partitions:
        place = found.get(partition)
        if place is None:
            await consumer.seek_to_end(partition)
        else:
            consumer.seek(partition, place.offset)


async def count_records(options: Mapping[str, Any], topics: Sequence[str]) -> dict[str, int]:
    """How many records each topic holds (offsets, so compacted ones count), 0 where there is no such topic."""
    async with started(AIOKafkaConsumer(**options, enable_auto_commit=False)) as consumer:
        known = await consumer.topics()
        counts = dict.fromkeys(topics, 0)
        for topic in topics:
            if topic in known:
                places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
                starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
                counts[topic] = sum(ends[place] - starts[place] for place in places)
        return counts
