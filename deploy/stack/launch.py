"""What the launcher of a part hands to the one who starts it."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deploy.stack.processes import Command

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """A part that is ready to be started.

    `ready` returns when the part answers; who starts it puts a time limit on that and watches the process meanwhile.
    """

    command: Command
    port: int
    endpoint: str
    ready: Callable[[], Awaitable[None]]
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0
