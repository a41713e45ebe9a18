"""What waits in memory of one input topic partition, decoded, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from streams.core.processor import Arrival
from streams.engine.decider import Passed, Undecodable
from streams.engine.resolve import Pending

Item = Arrival | Undecodable | Passed
NEVER_MS = -1
MOST_ANSWERED = 100
MOST_ANSWERED_BYTES = 64 * 1024
"""Messages with answers that one entry takes of a topic, so that its record stays far below the broker's limit."""


class InputQueue:
    """Records from `taken` (the next offset to be decided) up to `fed` (the next offset to arrive).

    `seen_ms`: everything that was appended up to then has been taken; `NEVER_MS` before that is known.
    """

    def __init__(self, topic: str, position: int, *, stamps: bool) -> None:
        self.topic = topic
        self.taken = position
        self.fed = position
        self.size = 0
        self.seen_ms = NEVER_MS
        self.target: tuple[int, int] | None = None
        self.waiting: dict[int, Pending] = {}
        self.room = asyncio.Event()
        self.gap_sought_at = NEVER_MS
        self._stamps = stamps
        self._chunks: deque[tuple[int, Sequence[Item]]] = deque()

    def add(self, fetched_ms: int, items: Sequence[Item], end: int) -> None:
        """Take decoded records; `end` is the offset after the last."""
        self._chunks.append((fetched_ms, items))
        self.size += len(items)
        self.fed = end

    @property
    def oldest_ms(self) -> int:
        """When the first of what waits was appended; something does."""
        return self._chunks[0][1][0].record.timestamp_ms

    def take(self, share: int, now_s: float) -> list[tuple[int, int, int, Sequence[Item]]]:
        """At most `share` records, as (start, stop, fetched_ms, items); ends before a message that has to wait."""
        runs: list[tuple[int, int, int, Sequence[Item]]] = []
        while self._chunks and share > 0:
            fetched_ms, items = self._chunks.popleft()
            count = min(share, len(items))
            if self.waiting:
                count = self._free(items, count, now_s)
            part = items if count == len(items) else items[:count]
            if count < len(items):
                self._chunks.appendleft((fetched_ms, items[count:]))
            if count == 0:
                break
            stop = self.fed if not self._chunks and count == len(items) else part[-1].record.offset + 1
            # What retention took before it could be read is no part of the entry: a replay would ask for it.
            runs.append((part[0].record.offset, stop, fetched_ms, part))
            self.taken = stop
            self.size -= count
            share -= count
            if self._stamps:
                # Appended in this order: all that is older than the last one has been taken.
                self.seen_ms = max(self.seen_ms, part[-1].record.timestamp_ms - 1)
            if count < len(items):
                break
        self.see()
        if runs and not self.room.is_set():
            self.room.set()
        return runs

    def _free(self, items: Sequence[Item], count: int, now_s: float) -> int:
        answered = size = 0
        for at in range(count):
            pending = self.waiting.get(items[at].record.offset)
            if pending is not None:
                answered += 1
                size += pending.size
                full = answered > MOST_ANSWERED or (answered > 1 and size > MOST_ANSWERED_BYTES)
                if full or not pending.ready(now_s):
                    return at
        return count

    def aim(self, end: int, asked_ms: int) -> None:
        """The topic partition was seen to end there at that time."""
        if self.target is None:
            self.target = (end, asked_ms)
        self.see()

    def see(self) -> None:
        """Notice that the end seen earlier has been reached."""
        if self.target is not None and self.taken >= self.target[0]:
            self.seen_ms = max(self.seen_ms, self.target[1])
            self.target = None
