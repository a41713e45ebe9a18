"""Chunks on their way into a partition: known offsets are trimmed, missing ones are fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from schemas.record import Record
from streams.engine.caution import alone
from streams.engine.inputs import InputQueue
from streams.engine.outputs import FIRST_BACKOFF_S, LAST_BACKOFF_S
from streams.engine.partition import Partition
from streams.engine.ports import Chunk, TransientError
from streams.engine.surroundings import Surroundings


async def arrive(around: Surroundings, partition: Partition, chunk: Chunk, wake: asyncio.Event) -> None:
    """Queue a chunk; awaits while the queue is full.

    A gap is sought first. Where it is still there afterwards (the consumer skipped records, or they were deleted or
    compacted), what lies in it is read before the chunk is taken.
    """
    queue = partition.queues.get(chunk.topic)
    if queue is None or chunk.records[-1].offset < queue.fed:
        return
    first = chunk.records[0].offset
    if first > queue.fed:
        if queue.gap_sought_at != queue.fed:
            queue.gap_sought_at = queue.fed
            await around.broker.seek(chunk.topic, chunk.partition, queue.fed)
            return
        await _fill(around, partition, queue, chunk, wake)
    await _add(around, partition, queue, chunk.records, chunk.fetched_ms, wake)


async def _fill(
    around: Surroundings, partition: Partition, queue: InputQueue, chunk: Chunk, wake: asyncio.Event
) -> None:
    """Read what lies before the chunk, again and again while the broker can't be read."""
    backoff_s = FIRST_BACKOFF_S
    while not partition.closed:
        try:
            first = chunk.records[0].offset
            async for records in around.broker.read(chunk.topic, chunk.partition, queue.fed, first):
                await _add(around, partition, queue, records, chunk.fetched_ms, wake)
        except TransientError as error:
            around.observer.retried("gap", str(error))
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
        else:
            return


async def _add(
    around: Surroundings,
    partition: Partition,
    queue: InputQueue,
    records: Sequence[Record],
    fetched_ms: int,
    wake: asyncio.Event,
) -> None:
    while queue.size >= around.options.queue_records and not partition.closed:
        queue.room.clear()
        await queue.room.wait()
    if partition.caution is None:
        _take_in(partition, queue, records, fetched_ms, wake)
        return
    new = [record for record in records if record.offset >= queue.fed]
    for announced, run in partition.caution.runs(queue.topic, new):
        if not announced:
            _take_in(partition, queue, run, fetched_ms, wake)
            continue
        async with alone(around.careful):
            if not partition.closed and not partition.draining:
                await _guard(partition, queue, run, fetched_ms, wake)


async def _guard(
    partition: Partition, queue: InputQueue, run: Sequence[Record], fetched_ms: int, wake: asyncio.Event
) -> None:
    """Let the journal say what is about to be looked into, do it, and wait until it has been decided."""
    chunk = Chunk(queue.topic, partition.index, tuple(run), fetched_ms)
    stop = run[-1].offset + 1
    partition.guarded = True
    try:
        partition.announcing = (queue.topic, run[0].offset, stop)
        wake.set()
        await partition.until(lambda: partition.announcing is None and not partition.busy)
        if not partition.closed:
            partition.arrive(queue, chunk)
            wake.set()
            await partition.until(lambda: queue.taken >= stop and not partition.busy)
    finally:
        partition.guarded = False


def _take_in(
    partition: Partition, queue: InputQueue, records: Sequence[Record], fetched_ms: int, wake: asyncio.Event
) -> None:
    if not partition.closed and not partition.draining:
        partition.arrive(queue, Chunk(queue.topic, partition.index, tuple(records), fetched_ms))
        wake.set()
