"""A worker of the decide role: each processor's machine on its own Faust app and consumer group, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.core.processor import Processor
from streams.engine.faust_process import SystemClock, run_process
from streams.engine.faust_transport import ChunkApp, GroupOptions, assert_safe, chunk_app, group_for
from streams.engine.journal import journal_topic
from streams.engine.kafka_cluster import ClusterError, common_partitions, probe, read_incarnation
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_references import ReferenceFeed
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.lagging import Lag
from streams.engine.machine import Machine, PartitionHealth
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ports import Chunk, LookupSource, TopicPartition, Verifier
from streams.engine.references import ReferenceViews
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
    """Names of processors whose messages may wait for others, a tenth of a second at most."""
    lz4: bool = False
    watchdog: bool = True


class ProcessorRunner:
    """One processor at work in this process."""

    def __init__(self, processor: Processor, options: DecideOptions, careful: asyncio.Lock | None = None) -> None:
        self.processor = processor
        self._options = options
        self._careful = careful
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._assigning: set[asyncio.Task[None]] = set()
        self._started = False
        self.machine: Machine
        self.watchdog: Watchdog
        self.app: ChunkApp
        self._broker: KafkaBroker

    async def start(self) -> None:
        """Load the references, then join the group; returns when the group has assigned something, or nothing.

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
        clock = SystemClock()
        observer = options.observer(processor) if options.observer else Observer()
        stamped = await probe(options.kafka, [table.topic for table in processor.references])
        views = ReferenceViews(processor.references, clock, observer.reference_refused, stamps=stamped.stamps)
        references = ReferenceFeed(options.kafka, broker, views)
        # Loaded before joining: nobody's partitions wait for it.
        await references.load()
        # What was just loaded lives on: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        group = group_for(options.group, embedded=not abilities.idempotent)
        self.machine = Machine(
            processor,
            broker,
            clock,
            incarnation=incarnation,
            references=views,
            partitions=partitions,
            options=msgspec.structs.replace(options.machine, session_timeout_s=group.session_timeout_s),
            lookups=options.lookups,
            verifier=options.verifier,
            observer=observer,
            careful=self._careful,
        )
        self._tasks["references"] = asyncio.ensure_future(references.follow())
        self._tasks["machine"] = asyncio.ensure_future(self.machine.run())
        await self._start_app(group)

    async def _start_app(self, group: GroupOptions) -> None:
        name, kafka = self.processor.name, self._options.kafka
        hurried = name not in self._options.unhurried
        self.app = app = chunk_app(name, self.processor.inputs, kafka, self._feed, group=group, hurried=hurried)
        consumer = app.consumer
        consumer.revoking, consumer.assigned = self._revoking, self._assigned
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


class DecideWorker:
    """All processors of this process."""

    def __init__(self, options: DecideOptions, processors: Sequence[Processor]) -> None:
        careful = asyncio.Lock()
        self.runners = [ProcessorRunner(processor, options, careful) for processor in processors]
        self._stopping = asyncio.Event()

    @property
    def ready(self) -> bool:
        """For `/readyz`."""
        return all(runner.ready for runner in self.runners)

    @property
    def live(self) -> bool:
        """For `/livez`."""
        return all(not runner.progress or runner.watchdog.live for runner in self.runners)

    @property
    def lags(self) -> Mapping[str, Mapping[TopicPartition, Lag]]:
        """What is not yet decided, by processor."""
        return {runner.processor.name: runner.lags for runner in self.runners}

    @property
    def owned(self) -> Mapping[str, int]:
        """How many partitions are in hand, by processor."""
        return {runner.processor.name: len(runner.health()) for runner in self.runners}

    def request_stop(self) -> None:
        """Begin a graceful stop; `run` returns when it is done."""
        self._stopping.set()

    async def run(self) -> int:
        """Work until asked to stop (0) or until a part fails (1).

        Raises:
            ClusterError: the cluster is not as it must be; the text says what to do.
        """
        stopping = asyncio.ensure_future(self._stopping.wait())
        start = asyncio.ensure_future(self._start())
        watching: list[asyncio.Task[str]] = []
        try:
            await asyncio.wait({stopping, start}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                watching = [asyncio.ensure_future(runner.failed()) for runner in self.runners]
                await asyncio.wait({stopping, *watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in watching:
                if task.done() and not self._stopping.is_set():
                    logger.critical("worker fails: %s", task.result())
                    return 1
            return 0
        finally:
            for other in (stopping, start, *watching):
                other.cancel()
            await asyncio.gather(stopping, start, *watching, return_exceptions=True)
            await asyncio.gather(*(runner.stop() for runner in self.runners), return_exceptions=True)

    async def _start(self) -> None:
        await asyncio.gather(*(runner.start() for runner in self.runners))


def run_decide(options: DecideOptions, processors: Sequence[Processor]) -> int:
    """Run a decide worker as the whole process; gives the exit code."""
    return run_process(lambda: DecideWorker(options, processors))
