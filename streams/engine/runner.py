"""One processor at work in a process: its machine on its own Faust app and consumer group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.core.processor import Processor
from streams.engine.faust_process import SystemClock
from streams.engine.faust_transport import ChunkApp, GroupOptions, assert_safe, chunk_app, group_for
from streams.engine.journal import journal_topic
from streams.engine.kafka_cluster import ClusterError, common_partitions, probe, read_incarnation
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.lagging import Lag
from streams.engine.machine import Machine, PartitionHealth
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.pace import Pace
from streams.engine.ports import Chunk, LookupSource, TopicPartition, Verifier
from streams.engine.references import ReferenceTables
from streams.engine.watchdog import Progress, Watchdog

STOP_S = 10.0
LEAST_STOP_S = 1.0
"""What leaving the group and disconnecting get each, even where draining took all the time there was."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecideOptions:
    """What a decide worker is given. `observer` makes one per processor."""

    kafka: KafkaSettings
    group: GroupOptions = field(default_factory=GroupOptions)
    machine: MachineOptions = field(default_factory=MachineOptions)
    lookups: LookupSource | None = None
    verifier: Verifier | None = None
    observer: Callable[[Processor], Observer] | None = None
    unhurried: frozenset[str] = frozenset()
    """Names of processors whose messages may wait for others, a tenth of a second at most, and in small cycles."""
    lz4: bool = False
    watchdog: bool = True


class ProcessorRunner:
    """One processor at work in this process."""

    def __init__(
        self,
        processor: Processor,
        options: DecideOptions,
        careful: asyncio.Lock | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.processor = processor
        self._options = options
        self._careful = careful
        self._pace = pace
        self._hurried = processor.name not in options.unhurried
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._assigning: set[asyncio.Task[None]] = set()
        self._started = False
        self.machine: Machine
        self.watchdog: Watchdog
        self.app: ChunkApp
        self._broker: KafkaBroker
        self._group: GroupOptions

    async def prepare(self, tables: ReferenceTables) -> None:
        """Look at the cluster and make the machine, which sees `tables`; they are to be loaded before it is `start`ed.

        Raises:
            ClusterError: the cluster or its topics are not as they must be.
        """
        options, processor = self._options, self.processor
        partitions = await common_partitions(options.kafka, processor.inputs)
        abilities = await probe(options.kafka, processor.inputs)
        incarnation = await read_incarnation(options.kafka)
        journal = await probe(options.kafka, [journal_topic(processor.name)])
        self._broker = broker = KafkaBroker(
            options.kafka,
            idempotent=abilities.idempotent,
            stamps=abilities.stamps,
            stamps_journal=journal.stamps,
            lz4=options.lz4,
        )
        observer = options.observer(processor) if options.observer else Observer()
        self._group = group_for(options.group, embedded=not abilities.idempotent)
        self.machine = Machine(
            processor,
            broker,
            SystemClock(),
            incarnation=incarnation,
            references=tables.views(processor.references, observer.reference_refused),
            partitions=partitions,
            options=msgspec.structs.replace(options.machine, session_timeout_s=self._group.session_timeout_s),
            lookups=options.lookups,
            verifier=options.verifier,
            observer=observer,
            careful=self._careful,
            pace=self._pace,
            hurried=self._hurried,
        )

    async def start(self) -> None:
        """Join the group; returns when it has assigned something, or nothing."""
        self._tasks["machine"] = asyncio.ensure_future(self.machine.run())
        await self._start_app(self._group)

    async def _start_app(self, group: GroupOptions) -> None:
        name, kafka = self.processor.name, self._options.kafka
        inputs = self.processor.inputs
        self.app = app = chunk_app(
            name, inputs, kafka, self._feed, group=group, hurried=self._hurried, stamps=self._broker.stamps
        )
        consumer = app.consumer
        consumer.revoking, consumer.assigned = self._revoking, self._assigned
        consumer.hurry = self.machine.hurry
        self._broker.attach(consumer)
        self._started = True
        start = asyncio.ensure_future(app.start())
        self._tasks["app"] = asyncio.ensure_future(app.wait_until_stopped())
        self.watchdog = Watchdog(
            self._moving, self._broker.ends, done=self.machine.positions, strides=self.machine.strides
        )
        await start
        assert_safe(app)
        if self._options.watchdog:
            self._tasks["watchdog"] = asyncio.ensure_future(self.watchdog.run())

    async def _feed(self, chunk: Chunk) -> None:
        await self.machine.feed(chunk)

    # -- ownership ----------------------------------------------------------------------------------------------

    async def _revoking(self, revoked: AbstractSet[Any], expelled: bool) -> None:
        partitions = sorted({tp.partition for tp in revoked})
        if expelled:
            logger.warning("%s: expelled from the group, giving up %s", self.processor.name, partitions)
            self.machine.lost(partitions)
        else:
            await self.machine.revoke(partitions)

    def _assigned(self, assigned: AbstractSet[Any]) -> None:
        by_partition: dict[int, set[str]] = {}
        for tp in assigned:
            by_partition.setdefault(tp.partition, set()).add(tp.topic)
        torn = {number for number, topics in by_partition.items() if topics != set(self.processor.inputs)}
        if torn:
            error = ClusterError(
                f"{self.processor.name}: partitions {sorted(torn)} were assigned without all of their topics: "
                "run workers of one version and one set of topics in a group"
            )
            self._tasks["torn"] = asyncio.ensure_future(_fail(error))
            return
        task = asyncio.ensure_future(self.machine.assign(sorted(by_partition)))
        self._assigning.add(task)
        task.add_done_callback(self._assigning.discard)

    # -- health -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Joined, and everything that is owned runs."""
        return self._started and not self.app.rebalancing and self.machine.ready

    def health(self) -> Mapping[int, PartitionHealth]:
        """Every owned partition."""
        return self.machine.health() if self._started else {}

    @property
    def progress(self) -> Mapping[TopicPartition, Progress]:
        """Lag and standstill of each topic partition."""
        return self.watchdog.progress if self._started else {}

    @property
    def lags(self) -> Mapping[TopicPartition, Lag]:
        """What is not yet decided of each input topic partition."""
        return self.watchdog.lags.now if self._started else {}

    def _moving(self) -> Mapping[TopicPartition, int]:
        return self.machine.moving(self.app.consumer.feed_positions())

    async def failed(self) -> str:
        """Wait until a part of it ends, and say which and why."""
        while True:
            tasks = dict(self._tasks)
            done, _ = await asyncio.wait(tasks.values(), timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            for name, task in tasks.items():
                if task in done:
                    reason = None if task.cancelled() else task.exception()
                    reason = reason or (getattr(self.app, "crash_reason", None) if self._started else None)
                    return f"{self.processor.name}: {name} ended: {reason!r}"

    # -- the end ------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Drain, checkpoint, commit, leave the group, disconnect.

        Takes about ten seconds at most: where the broker is away nothing is to be gained by patience, and nothing is
        lost without it.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + STOP_S
        if self._started:
            self.app.consumer.stop_flow()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.machine.stop(), STOP_S)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self.app.stop(), max(LEAST_STOP_S, until_s - loop.time()))
        for task in [*self._tasks.values(), *self._assigning]:
            task.cancel()
        await asyncio.gather(*self._tasks.values(), *self._assigning, return_exceptions=True)
        if hasattr(self, "_broker"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broker.close(), max(LEAST_STOP_S, until_s - loop.time()))


async def _fail(error: Exception) -> None:
    raise error
