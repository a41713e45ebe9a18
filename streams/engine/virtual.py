"""One process's worth of machine on an event loop whose sleeps take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, Future
from typing import Any

from streams.engine.machine import Machine
from streams.engine.memory import ManualClock, MemoryBroker, MemoryClient
from streams.engine.ownership import HALTED, RECOVERING, Slot
from streams.engine.ports import Chunk
from streams.engine.references import ReferenceTables

POLL_S = 0.001
PATIENCE_S = 60.0
"""Of the virtual loop's time: where a worker isn't idle after that, something is held up."""


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
        self._tables: ReferenceTables = self._machine._around.references.tables  # noqa: SLF001 - the harness is the machine's test bench
        self._inputs = self._machine._around.processor.inputs  # noqa: SLF001
        self._tasks = [self._loop.create_task(self._machine.run()), self._loop.create_task(self._pump())]

    async def _make(self, make: Callable[[MemoryClient], Machine]) -> Machine:
        return make(self.client)

    @property
    def machine(self) -> Machine:
        """The machine; to be used while its loop isn't running."""
        return self._machine

    def assign(self, partitions: Iterable[int], *, load: bool = True) -> None:
        """Begin to take ownership, after loading the references (unless told to leave that to `load`)."""
        self._tasks.append(self._loop.create_task(self._take(list(partitions), load=load)))

    async def _take(self, partitions: list[int], *, load: bool) -> None:
        if load and not self._tables.loaded:
            await self._tables.load(self.client)
        await self._machine.assign(partitions)

    def load(self) -> None:
        """Load the references."""
        self.run(self._tables.load(self.client))

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
        if self._tables.loaded:
            for topic, position in self._tables.positions().items():
                log = self.client.broker.log(topic, 0)
                if log.end > position + 1:
                    self._tables.apply(topic, log.slice(position + 1, log.end))

    def now_s(self) -> float:
        """The loop's own time, which its sleeps have moved."""
        return self._loop.time()

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Await something on the worker's loop."""
        self._loop.run_until_complete(work)

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

    def _slot_idle(self, slot: Slot) -> bool:
        partition = slot.partition
        if slot.phase == RECOVERING or partition is None or partition.busy or partition.checkpoint is not None:
            return False
        log = self.client.broker.log
        if any(log(topic, slot.index).end > queue.taken for topic, queue in partition.queues.items()):
            return False
        if partition.wants_checkpoint(self._clock.monotonic_s()) or partition.has_due(self._clock.now_ms()):
            return False
        return partition.lanes.acknowledged(partition.position.number)

    def stop(self) -> None:
        """A graceful end: drain, checkpoint, leave."""
        self._loop.run_until_complete(self._machine.stop())
        self._loop.run_until_complete(asyncio.wait_for(self._tasks[0], 1))
        self._end()

    def revoke(self, partitions: Iterable[int]) -> None:
        """Give partitions back gracefully."""
        self._loop.run_until_complete(self._machine.revoke(list(partitions)))

    def lose(self, partitions: Iterable[int]) -> None:
        """The group says that these partitions are no longer this worker's."""
        self._loop.run_until_complete(self._lose(list(partitions)))

    async def _lose(self, partitions: list[int]) -> None:
        self._machine.lost(partitions)

    def kill(self) -> None:
        """SIGKILL: nothing more leaves."""
        self.client.dead = True
        self._end()

    def _end(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(tasks, timeout=1) if tasks else asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        for task in self._tasks:
            if not task.cancelled() and task.done() and (error := task.exception()) is not None:
                raise error
