"""The whole machine without Kafka, driven step by step: for tests of processors, simulations and replays.

harness = Harness(processor)
harness.publish("access.requests", "hq", b"{...}")
harness.run_until_idle()
harness.outputs("access.decisions")
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from schemas.record import Headers, Record
from streams.core.processor import Processor
from streams.engine.machine import Machine, PartitionHealth
from streams.engine.marks import POSITION_HEADER, Marks
from streams.engine.memory import READ_RECORDS, ManualClock, MemoryBroker, MemoryClient
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ownership import HALTED, RECOVERING
from streams.engine.ports import Chunk, LookupSource, Verifier
from streams.engine.references import ReferenceViews

POLL_S = 0.001
PATIENCE_S = 60.0
"""Of the virtual loop's time: where a worker isn't idle after that, something is held up."""
LONGEST_STEP_S = 5.0


class _JumpingSelector(selectors.DefaultSelector):
    """Where an event loop would sleep, its time jumps instead."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.time_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose sleeps take no time; what doesn't run it doesn't exist for it."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The loop's own time, in seconds."""
        return self._jumping.time_s


class InlineExecutor(Executor):
    """Runs what it is given at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks the future
            future.set_exception(error)
        return future


class Worker:
    """One process's worth of machine, on an event loop of its own: not running it is what SIGSTOP does."""

    def __init__(self, broker: MemoryBroker, clock: ManualClock, make: Callable[[MemoryClient], Machine]) -> None:
        self.paused = False
        self.client = MemoryClient(broker)
        self._clock = clock
        self._loop = VirtualLoop()
        self._machine = self._loop.run_until_complete(self._make(make))
        self._views: ReferenceViews = self._machine._around.references  # noqa: SLF001 - the harness is the machine's test bench
        self._inputs = self._machine._around.processor.inputs  # noqa: SLF001
        self._tasks = [self._loop.create_task(self._machine.run()), self._loop.create_task(self._pump())]

    async def _make(self, make: Callable[[MemoryClient], Machine]) -> Machine:
        return make(self.client)

    @property
    def machine(self) -> Machine:
        """The machine; to be used while its loop isn't running."""
        return self._machine

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin to take ownership."""
        self._tasks.append(self._loop.create_task(self._take(list(partitions))))

    async def _take(self, partitions: list[int]) -> None:
        if not self._views.loaded:
            await self._views.load(self.client)
        await self._machine.assign(partitions)

    async def _pump(self) -> None:
        while True:
            self._read_references()
            for place in list(self.client.positions):
                if place[1] not in self._machine.owned:
                    continue
                records = self.client.fetch(place)
                if records:
                    await self._machine.feed(Chunk(*place, tuple(records), self._clock.now_ms()))
            await asyncio.sleep(POLL_S)

    def _read_references(self) -> None:
        if self._views.loaded:
            for topic, position in self._views.positions().items():
                log = self.client.broker.log(topic, 0)
                if log.end > position + 1:
                    self._views.apply(topic, log.slice(position + 1, log.end))

    def settle(self) -> bool:
        """Run until idle; False where something is held up."""
        return self._loop.run_until_complete(self._settle())

    async def _settle(self) -> bool:
        until = self._loop.time() + PATIENCE_S
        await asyncio.sleep(0)
        while not self.idle():
            if self._loop.time() > until:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def step(self, seconds: float = POLL_S) -> None:
        """Run for a little of the loop's own time."""
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def idle(self) -> bool:
        """Whether all input has been decided and all outputs are acknowledged."""
        if any(task.done() and task.exception() for task in self._tasks):
            return True
        slots = self._machine._slots.values()  # noqa: SLF001
        taking = all(task.done() for task in self._tasks[2:])
        return taking and all(slot.phase == HALTED or self._slot_idle(slot) for slot in slots)

    def _slot_idle(self, slot: Any) -> bool:
        partition = slot.partition
        if slot.phase == RECOVERING or partition is None or partition.busy or partition.checkpoint is not None:
            return False
        log = self.client.broker.log
        if any(log(topic, slot.index).end > queue.taken for topic, queue in partition.queues.items()):
            return False
        if partition.wants_checkpoint(self._clock.monotonic_s()) or partition.has_due(self._clock.now_ms()):
            return False
        return bool(partition.lanes.acknowledged(partition.position.number))

    def stop(self) -> None:
        """A graceful end: drain, checkpoint, leave."""
        self._loop.run_until_complete(self._machine.stop())
        self._loop.run_until_complete(asyncio.wait_for(self._tasks[0], 1))
        self._end()

    def revoke(self, partitions: Iterable[int]) -> None:
        """Give partitions back gracefully."""
        self._loop.run_until_complete(self._machine.revoke(list(partitions)))

    def kill(self) -> None:
        """SIGKILL: nothing more leaves."""
        self.client.dead = True
        self._end()

    def _end(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(tasks, timeout=1) if tasks else asyncio.sleep(0))
        for task in self._tasks:
            if not task.cancelled() and task.done() and (error := task.exception()) is not None:
                raise error
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Harness:
    """A broker, a clock and one or more workers of one processor. Nothing moves between calls.

    `partitions` of every topic but the reference topics. Use it as a context manager, or `close` it.
    """

    def __init__(
        self,
        processor: Processor,
        *,
        partitions: int = 1,
        options: MachineOptions | None = None,
        lookups: LookupSource | None = None,
        verifier: Verifier | None = None,
        observer: Observer | None = None,
        incarnation: int = 1,
        stamps: bool = True,
        start: bool = True,
    ) -> None:
        self.processor = processor
        self.clock = ManualClock()
        self.broker = MemoryBroker(
            self.clock, partitions=partitions, stamps=stamps, single=[table.topic for table in processor.references]
        )
        self.observer = observer or Observer()
        self.workers: list[Worker] = []
        self._options = options
        self._lookups = lookups
        self._verifier = verifier
        self._incarnation = incarnation
        if start:
            self.start()

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    # -- workers ------------------------------------------------------------------------------------------------

    def start(self, partitions: Iterable[int] | None = None, processor: Processor | None = None) -> Worker:
        """Start a worker that owns these partitions (all of them by default)."""
        code = processor or self.processor

        def make(client: MemoryClient) -> Machine:
            return Machine(
                code,
                client,
                self.clock,
                incarnation=self._incarnation,
                references=ReferenceViews(code.references, self.clock),
                options=self._options,
                lookups=self._lookups,
                verifier=self._verifier,
                observer=self.observer,
                executor=InlineExecutor(),
            )

        worker = Worker(self.broker, self.clock, make)
        self.workers.append(worker)
        worker.assign(range(self.broker.partitions) if partitions is None else partitions)
        return worker

    @property
    def worker(self) -> Worker:
        """The latest worker."""
        return self.workers[-1]

    def crash(self, worker: Worker | None = None) -> None:
        """SIGKILL of a worker (the latest by default)."""
        worker = worker or self.worker
        self.workers.remove(worker)
        worker.kill()

    def restart(self) -> Worker:
        """Kill the latest worker and start another in its place."""
        self.crash()
        return self.start()

    def stop(self, worker: Worker | None = None) -> None:
        """Stop a worker gracefully."""
        worker = worker or self.worker
        self.workers.remove(worker)
        worker.stop()

    def health(self) -> Mapping[int, PartitionHealth]:
        """The latest worker's partitions."""
        return self.worker.machine.health()

    # -- messages and time --------------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Record:
        """Write one record from outside; it is decided by the next `run_until_idle` or `advance`."""
        return self.broker.publish(topic, key, value, headers, partition)

    def run_until_idle(self) -> bool:
        """Let all workers that aren't paused decide all there is; False where something is held up."""
        settled = True
        for _ in range(2):
            for worker in self.workers:
                if not worker.paused:
                    settled = worker.settle() and settled
        return settled

    def advance(self, seconds: float, step_s: float = LONGEST_STEP_S) -> None:
        """Let time pass, in steps, with everything decided that comes due."""
        left = seconds
        while left > 0:
            self.clock.move(min(left, step_s))
            left -= step_s
            self.run_until_idle()

    def outputs(self, topic: str, *, marked: bool = True) -> list[Record]:
        """What a topic has, by partition and offset; `marked`: as a reader sees it, repeats dropped."""
        records = self.broker.records(topic)
        if not marked:
            return records
        marks = Marks()
        return [one for one in records if marks.accept(one.topic, one.partition, one.header(POSITION_HEADER))]

    def values(self, topic: str) -> Sequence[bytes | None]:
        """The values of `outputs`."""
        return [record.value for record in self.outputs(topic)]


__all__ = ["READ_RECORDS", "Harness", "InlineExecutor", "VirtualLoop", "Worker"]
