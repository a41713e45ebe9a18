"""Whether the event loop stood still for so long that the group may have given its partitions away."""

from __future__ import annotations

from streams.engine.ports import Clock


class Pulse:
    """`stalled` stays set until the machine has given up its partitions; nothing may leave meanwhile."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self.stalled = False
        self._clock = clock
        self._limit_s = limit_s
        self._last_s = clock.monotonic_s()

    def beat(self) -> bool:
        """Feel the pulse; asked before anything leaves and at least every idle interval. True where it stalled."""
        now_s = self._clock.monotonic_s()
        if now_s - self._last_s > self._limit_s:
            self.stalled = True
        self._last_s = now_s
        return self.stalled
