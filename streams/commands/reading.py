"""Reading topics for people: from a time or offset on, until an end or for ever."""

from __future__ import annotations

import json as jsonlib
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from streams.commands.running import WRONG_USE, CommandError
from streams.connection import partitions_of, started
from streams.engine.kafka_records import TolerantConsumer

_SPAN = re.compile(r"^(\d+)([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def since_ms(text: str) -> int:
    """A point in time (Unix, milliseconds) from `10m`, `2h`, `1d` ago, or an RFC 3339 time.

    Raises:
        CommandError: neither.
    """
    span = _SPAN.match(text)
    if span:
        return max(0, int(time.time() * 1000) - int(span[1]) * _SECONDS[span[2]] * 1000)
    try:
        moment = datetime.fromisoformat(text)
        return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise CommandError(
            f"--since {text}: give a span such as 10m, 2h, 1d, or a time such as {now()}", WRONG_USE
        ) from None


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
    async with started(TolerantConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=100)) as consumer:
        partitions = await _partitions(consumer, topics)
        ends = await consumer.end_offsets(partitions)
        starts = await _starts(consumer, partitions, start_ms, ends, follow=follow)
        # Without an await in between: the client's own reset of positions must not come after the seek.
        consumer.assign(partitions)
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        waiting = set(partitions)
        while waiting or follow:
            if not follow:
                waiting = {p for p in waiting if await consumer.position(p) < ends[p]}
                if not waiting:
                    break
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    yield record


def fields_in(record: ConsumerRecord) -> dict[str, Any]:
    """The fields of a message; none where there is no object, as anybody may write anything."""
    try:
        value = jsonlib.loads(record.value or b"null")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _partitions(consumer: TolerantConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    known = await partitions_of(consumer, topics)
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise CommandError(f"no topic {', '.join(missing)} on this cluster: run `doorstream topics apply`")
    return [place for topic in topics for place in known[topic]]


async def _starts(
    consumer: TolerantConsumer,
    partitions: list[TopicPartition],
    start_ms: int | None,
    ends: Mapping[TopicPartition, int],
    *,
    follow: bool,
) -> Mapping[TopicPartition, int]:
    if start_ms is None:
        beginnings: Mapping[TopicPartition, int] = await consumer.beginning_offsets(partitions)
        return ends if follow else beginnings
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, start_ms))
    return {p: ends[p] if found.get(p) is None else found[p].offset for p in partitions}


async def count_records(options: Mapping[str, Any], topics: Sequence[str]) -> dict[str, int]:
    """How many records each topic holds (offsets, so compacted ones count), 0 where there is no such topic."""
    async with started(TolerantConsumer(**options, enable_auto_commit=False)) as consumer:
        counts = dict.fromkeys(topics, 0)
        for topic, places in (await partitions_of(consumer, topics)).items():
            starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            counts[topic] = sum(ends[place] - starts[place] for place in places)
        return counts
