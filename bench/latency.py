"""Request to answer: publish at a steady rate, and time each answer as a consumer sees it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Container, Iterator
from statistics import median
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from bench.world import Signed
from streams.connection import partitions_of

DRAIN_S = 10.0


class Answered(NamedTuple):
    """When a request was published (`perf_counter` seconds), and how many seconds its answer took."""

    sent_s: float
    took_s: float


class Expected(NamedTuple):
    """Where answers come, whose they are, and in which partitions (None: in all)."""

    topic: str
    name_of: Callable[[bytes], str | None]
    partitions: Container[int] | None = None


class Latency(NamedTuple):
    """Milliseconds at two quantiles, and how many requests never got an answer."""

    p50_ms: float
    p99_ms: float
    answered: int
    unanswered: int


def request_name(device_id: str, boot: int, sequence: int) -> str:
    """What pairs a request with its command."""
    return f"{device_id}/{boot}/{sequence}"


def name_of_request(value: bytes) -> str:
    """The name of an `access_requested`, or of its echo."""
    fields = json.loads(value)
    return request_name(fields["device_id"], fields["boot"], fields["sequence"])


def name_of_command(value: bytes) -> str | None:
    """The name of the request that an `access_door` answers; None for other commands."""
    fields = json.loads(value)
    if fields["type"] != "access_door" or not fields.get("request"):
        return None
    return request_name(fields["device_id"], fields["request"]["boot"], fields["request"]["sequence"])


async def measure(
    options: dict[str, Any],
    messages: Iterator[Signed],
    *,
    rate: int,
    seconds: float,
    expected: Expected,
) -> Latency:
    """Publish `rate` messages/s for `seconds`, and pair the answers with them."""
    took, unanswered = await timed(options, messages, rate=rate, seconds=seconds, expected=expected)
    return summary([one.took_s for one in took], unanswered)


async def timed(
    options: dict[str, Any],
    messages: Iterator[Signed],
    *,
    rate: int,
    seconds: float,
    expected: Expected,
    begun: Callable[[], None] = lambda: None,
    enough: Callable[[], bool] = lambda: False,
) -> tuple[list[Answered], int]:
    """The same, request by request; and how many never got an answer.

    `begun` is called before the first one; none is published any more when there are `enough`.
    """
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, fetch_max_wait_ms=500)
    producer = AIOKafkaProducer(**options, acks="all", linger_ms=0, partitioner=DefaultPartitioner())
    await consumer.start()
    await producer.start()
    try:
        places = (await partitions_of(consumer, [expected.topic]))[expected.topic]
        if expected.partitions is not None:
            places = [place for place in places if place.partition in expected.partitions]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)
        sent: dict[str, float] = {}
        took: list[Answered] = []
        listening = asyncio.create_task(_listen(consumer, sent, took, expected.name_of))
        begun()
        await _publish(producer, messages, rate, seconds, sent, enough)
        deadline = time.perf_counter() + DRAIN_S
        while sent and time.perf_counter() < deadline:  # noqa: ASYNC110 - the listener empties it
            await asyncio.sleep(0.05)
        listening.cancel()
        return took, len(sent)
    finally:
        await consumer.stop()
        await producer.stop()


async def _publish(
    producer: AIOKafkaProducer,
    messages: Iterator[Signed],
    rate: int,
    seconds: float,
    sent: dict[str, float],
    enough: Callable[[], bool],
) -> None:
    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        if enough():
            return
        message = next(messages)
        wait = start + number / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        sent[name_of_request(message.value)] = time.perf_counter()
        await producer.send(message.topic, message.value, key=message.key, headers=message.headers)


async def _listen(
    consumer: AIOKafkaConsumer, sent: dict[str, float], took: list[Answered], name_of: Callable[[bytes], str | None]
) -> None:
    while True:
        fetched = await consumer.getmany(timeout_ms=500)
        now = time.perf_counter()
        for records in fetched.values():
            for record in records:
                name = name_of(record.value)
                started = sent.pop(name, None) if name else None
                if started is not None:
                    took.append(Answered(started, now - started))


def summary(took: list[float], unanswered: int) -> Latency:
    """The quantiles of so many seconds."""
    if not took:
        return Latency(float("nan"), float("nan"), 0, unanswered)
    ordered = sorted(took)
    last = len(ordered) - 1
    return Latency(ordered[last // 2] * 1000, ordered[int(last * 0.99)] * 1000, len(ordered), unanswered)


def typical(found: list[Latency]) -> Latency:
    """Medians over rounds, and how many there were in all of them."""
    return Latency(
        median(one.p50_ms for one in found),
        median(one.p99_ms for one in found),
        sum(one.answered for one in found),
        sum(one.unanswered for one in found),
    )
