"""A worker as a process: its clock, its signals, its event loop."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from typing import Protocol

GC_THRESHOLDS = (200_000, 20, 50)
"""Records come and go by the thousand and hold no cycles: look less often. (At a quarter of it, all that waits decoded
is looked through again and again, which is a fifth of what a decision costs.)"""


class SystemClock:
    """The worker's clock."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()


class Work(Protocol):
    """What a process does until it is told to stop."""

    def request_stop(self) -> None:
        """Begin a graceful stop."""

    async def run(self) -> int:
        """Work until then; gives the exit code."""


async def until_signalled(work: Work) -> int:
    """Run until SIGTERM or SIGINT; gives the exit code."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.request_stop)
    return await work.run()


def run_process(make: Callable[[], Work]) -> int:
    """The same, as the whole process: on uvloop, which halves the cost of everything that waits.

    `make` is called on the loop.
    """
    gc.set_threshold(*GC_THRESHOLDS)

    async def main() -> int:
        return await until_signalled(make())

    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        return asyncio.run(main())
    return int(uvloop.run(main()))
