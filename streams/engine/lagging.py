"""How far behind each topic partition is: messages, and the age of what has waited longest."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from streams.engine.ports import TopicPartition


class Lag(msgspec.Struct, frozen=True):
    """Messages that are not yet done, and for how many seconds at least the oldest of them has waited."""

    messages: int
    seconds: float


class Lags:
    """Ends as they were seen over time; what is done tells which of them have been passed.

    Ages are as fine as the looks are frequent: an end counts from the look that saw it first.
    """

    def __init__(self) -> None:
        self._ends: dict[TopicPartition, deque[tuple[int, float]]] = {}
        self.now: dict[TopicPartition, Lag] = {}

    def look(self, now_s: float, done: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        """Take note of how far each partition is (next offset) and where it ends now."""
        self._ends = {place: seen for place, seen in self._ends.items() if place in done}
        self.now = {}
        for place, position in done.items():
            end = ends.get(place, position)
            seen = self._ends.setdefault(place, deque())
            while seen and seen[0][0] <= position:
                seen.popleft()
            if end > position and (not seen or seen[-1][0] < end):
                seen.append((end, now_s))
            self.now[place] = Lag(max(0, end - position), now_s - seen[0][1] if seen else 0.0)
