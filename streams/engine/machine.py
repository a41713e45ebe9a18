"""The site machine: all owned partitions of one processor, going round in cycles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor

import msgspec

from streams.core.processor import Processor
from streams.engine.cycle import Cycle
from streams.engine.gaps import arrive
from streams.engine.marks import check_name
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ownership import DRAINING, HALTED, RECOVERING, RUNNING, Recoverer, Slot
from streams.engine.pace import Pace
from streams.engine.partition import Partition
from streams.engine.ports import Broker, Chunk, Clock, LookupSource, TopicPartition, Verifier
from streams.engine.probe import EndProbe
from streams.engine.pulse import Pulse
from streams.engine.references import ReferenceViews
from streams.engine.resolve import Resolver
from streams.engine.surroundings import Surroundings
from streams.engine.timekeeping import SkewLook, SteadyClock

IDLE_S = 0.05
"""An idle machine looks at its deadlines, and that its event loop is alive, that often."""
DRAIN_POLL_S = 0.005


class PartitionHealth(msgspec.Struct, frozen=True):
    """What a watchdog wants to know of an owned partition.

    `phase`: `recovering`, `running`, `draining` or `halted`. `backlog`: records waiting in memory.
    `last_progress_s`: the clock's monotonic time of the last acknowledged journal entry, or of having been idle.
    """

    phase: str
    backlog: int
    last_progress_s: float
    reason: str = ""


class Machine:
    """Decides what arrives on the owned partitions of a processor's inputs.

    Everything runs on one event loop, `ReferenceTables.apply` included. `incarnation` (Unix, seconds) ranks the
    broker's lives and comes from the cluster's own record; `partitions` is how many the inputs have. `observer`
    defaults to a silent one. `executor` runs verifications; by default a small thread pool. `careful` is shared by all
    machines of a process, and so is `pace` (`Surroundings`).
    """

    def __init__(  # noqa: PLR0913 - the one place where the machine's parts are given to it
        self,
        processor: Processor,
        broker: Broker,
        clock: Clock,
        *,
        incarnation: int,
        references: ReferenceViews,
        partitions: int = 0,
        options: MachineOptions | None = None,
        lookups: LookupSource | None = None,
        verifier: Verifier | None = None,
        observer: Observer | None = None,
        executor: Executor | None = None,
        careful: asyncio.Lock | None = None,
        pace: Pace | None = None,
        hurried: bool = True,
    ) -> None:
        check_name(processor.name)
        self.skew_ms = 0
        options = options or MachineOptions()
        self._clock = steady = SteadyClock(clock, options.clock_skew_limit_ms, hold=broker.stamps_journal)
        self._options = options
        self._observer = observer or Observer()
        self._wake = asyncio.Event()
        self._slots: dict[int, Slot] = {}
        self._fatal: Exception | None = None
        self._stopped = asyncio.Event()
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._resolver = Resolver(
            lookups=lookups,
            verifier=verifier,
            references=references,
            clock=steady,
            options=options,
            observer=self._observer,
            executor=executor,
            wake=self._wake.set,
        )
        self._pulse = Pulse(steady, options.session_timeout_s)
        self._around = Surroundings(
            processor,
            broker,
            steady,
            incarnation,
            references,
            self._resolver,
            self._observer,
            options,
            self._pulse,
            partitions,
            careful=careful or asyncio.Lock(),
            pace=pace or Pace(),
            hurried=hurried,
        )
        self._recoverer = Recoverer(
            self._around, failed=self._drop, settled=self._wake.set, skew=self._note_skew, fatal=self._end
        )
        self._probe = EndProbe(broker, steady, self._wake.set)
        look = SkewLook(broker, steady, self._note_skew)
        self._cycle = Cycle(self._around, self._wake, look, drop=self._drop, halt=self._halt)

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this machine owns, recovering and halted ones included."""
        return frozenset(self._slots)

    @property
    def references(self) -> ReferenceViews:
        """The reference data that it decides by."""
        return self._around.references

    def hurry(self) -> bool:
        """Whether somebody has just come to this process, so that little is to be done at a time."""
        return self._around.pace.hurry(self._clock.monotonic_s())

    @property
    def ready(self) -> bool:
        """It owns partitions, all of them run, references are loaded and the clock is near the broker's."""
        return (
            bool(self._slots)
            and self._around.references.loaded
            and abs(self.skew_ms) <= self._options.clock_skew_limit_ms
            and all(slot.phase == RUNNING for slot in self._slots.values())
        )

    async def assign(self, partitions: Iterable[int]) -> None:
        """Take ownership: recover each partition, seek its feeds (`Broker.seek`), let it take part in cycles.

        Returns when all of them run or are halted; may be awaited or left as a task. Partitions already owned are
        left alone. Failures of a partition halt it or are retried; they are not raised.
        """
        slots = [Slot(index) for index in sorted(set(partitions)) if index not in self._slots]
        self._slots.update((slot.index, slot) for slot in slots)
        if slots:
            await self._recoverer.bring_up(slots)

    async def revoke(self, partitions: Iterable[int]) -> None:
        """Give partitions back: finish the cycle, await acknowledgements, checkpoint, commit, let go.

        Takes at most `stop_timeout_s`; `run` must be running meanwhile.
        """
        slots = [self._slots[index] for index in partitions if index in self._slots]
        for slot in slots:
            if slot.partition is not None:
                slot.phase = DRAINING if slot.phase == RUNNING else slot.phase
                slot.partition.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.stop_timeout_s
        while self._running and loop.time() < until:
            if all(self._drained(slot) for slot in slots):
                break
            await asyncio.sleep(DRAIN_POLL_S)
        self._let_go(slots)
        await self._cycle.committed()

    def _drained(self, slot: Slot) -> bool:
        partition = slot.partition
        if partition is None or partition.closed:
            return True
        if partition.busy or partition.guarded or partition.checkpoint is not None:
            return False
        number = partition.position.number
        if partition.checkpointed < number:
            self._wake.set()
            return False
        return partition.lanes.acknowledged(number)

    def lost(self, partitions: Iterable[int]) -> None:
        """Ownership ended without a chance to finish: nothing more is written for these partitions."""
        self._let_go([self._slots[index] for index in partitions if index in self._slots])

    def _let_go(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            if self._slots.get(slot.index) is slot:
                del self._slots[slot.index]
            slot.gone = True
            self._survive(slot)

    async def feed(self, chunk: Chunk) -> None:
        """Hand over fetched records of an input, in order per topic partition.

        Awaits while that topic partition has `queue_records` waiting. Chunks of partitions that are not running are
        dropped (their feed is sought when they run), known offsets are trimmed, a gap is sought and re-read.
        """
        slot = self._slots.get(chunk.partition)
        partition = slot.partition if slot is not None else None
        if partition is None or partition.draining:
            return
        await arrive(self._around, partition, chunk, self._wake)

    async def run(self) -> None:
        """Go round in cycles until `stop`.

        Raises:
            AnotherLifeError: the broker was begun anew; only a new process can go on.
        """
        self._running = True
        self._pulse.beat()
        self._pulse.stalled = False
        try:
            while not self._stopped.is_set():
                if self._fatal is not None:
                    raise self._fatal
                self._wake.clear()
                if self._pulse.beat():
                    self._drop_all("the event loop stood still for longer than the session time-out")
                    self._pulse.stalled = False
                if not self._around.hurried:
                    await self._around.pace.give_way(self._clock.monotonic_s)
                busy = await self._cycle.go([slot for slot in self._slots.values() if slot.partition is not None])
                self._probe.look([s.partition for s in self._slots.values() if s.partition is not None])
                if not busy:
                    await self._idle()
        finally:
            self._running = False
            self._let_go(list(self._slots.values()))
            self._resolver.close()

    async def _idle(self) -> None:
        now_s = self._clock.monotonic_s()
        for slot in self._slots.values():
            if slot.partition is not None and not slot.partition.busy and not slot.partition.backlog():
                slot.progress_s = now_s
        if self._wake.is_set():
            # Something came while the cycle went round: nothing is gained by waiting for more.
            return
        timer = asyncio.get_running_loop().call_later(IDLE_S, self._wake.set)
        await self._wake.wait()
        timer.cancel()
        await asyncio.sleep(self._options.gather_ms / 1000)

    async def stop(self) -> None:
        """Drain, checkpoint, commit and let go of everything, within 10 s; then `run` returns."""
        await self.revoke(list(self._slots))
        self._stopped.set()
        self._wake.set()

    def health(self) -> Mapping[int, PartitionHealth]:
        """Every owned partition's health."""
        found = {}
        for index, slot in self._slots.items():
            backlog = slot.partition.backlog() if slot.partition is not None else 0
            found[index] = PartitionHealth(slot.phase, backlog, slot.progress_s, slot.reason)
        return found

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset to be decided, of every input topic partition that is owned and running."""
        return {
            (topic, index): offset
            for index, slot in self._slots.items()
            if slot.partition is not None
            for topic, offset in slot.partition.position.inputs.items()
        }

    def moving(self, feeds: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """How far each input has come, for a watchdog: its feed's position, or the decided one where records wait.

        Of a partition in recovery, whose feed goes on in vain, it is what was decided when it was given up, or -1.
        Partitions that wait for a person are left out. (A feed also passes what is no record, such as a transaction's
        end, and alone it would hide a partition that decides nothing of what it was fed.)
        """
        found = dict(feeds)
        for index, slot in self._slots.items():
            if slot.phase == HALTED:
                found = {place: offset for place, offset in found.items() if place[1] != index}
            elif slot.partition is None:
                found.update({(topic, index): slot.taken.get(topic, -1) for topic in self._around.processor.inputs})
            else:
                waiting = [queue for queue in slot.partition.queues.values() if queue.size]
                found.update({(queue.topic, index): queue.taken for queue in waiting})
        return found

    def strides(self) -> dict[int, int]:
        """How far the recoveries under way have come, by partition (`Strides.furthest`)."""
        slots = self._slots.items()
        return {index: slot.strides.furthest for index, slot in slots if slot.phase == RECOVERING}

    # -- giving up ----------------------------------------------------------------------------------------------

    def _drop(self, slot: Slot, partition: Partition, reason: str) -> None:
        """Give a partition up before anything more leaves, and recover it."""
        if slot.partition is not partition:
            return
        self._observer.dropped(slot.index, reason)
        draining = partition.draining
        self._survive(slot)
        if draining or slot.gone:
            return
        slot.phase = RECOVERING
        task = asyncio.get_running_loop().create_task(self._recoverer.bring_up([slot]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _survive(self, slot: Slot) -> None:
        """Let go of a partition: whatever it was about to look into has not killed this process."""
        if slot.partition is not None:
            self._around.survived.add((slot.index, slot.partition.epoch))
        slot.let_go()

    def _drop_all(self, reason: str) -> None:
        for slot in list(self._slots.values()):
            if slot.partition is not None:
                self._drop(slot, slot.partition, reason)

    def _halt(self, slot: Slot, reason: str) -> None:
        """Take nothing more, but let what was journalled leave."""
        slot.phase, slot.reason = HALTED, reason
        if slot.partition is not None:
            slot.partition.draining = True
        self._observer.halted(slot.index, reason)

    def _end(self, error: Exception) -> None:
        self._fatal = error
        self._wake.set()

    def _note_skew(self, milliseconds: int) -> None:
        self.skew_ms = milliseconds
        if abs(milliseconds) > self._options.clock_skew_limit_ms:
            self._observer.clock_skew(milliseconds)
