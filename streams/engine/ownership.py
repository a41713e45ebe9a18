"""What the machine knows of each partition that it owns, and the writers that partitions share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from streams.engine.errors import AnotherLifeError, HaltedError
from streams.engine.outputs import FIRST_BACKOFF_S, LAST_BACKOFF_S, OutputLanes
from streams.engine.partition import Partition
from streams.engine.ports import Writer
from streams.engine.recovery import Recovery
from streams.engine.strides import Strides
from streams.engine.surroundings import Surroundings

T = TypeVar("T")

RECOVERING, RUNNING, DRAINING, HALTED = "recovering", "running", "draining", "halted"


class Slot:
    """One owned partition.

    `pens` are the writers that it uses now, `taken` the inputs' next offsets when it was last given up.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.phase = RECOVERING
        self.reason = ""
        self.partition: Partition | None = None
        self.pens: Pens | None = None
        self.task: asyncio.Task[None] | None = None
        self.progress_s = 0.0
        self.strides = Strides()
        self.taken: dict[str, int] = {}
        self.gone = False

    def let_go(self) -> None:
        """Nothing more leaves for this partition."""
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.partition is not None:
            self.taken = dict(self.partition.position.inputs)
            self.partition.close()
            self.partition = None
        if self.pens is not None:
            self.pens.release()
            self.pens = None


class Pens:
    """An owner's two fresh writers, for the journal (and state log) and for outputs.

    The next cycle's journal must not queue behind outputs, hence two. No other partition uses them: a writer goes on
    nowhere where an outcome of its is unknown.
    """

    def __init__(self, journal: Writer, outputs: Writer, closing: set[asyncio.Task[None]]) -> None:
        self._closing = closing
        self.journal = journal
        self.outputs = outputs

    def release(self) -> None:
        """Nobody writes with them any more."""
        loop = asyncio.get_running_loop()
        for writer in (self.journal, self.outputs):
            task = loop.create_task(_close(writer))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(writer: Writer) -> None:
    # A producer that fails to close has nothing of ours to lose any more.
    with contextlib.suppress(Exception):
        await writer.close()


class Recoverer:
    """Brings partitions up, again and again until they run or must halt."""

    def __init__(
        self,
        around: Surroundings,
        *,
        failed: Callable[[Slot, Partition, str], None],
        settled: Callable[[], None],
        skew: Callable[[int], None],
        fatal: Callable[[Exception], None],
    ) -> None:
        self._around = around
        self._failed = failed
        self._settled = settled
        self._skew = skew
        self._fatal = fatal
        self._closing: set[asyncio.Task[None]] = set()

    async def bring_up(self, slots: list[Slot]) -> None:
        """Recover these together; returns when each runs, is halted or was let go."""
        await self._patiently(self._same_life)
        loop = asyncio.get_running_loop()
        tasks = []
        for slot in slots:
            if not slot.gone:
                slot.task = loop.create_task(self._recover(slot))
                tasks.append(slot.task)
        if tasks:
            await asyncio.wait(tasks)

    async def _same_life(self) -> None:
        # A broker that was begun anew under the same address has other logs: what is remembered of positions and
        # references is void, and whatever is written with the old incarnation would be taken for a repeat.
        ours, found = self._around.incarnation, await self._around.broker.incarnation()
        if found is not None and found != ours:
            msg = f"the broker began anew (incarnation {ours} is over, now it is {found}): the process must, too"
            raise AnotherLifeError(msg)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                return await ask()
            except AnotherLifeError as error:
                self._fatal(error)
                await asyncio.Event().wait()
            except Exception as error:  # noqa: BLE001 - a broker that can't be reached is asked again
                self._around.observer.retried("writer", type(error).__name__)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)

    async def _pens(self) -> Pens:
        writer = self._around.broker.writer
        return Pens(await self._patiently(writer), await self._patiently(writer), self._closing)

    async def _recover(self, slot: Slot) -> None:
        observer = self._around.observer
        backoff_s = FIRST_BACKOFF_S
        while True:
            pens = slot.pens = await self._pens()
            try:
                await self._once(slot, pens)
            except HaltedError as error:
                slot.phase, slot.reason = HALTED, str(error)
                observer.halted(slot.index, slot.reason)
            except Exception as error:  # noqa: BLE001 - tried again with fresh writers
                observer.dropped(slot.index, f"recovery: {type(error).__name__}: {error}")
                pens.release()
                slot.pens = None
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
                await self._patiently(self._same_life)
                continue
            slot.task = None
            return

    async def _once(self, slot: Slot, pens: Pens) -> None:
        around = self._around
        broken: list[str] = []

        def failed(reason: str) -> None:
            broken.append(reason)
            if slot.partition is not None:
                self._failed(slot, slot.partition, reason)

        lanes = OutputLanes(pens.outputs, around.observer, around.pulse, failed, self._settled)
        recovery = Recovery(around, slot.index, pens.journal, lanes, slot.strides)
        try:
            partition = await recovery.run()
        except BaseException:
            lanes.close()
            raise
        if recovery.skew_ms is not None:
            self._skew(recovery.skew_ms)
        if broken:
            raise ConnectionError(broken[0])
        slot.partition, slot.phase = partition, RUNNING
        slot.progress_s = around.clock.monotonic_s()
        try:
            for topic, queue in partition.queues.items():
                await around.broker.seek(topic, slot.index, queue.fed)
        except Exception:
            slot.partition, slot.phase = None, RECOVERING
            partition.close()
            raise
        self._settled()
