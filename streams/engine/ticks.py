"""Deadlines of a partition's entities: which are due, in the order of deadline and key."""

from __future__ import annotations

import heapq


class Deadlines:
    """What entities wait for. Old heap items stay until they surface."""

    def __init__(self) -> None:
        self.armed: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def set(self, key: str, deadline_ms: int | None) -> None:
        """Arm, move or (None) disarm an entity's deadline."""
        if deadline_ms is None:
            self.armed.pop(key, None)
        elif self.armed.get(key) != deadline_ms:
            self.armed[key] = deadline_ms
            heapq.heappush(self._heap, (deadline_ms, key))

    def next_ms(self) -> int | None:
        """The earliest deadline, or None."""
        heap = self._heap
        while heap and self.armed.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str]]:
        """At most `limit` deadlines <= `until_ms`, in order. They stay armed until `set` moves them."""
        found: list[tuple[int, str]] = []
        while len(found) < limit:
            first = self.next_ms()
            if first is None or first > until_ms:
                break
            item = heapq.heappop(self._heap)
            if not found or found[-1] != item:
                found.append(item)
        for item in found:
            heapq.heappush(self._heap, item)
        return found
