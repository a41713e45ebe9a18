"""How much is done at a time: little while somebody has just come, much where all is old backlog.

What is fetched, taken and decided in one go is the cheapest where it is much; but while one site has thousands of
messages at once (a lockdown's confirmations, a storm), whoever asks for access at another must not wait for all of
them. An answer takes some eight turns of the event loop, each of which may be behind such a piece of work.
"""

from __future__ import annotations

from streams.engine.options import MachineOptions

FRESH_MS = 2_000
"""A message that was appended longer ago has waited already, and all get on faster by large cycles."""

LINGER_S = 0.5
"""Where somebody has just come, the next one soon comes, too."""


class Pace:
    """Shared by the machines of a process. Only what comes to those in a hurry counts as somebody who waits."""

    def __init__(self) -> None:
        self._until_s = float("-inf")

    def note(self, oldest_ms: int | None, now_ms: int, now_s: float) -> None:
        """The oldest message of a partition that somebody may wait for, by its append time; None: there is none."""
        if oldest_ms is not None and now_ms - oldest_ms <= FRESH_MS:
            self._until_s = now_s + LINGER_S

    def hurry(self, now_s: float) -> bool:
        """Whether somebody has just come."""
        return now_s < self._until_s

    def share(self, options: MachineOptions, waiting: int, now_s: float) -> int:
        """How many records a cycle may take of each input of a partition, where so many partitions have some."""
        if self.hurry(now_s):
            return options.smallest_share
        return max(options.smallest_share, options.cycle_records // max(1, waiting))
