"""The record role: topics into stores, in batches, in a consumer group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.core.processor import References, ReferenceTable
from streams.engine.faust_transport import ChunkApp, GroupOptions, assert_safe, chunk_app, group_for
from streams.engine.kafka_cluster import probe, read_incarnation
from streams.engine.kafka_reading import Readers
from streams.engine.kafka_references import reference_feed
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.lagging import Lag
from streams.engine.ports import Chunk, TopicPartition
from streams.engine.recording_lanes import BatchSink, LaneOptions, SinkLane, StalePositionError
from streams.engine.watchdog import Progress, Watchdog

__all__ = ["BatchSink", "LaneOptions", "RecordOptions", "Recorder", "StalePositionError"]

COMMIT_S = 1.0
FLUSH_S = 5.0
STOP_S = 8.0
ASK_TIMEOUT_S = 15.0
ALL_BEHIND_S = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordOptions:
    """What a record worker is given. The consumer group is `doorstream-<name>`."""

    kafka: KafkaSettings
    name: str = "record"
    group: GroupOptions = field(default_factory=GroupOptions)
    lanes: LaneOptions = field(default_factory=LaneOptions)
    sink_lanes: Mapping[str, LaneOptions] = field(default_factory=dict)
    """Of sinks, by name, that are fed otherwise."""
    watchdog: bool = True


class Follower(Protocol):
    """Who has to know reference data before anything is stored."""

    @property
    def tables(self) -> Sequence[ReferenceTable]:
        """What it asks."""

    def follow(self, references: References) -> None:
        """Take the references, which are loaded and move with their topics."""


class Recorder:
    """Feeds every sink with all records of the topics, each from where it stands.

    The positions that count are the sinks' own; the group's committed offsets follow the slowest sink, for lag tools.
    """

    def __init__(
        self,
        options: RecordOptions,
        topics: Sequence[str],
        sinks: Sequence[BatchSink],
        follower: Follower | None = None,
    ) -> None:
        self._follower = follower
        self.lanes: list[SinkLane] = []
        self._options = options
        self._topics = tuple(topics)
        self._sinks = tuple(sinks)
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._assigning: set[asyncio.Task[Any]] = set()
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._feeding: dict[TopicPartition, int] = {}
        """The offset after the last chunk that was offered to the sinks."""
        self._locks: dict[TopicPartition, asyncio.Lock] = {}
        self._back = asyncio.Event()
        self._app: ChunkApp | None = None
        self._readers: Readers | None = None
        self._watchdog: Watchdog | None = None

    # -- what it tells ------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Joined, and every sink has said where it stands."""
        joined = self._app is not None and not self._app.rebalancing
        return joined and all(lane.positions.keys() >= self._assigned for lane in self.lanes)

    @property
    def live(self) -> bool:
        """For `/livez`."""
        return self._watchdog is None or self._watchdog.live

    @property
    def progress(self) -> Mapping[TopicPartition, Progress]:
        """Lag and standstill of each topic partition."""
        return {} if self._watchdog is None else self._watchdog.progress

    @property
    def lags(self) -> Mapping[str, Mapping[TopicPartition, Lag]]:
        """What the slowest sink has not yet stored."""
        return {} if self._watchdog is None else {self._options.name: self._watchdog.lags.now}

    @property
    def owned(self) -> Mapping[str, int]:
        """How many partitions of each topic are in hand."""
        return {self._options.name: len({partition for _, partition in self._assigned})}

    def stored_positions(self) -> dict[TopicPartition, int]:
        """What every sink has stored: the slowest one's next offset by topic partition."""
        return {
            place: min(lane.positions[place] for lane in self.lanes)
            for place in self._assigned
            if all(place in lane.positions for lane in self.lanes)
        }

    # -- life ---------------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Begin a graceful stop; `run` returns when it is done."""
        self._stopping.set()

    async def run(self) -> int:
        """Record until asked to stop (0) or until a part fails (1).

        Raises:
            ClusterError: the cluster is not as it must be; the text says what to do.
        """
        stopping = asyncio.ensure_future(self._stopping.wait())
        start = asyncio.ensure_future(self._start())
        try:
            await asyncio.wait({stopping, start}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await asyncio.wait({stopping, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                return 0
            for name, task in self._tasks.items():
                if task.done():
                    reason = None if task.cancelled() else task.exception()
                    logger.critical("recording fails: %s ended: %r", name, reason)
            return 1
        finally:
            for task in (stopping, start):
                task.cancel()
            await asyncio.gather(stopping, start, return_exceptions=True)
            await self._stop()

    async def _start(self) -> None:
        options = self._options
        abilities = await probe(options.kafka, self._topics)
        incarnation = await read_incarnation(options.kafka)
        self.lanes = [
            SinkLane(sink, incarnation, options.sink_lanes.get(sink.name, options.lanes), self._rewind)
            for sink in self._sinks
        ]
        self._readers = Readers(options.kafka, ASK_TIMEOUT_S, lists_ends=abilities.idempotent)
        if self._follower is not None:
            await self._follow(self._follower)
        group = group_for(options.group, embedded=not abilities.idempotent)
        self._app = app = chunk_app(
            options.name, self._topics, options.kafka, self._feed, group=group, stamps=abilities.stamps
        )
        app.consumer.revoking, app.consumer.assigned = self._revoking, self._on_assigned
        for lane in self.lanes:
            self._tasks[lane.sink.name] = asyncio.ensure_future(lane.run())
        starting = asyncio.ensure_future(app.start())
        self._tasks["app"] = asyncio.ensure_future(app.wait_until_stopped())
        self._tasks["commits"] = asyncio.ensure_future(self._commit_now_and_then())
        self._watchdog = Watchdog(self._moving, self._readers.ends, done=self.stored_positions)
        await starting
        assert_safe(app)
        if options.watchdog:
            self._tasks["watchdog"] = asyncio.ensure_future(self._watchdog.run())

    async def _follow(self, follower: Follower) -> None:
        feed = await reference_feed(self._options.kafka, follower.tables)
        await feed.load()
        follower.follow(feed.tables.views(follower.tables).live())
        self._tasks["references"] = asyncio.ensure_future(feed.follow())

    async def _stop(self) -> None:
        if self._app is not None:
            self._app.consumer.stop_flow()
            await self._flush(STOP_S)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._app.stop(), STOP_S)
        for task in [*self._tasks.values(), *self._assigning]:
            task.cancel()
        await asyncio.gather(*self._tasks.values(), *self._assigning, return_exceptions=True)
        if self._readers is not None:
            await self._readers.close()

    # -- ownership ----------------------------------------------------------------------------------------------

    def _on_assigned(self, assigned: AbstractSet[Any]) -> None:
        self._assigned = frozenset((tp.topic, tp.partition) for tp in assigned)
        self._feeding = {}
        places = sorted(self._assigned)
        for lane in self.lanes:
            task = asyncio.ensure_future(lane.assign(places))
            self._assigning.add(task)
            task.add_done_callback(self._assigning.discard)

    async def _revoking(self, _revoked: AbstractSet[Any], expelled: bool) -> None:
        # The protocol is eager: all is handed back, and comes again if it does.
        if not expelled:
            await self._flush(FLUSH_S)
        for task in self._assigning:
            task.cancel()
        for lane in self.lanes:
            lane.clear()
        self._assigned = frozenset()

    async def _flush(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(lane.flush() for lane in self.lanes if not lane.behind))
        await self._commit()

    def _rewind(self, positions: Mapping[TopicPartition, int]) -> None:
        """Feed again from there, unless what is being fed now lies below."""
        self._back.set()
        self._back.clear()
        if self._app is None:
            return
        for place, position in positions.items():
            if place in self._assigned and position < self._feeding.get(place, position + 1):
                self._feeding[place] = position
                self._app.consumer.seek_feed(*place, position)

    # -- records ------------------------------------------------------------------------------------------------

    async def _feed(self, chunk: Chunk) -> None:
        place = (chunk.topic, chunk.partition)
        async with self._locks.setdefault(place, asyncio.Lock()):
            while self._wanted(chunk) and all(lane.behind for lane in self.lanes):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._back.wait(), ALL_BEHIND_S)
            if self._app is not None and self._wanted(chunk):
                self._feeding[place] = chunk.records[-1].offset + 1
                start = self._app.consumer.fed_from(chunk)
                await asyncio.gather(*(lane.offer(chunk, start, lane.generation) for lane in self.lanes))

    def _wanted(self, chunk: Chunk) -> bool:
        # What was fetched before a seek would leave a gap for the sink that the seek was for.
        place = (chunk.topic, chunk.partition)
        return self._app is not None and place in self._assigned and bool(self._app.consumer.up_to_date(chunk))

    def _moving(self) -> Mapping[TopicPartition, int]:
        # A store that is away is no standstill of the consumer, and starting anew would not bring it back.
        if self._app is None or any(lane.behind for lane in self.lanes):
            return {}
        positions: Mapping[TopicPartition, int] = self._app.consumer.feed_positions()
        return positions

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self._commit()

    async def _commit(self) -> None:
        if self._app is not None:
            await self._app.consumer.commit_positions(self.stored_positions())
