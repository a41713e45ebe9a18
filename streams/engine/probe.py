"""Proof that inputs have been read past a deadline: a tick runs only then.

Twenty thousand queued heartbeats are not an outage. So where a deadline is due and the records taken do not show that
everything older has been decided, the broker is asked where the inputs end; once they have been decided up to there,
everything that was appended before the asking has been.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streams.engine.inputs import InputQueue
from streams.engine.partition import Partition
from streams.engine.ports import Broker, Clock

PAUSE_S = 0.05
"""Between two questions, for all partitions of a machine together."""


class EndProbe:
    """Asks one question at a time."""

    def __init__(self, broker: Broker, clock: Clock, wake: Callable[[], None]) -> None:
        self._broker = broker
        self._clock = clock
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self._next_s = 0.0

    def look(self, partitions: Sequence[Partition]) -> None:
        """Ask, if a tick waits for the answer."""
        if self._task is not None or asyncio.get_running_loop().time() < self._next_s:
            return
        now_ms = self._clock.now_ms()
        asked: list[tuple[Partition, InputQueue]] = []
        for partition in partitions:
            if partition.draining or not partition.has_due(now_ms):
                continue
            first = partition.store.deadlines.next_ms() or 0
            asked += [(partition, q) for q in partition.queues.values() if q.seen_ms < first and q.target is None]
        if asked:
            self._task = asyncio.get_running_loop().create_task(self._ask(asked, now_ms))

    async def _ask(self, asked: Sequence[tuple[Partition, InputQueue]], now_ms: int) -> None:
        try:
            ends = await self._broker.ends([(queue.topic, partition.index) for partition, queue in asked])
        except Exception:  # noqa: BLE001 - asked again after the pause
            ends = {}
        finally:
            self._task = None
            self._next_s = asyncio.get_running_loop().time() + PAUSE_S
        for partition, queue in asked:
            end = ends.get((queue.topic, partition.index))
            if end is not None:
                queue.aim(end, now_ms)
        self._wake()
