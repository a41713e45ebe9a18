"""One sink's way from fetched chunks to stored batches: at its own pace, from its own positions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import stamina

from schemas.record import Record
from streams.engine.marks import POSITION_HEADER, Marks
from streams.engine.ports import Chunk, TopicPartition

logger = logging.getLogger(__name__)


class StalePositionError(Exception):
    """Somebody else has stored these records already: the sink must be asked anew where it stands."""


class _GapError(Exception):
    """Records between what a lane was fed and what it is fed now are missing."""


class BatchSink(Protocol):
    """A store of records that knows how far it has come.

    `write` stores rows and positions in one transaction, takes any batch edges, and makes nothing of what it has
    already; `ends` are the next offsets that the batch leads to, where repeats were left out at its end. `positions`
    gives the next offset of each topic partition that the sink knows in this incarnation.
    Both may raise anything; they are called again, with back-off. `write` raises `StalePositionError` where the sink
    is further than the batch begins and can't tell what to leave out.
    """

    @property
    def name(self) -> str:
        """For logs and metrics."""

    async def positions(self, incarnation: int, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where to go on."""

    async def write(
        self, incarnation: int, records: Sequence[Record], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Store a batch: records of several topic partitions, in order within each."""


class LaneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a sink is fed."""

    batch_records: int = 20_000
    batch_s: float = 0.5
    queue_records: int = 60_000
    """Records that wait for one sink in memory."""
    patience_s: float = 5.0
    """How long a full sink holds up the others; then it is left behind, and read for again later."""
    behind_s: float = 10.0
    """How long a sink that was left behind stays so, at least."""
    first_backoff_s: float = 0.1
    last_backoff_s: float = 10.0


class SinkLane:
    """What one sink has yet to store. `rewind` is asked to feed again from the given positions."""

    def __init__(
        self,
        sink: BatchSink,
        incarnation: int,
        options: LaneOptions,
        rewind: Callable[[Mapping[TopicPartition, int]], None],
    ) -> None:
        self.sink = sink
        self.positions: dict[TopicPartition, int] = {}
        """Next offset to be stored, of owned topic partitions whose place in the sink is known."""
        self.behind = False
        self.stored = 0
        self.retries = 0
        self._incarnation = incarnation
        self._options = options
        self._rewind = rewind
        self._queue: deque[tuple[Chunk, int]] = deque()
        """Chunks, and where the feed stood before each."""
        self._size = 0
        self._marks = Marks()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._writing = asyncio.Lock()
        self._trouble: tuple[str, float] | None = None
        """What the sink fails with, and since when (the loop's seconds)."""
        self.generation = 0
        """Rises whenever what was fed so far no longer leads on to what comes."""

    # -- ownership ----------------------------------------------------------------------------------------------

    async def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Ask the sink where it stands, for as long as it takes, then have it fed from there."""
        self.generation += 1
        generation = self.generation
        async for attempt in self._retry():
            with attempt:
                found = await self.sink.positions(self._incarnation, partitions)
        self._answers()
        if generation != self.generation:
            return
        # Whatever came meanwhile was fed from elsewhere.
        self.generation += 1
        self._drop_queue()
        self.positions = {place: found.get(place, 0) for place in partitions}
        self._marks = Marks()
        self.behind = False
        self._rewind(self.positions)

    def clear(self) -> None:
        """Nothing is owned any more."""
        self.generation += 1
        self.positions = {}
        self.behind = False
        self._drop_queue()

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._size = 0
        self._changed.set()
        self._room.set()

    @property
    def idle(self) -> bool:
        """Whether all that was offered is stored."""
        return not self._queue and not self._writing.locked()

    # -- records in ---------------------------------------------------------------------------------------------

    async def offer(self, chunk: Chunk, start: int, generation: int) -> None:
        """Take a chunk that was meant for this `generation`; waits for room, but not for ever.

        `start`: where the feed stood before it.
        """
        place = (chunk.topic, chunk.partition)
        if generation != self.generation or self.behind or place not in self.positions:
            return
        if chunk.records[-1].offset < self.positions[place]:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.patience_s
        while self._size >= self._options.queue_records and loop.time() < until:
            self._room.clear()
            try:
                await asyncio.wait_for(self._room.wait(), until - loop.time())
            except TimeoutError:
                break
        if generation != self.generation or self.behind:
            return
        if self._size >= self._options.queue_records:
            logger.warning("%s is too slow or absent: the other sinks go on without it", self.sink.name)
            self.behind = True
            self._drop_queue()
            return
        self._queue.append((chunk, start))
        self._size += len(chunk.records)
        self._changed.set()

    # -- batches out --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Store batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._size < self._options.batch_records and self._queue:
                until = loop.time() + self._options.batch_s
                with contextlib.suppress(TimeoutError):
                    while self._size < self._options.batch_records:
                        self._changed.clear()
                        await asyncio.wait_for(self._changed.wait(), until - loop.time())
            await self.flush()

    async def flush(self) -> None:
        """Store what is there."""
        async with self._writing:
            while self._queue and not self.behind:
                await self._store()
        if self.behind:
            # Its last write went through: the store is there again.
            generation = self.generation
            await asyncio.sleep(self._options.behind_s)
            if generation == self.generation:
                await self.assign(list(self.positions))

    async def _store(self) -> None:
        generation = self.generation
        chunks: list[tuple[Chunk, int]] = []
        count = 0
        while self._queue and count < self._options.batch_records:
            chunks.append(self._queue.popleft())
            count += len(chunks[-1][0].records)
        self._size -= count
        self._room.set()
        try:
            after, records = self._select(chunks)
            ends = {place: end for place, end in after.items() if end > self.positions[place]}
            if ends:
                async for attempt in self._retry():
                    with attempt:
                        if generation != self.generation:
                            return
                        self.retries += attempt.num > 1
                        await self.sink.write(self._incarnation, records, ends)
                self._answers()
        except (StalePositionError, _GapError) as error:
            if generation == self.generation:
                if isinstance(error, _GapError):
                    logger.warning("%s is asked anew where it stands: %s", self.sink.name, error)
                self._drop_queue()
                await self.assign(list(self.positions))
            return
        if generation == self.generation:
            self.stored += len(records)
            self.positions.update(after)

    def _select(self, chunks: Sequence[tuple[Chunk, int]]) -> tuple[dict[TopicPartition, int], list[Record]]:
        """Positions after these chunks, and the records that the sink lacks: not below its position, no repeats.

        Raises:
            _GapError: a chunk does not lead on; stored, what lies between would be missing for ever.
        """
        after = dict(self.positions)
        records: list[Record] = []
        accept = self._marks.accept
        for chunk, start in chunks:
            place = (chunk.topic, chunk.partition)
            position = after[place]
            if start > position:
                raise _GapError(f"{chunk.topic}/{chunk.partition} was fed from {start} after {position}")
            records.extend(
                record
                for record in chunk.records
                if record.offset >= position and accept(*place, record.header(POSITION_HEADER))
            )
            after[place] = max(position, chunk.records[-1].offset + 1)
        return after, records

    def _retry(self) -> Any:
        return stamina.retry_context(
            on=self._fails,
            attempts=None,
            timeout=None,
            wait_initial=self._options.first_backoff_s,
            wait_max=self._options.last_backoff_s,
        )

    def _fails(self, error: BaseException) -> bool:
        """Whether to try again; the first failure of a kind is told, and no repeats of it."""
        # stamina asks for cancellations, too: who stops must not wait for a store that is away.
        if not isinstance(error, Exception) or isinstance(error, StalePositionError):
            return False
        kind = type(error).__name__
        if self._trouble is None or self._trouble[0] != kind:
            since = asyncio.get_running_loop().time() if self._trouble is None else self._trouble[1]
            self._trouble = kind, since
            logger.warning("%s fails, and is tried until it does not: %s: %s", self.sink.name, kind, error)
        return True

    def _answers(self) -> None:
        if self._trouble is not None:
            seconds = asyncio.get_running_loop().time() - self._trouble[1]
            self._trouble = None
            logger.warning("%s is there again, after %.0f s", self.sink.name, seconds)
