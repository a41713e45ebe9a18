"""One cycle over all owned partitions: take, journal, decide while the journal is acknowledged, let outputs leave.

While somebody waits for an answer, what nobody waits for (deadlines alone) leaves the cycle once it is taken, and is
decided when the event loop has nothing else to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from streams.engine.journal import Checkpointed
from streams.engine.outputs import FIRST_BACKOFF_S, LAST_BACKOFF_S
from streams.engine.ownership import HALTED, Slot
from streams.engine.pace import Cost
from streams.engine.partition import Partition
from streams.engine.ports import TopicPartition, TransientError, Writer
from streams.engine.statelog import state_topic
from streams.engine.surroundings import Surroundings
from streams.engine.timekeeping import SkewLook
from streams.engine.work import Work

ACK_GRACE_S = 0.1
"""A partition whose journal is slower than this no longer holds up the others; it sits out until it answers."""
APPEND_BYTES = 64 * 1024
"""Journal records are handed over together up to this size: one batch, so that their offsets follow each other."""


Part = tuple[Slot, Partition, Work]
"""A partition's part of a cycle."""


class Cycle:
    """The cycle and what it leaves under way. `drop` gives a partition up, `halt` stops it for good."""

    def __init__(
        self,
        around: Surroundings,
        wake: asyncio.Event,
        look: SkewLook,
        *,
        drop: Callable[[Slot, Partition, str], None],
        halt: Callable[[Slot, str], None],
    ) -> None:
        self._around = around
        self._wake = wake
        self._look = look
        self._drop = drop
        self._halt = halt
        self._tasks: set[asyncio.Task[None]] = set()
        self._cost = Cost()

    async def go(self, slots: Sequence[Slot]) -> bool:
        """Go round once; False where there was nothing to do, or nothing that anybody waits for."""
        clock = self._around.clock
        started_s = clock.monotonic_s()
        self._checkpoints(slots, started_s)
        works = self._take(slots, clock.now_ms(), started_s)
        if not works:
            return False
        sent = clock.moment()
        for _, _, work in works:
            work.sent = sent
        works = self._put_aside(works, started_s)
        if not works:
            return False
        futures = [self._journal(slot, partition, work) for slot, partition, work in works]
        self._decide(works)
        await asyncio.wait(futures, timeout=ACK_GRACE_S)
        for (slot, partition, work), future in zip(works, futures, strict=True):
            if future.done():
                self._settle(slot, partition, work, future)
            else:
                future.add_done_callback(partial(self._settle_late, slot, partition, work))
        messages = sum(work.messages for _, _, work in works)
        self._around.observer.cycle(clock.monotonic_s() - started_s, messages, len(works))
        return True

    def _take(self, slots: Sequence[Slot], now_ms: int, now_s: float) -> list[Part]:
        options, pace = self._around.options, self._around.pace
        free = [
            (slot, slot.partition)
            for slot in slots
            if slot.partition is not None and not (slot.partition.closed or slot.partition.idle(now_ms))
        ]
        waiting = [partition for _, partition in free if partition.backlog()]
        if self._around.hurried:
            for one in waiting:
                pace.note(one.oldest_ms(), now_ms, now_s)
            share = pace.share(options, len(waiting), now_s)
        else:
            behind_s = max((one.behind_ms(now_ms) for _, one in free), default=0) / 1000
            share = pace.share(options, len(waiting), now_s, cost=self._cost, behind_s=behind_s)
        works: list[Part] = []
        for slot, partition in free:
            if partition.busy:
                continue
            try:
                work = partition.take(share, now_ms, now_s)
            except TransientError as error:
                self._around.observer.retried("state", str(error))
                partition.undo_checkpoint()
                continue
            except Exception as error:  # noqa: BLE001 - an unknown outcome of the state log
                self._drop(slot, partition, f"state log: {type(error).__name__}: {error}")
                continue
            if work is not None:
                works.append((slot, partition, work))
        return works

    def _decide(self, works: list[Part]) -> None:
        """Decide what the journal need not have before, and count what that costs."""
        monotonic_s, causes = self._around.clock.monotonic_s, 0
        begun_s = monotonic_s()
        for _, partition, work in works:
            if not work.patient:
                partition.decide(work)
                causes += len(work.causes)
        self._cost.count(causes, monotonic_s() - begun_s)

    def _checkpoints(self, slots: Sequence[Slot], now_s: float) -> None:
        for slot in slots:
            partition = slot.partition
            if partition is not None and partition.wants_checkpoint(now_s, force=partition.draining):
                partition.begin_checkpoint(now_s, self._wake)

    # -- the journal --------------------------------------------------------------------------------------------

    def _journal(self, slot: Slot, partition: Partition, work: Work) -> asyncio.Future[int]:
        pens = slot.pens
        assert pens is not None  # noqa: S101 - a slot with a partition has writers
        outputs = partition.outputs(work)
        if len(outputs) == 1 or sum(len(output.value or b"") for output in outputs) <= APPEND_BYTES:
            return asyncio.ensure_future(pens.journal.append(partition.journal, partition.index, outputs))
        return asyncio.ensure_future(self._one_by_one(partition, pens.journal, work))

    async def _one_by_one(self, partition: Partition, writer: Writer, work: Work) -> int:
        for at, output in enumerate(partition.outputs(work)):
            offset = await writer.append(partition.journal, partition.index, [output])
            if offset != work.offset + at:
                return -1
        return work.offset

    def _put_aside(self, works: list[Part], now_s: float) -> list[Part]:
        """Let what nobody waits for leave the cycle, while somebody has just come; gives the rest."""
        if not (self._around.hurried and self._around.pace.hurry(now_s)):
            return works
        for slot, partition, work in works:
            if work.deadlines_alone:
                self._spawn(self._aside(slot, partition, work))
        return [one for one in works if not one[2].deadlines_alone]

    async def _aside(self, slot: Slot, partition: Partition, work: Work) -> None:
        """Apart from the cycle, as nobody waits for it."""
        future = self._journal(slot, partition, work)
        await self._around.pace.give_way(self._around.clock.monotonic_s)
        if not (work.patient or partition.closed):
            self._decide_late(slot, partition, work)
        await asyncio.wait([future])
        self._settle_late(slot, partition, work, future)

    def _decide_late(self, slot: Slot, partition: Partition, work: Work) -> bool:
        """Decide what was taken a while ago; False where the partition had to be given up."""
        if not partition.recall(work):
            self._drop(slot, partition, "the reference data that its entry was taken by is forgotten")
            return False
        try:
            partition.decide(work)
        except Exception as error:  # noqa: BLE001 - a recovery meets it again, and counts
            self._drop(slot, partition, f"deciding: {type(error).__name__}: {error}")
            return False
        return True

    def _settle_late(self, slot: Slot, partition: Partition, work: Work, future: asyncio.Future[int]) -> None:
        if not future.cancelled():
            self._settle(slot, partition, work, future)
            self._wake.set()

    def _settle(self, slot: Slot, partition: Partition, work: Work, future: asyncio.Future[int]) -> None:
        error = future.exception()
        if partition.closed or self._around.pulse.beat():
            # After a stall the machine gives the partition up; until then it stays busy and silent.
            return
        if isinstance(error, TransientError):
            self._around.observer.retried("journal", str(error))
            self._spawn(self._again(slot, partition, work))
            return
        if isinstance(error, ValueError):
            self._halt(slot, f"the broker refuses a journal record of partition {slot.index}: {error}")
            return
        if error is not None:
            self._drop(slot, partition, f"journal: {type(error).__name__}: {error}")
            return
        if future.result() != work.offset:
            reason = f"the journal gave offset {future.result()} where {work.offset} was due: somebody else has written"
            self._drop(slot, partition, reason)
            return
        slot.progress_s = self._around.clock.monotonic_s()
        slot.strides.forget()
        self._look.acknowledged(partition.journal, partition.index, work.offset, work.sent)
        if work.patient and not self._decide_late(slot, partition, work):
            return
        reason_to_stop = partition.settle(work)
        if work.checkpoint is not None:
            self._finish_checkpoint(partition, work.checkpoint)
        if reason_to_stop is not None and slot.phase != HALTED:
            self._halt(slot, f"partition {slot.index} stops: {reason_to_stop}; see the dead letters, then restart")

    async def _again(self, slot: Slot, partition: Partition, work: Work) -> None:
        """The partition stays busy, and the others go on, until the journal takes the records."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            await asyncio.sleep(backoff_s)
            if partition.closed:
                return
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
            future = self._journal(slot, partition, work)
            await asyncio.wait([future])
            error = future.exception()
            if not isinstance(error, TransientError):
                self._settle_late(slot, partition, work, future)
                return
            self._around.observer.retried("journal", str(error))

    # -- checkpoints --------------------------------------------------------------------------------------------

    def _finish_checkpoint(self, partition: Partition, checkpoint: Checkpointed) -> None:
        cut = partition.finish_checkpoint(checkpoint)
        positions = {(topic, partition.index): offset for topic, offset in checkpoint.positions.items()}
        self._spawn(self._commit(positions))
        if cut is not None:
            self._spawn(self._cut(partition.index, cut))

    async def _commit(self, positions: dict[TopicPartition, int]) -> None:
        try:
            await self._around.broker.commit(positions)
        except Exception as error:  # noqa: BLE001 - for lag tools only
            self._around.observer.retried("commit", type(error).__name__)

    async def _cut(self, index: int, offset: int) -> None:
        try:
            await self._around.broker.delete_before(state_topic(self._around.processor.name), index, offset)
        except Exception as error:  # noqa: BLE001 - the next full turn tries again
            self._around.observer.retried("delete", type(error).__name__)

    async def committed(self) -> None:
        """Wait for commits under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
