"""How busy a thread is: a worker that has CPU to spare does each thing at once, another lets things gather.

A request to Kafka costs both sides about a fifth of a millisecond, however little it asks for or brings.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_S = 0.05
"""So long, at least, is looked at in one go."""
BUSY_SHARE = 0.75
"""Of a core. A worker that answers 200 requests/s, each on its own, takes two thirds."""


class Load:
    """Of the thread that asks. `cpu_s`: how much CPU it has had, ever."""

    def __init__(self, cpu_s: Callable[[], float] = time.thread_time) -> None:
        self._cpu_s = cpu_s
        self._looked_s = float("-inf")
        self._had_s = 0.0
        self._busy = False

    def busy(self, now_s: float) -> bool:
        """Whether it had more than `BUSY_SHARE` of a core when that was last worked out, at most `LOOK_S` ago."""
        took_s = now_s - self._looked_s
        if took_s >= LOOK_S:
            had_s = self._cpu_s()
            self._busy = had_s - self._had_s > BUSY_SHARE * took_s
            self._looked_s, self._had_s = now_s, had_s
        return self._busy
