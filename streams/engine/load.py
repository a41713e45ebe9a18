"""How busy a thread is: a worker that has CPU to spare does each thing at once, another lets things gather.

A request to Kafka costs both sides about a quarter of a millisecond, however little it asks for or brings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LOOK_S = 0.05
"""So long, at least, is looked at in one go."""
BUSY_SHARE = 0.75
"""Of a core, or of what a container may use of one. A worker that answers 200 requests/s, each on its own, takes two
thirds."""

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux (control groups v2) tells a container what it may use."""


def allowed_cores(folder: Path = CGROUP) -> float:
    """How much of a core a thread may have by the limit of its container; 1 where there is none, or nobody tells."""
    try:
        quota_us, period_us = (folder / "cpu.max").read_text(encoding="ascii").split()
        return min(1.0, int(quota_us) / int(period_us))
    except (OSError, ValueError):  # no such file, or a quota of `max`
        return 1.0


class Load:
    """Of the thread that asks. `cpu_s`: how much CPU it has had, ever; `cores`: how much of one it may have."""

    def __init__(self, cpu_s: Callable[[], float] = time.thread_time, cores: float = 1.0) -> None:
        self._cpu_s = cpu_s
        self._share = BUSY_SHARE * cores
        self._looked_s = float("-inf")
        self._had_s = 0.0
        self._busy = False

    def busy(self, now_s: float) -> bool:
        """Whether it had more than `BUSY_SHARE` of that when this was last worked out, at most `LOOK_S` ago."""
        took_s = now_s - self._looked_s
        if took_s >= LOOK_S:
            had_s = self._cpu_s()
            self._busy = had_s - self._had_s > self._share * took_s
            self._looked_s, self._had_s = now_s, had_s
        return self._busy
