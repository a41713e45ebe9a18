"""How much is done at a time: little while somebody has just come, much where all is old backlog.

What is fetched, taken and decided in one go is the cheapest where it is much; but while one site has thousands of
messages at once (a lockdown's confirmations, a storm), whoever asks for access at another must not wait for all of
them. An answer takes some sixteen turns of the event loop, each of which may be behind such a piece of work: so what
nobody waits for (alerts, devices, a lockdown's doors after its first) is begun when the loop has nothing else to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.engine.options import MachineOptions

FRESH_MS = 2_000
"""A message that was appended longer ago has waited already, and all get on faster by large cycles."""

LINGER_S = 0.5
"""Where somebody has just come, the next one soon comes, too."""

LONGEST_WAY_S = 0.02
"""So long does give way to others what nobody waits for; then it has its turn, however much there is to do."""

IDLE_TURN_S = 0.000_2
"""A turn of the event loop that took no longer had nothing to do but look for news."""
IDLE_TURNS = 2
"""So many of them, one after the other: the first one may have let somebody go on."""

TURN_S = 0.004
"""So long may who has given way decide in one go. How many causes that are is told by what they cost lately."""
BEHIND_S = 0.25
"""Who is further behind decides for longer, so that nothing is behind for ever: twice as far, twice as long."""
LEAST_TURN, MOST_TURN = 8, 256
"""Causes."""
FIRST_COST_S = 0.000_1
FORGETS = 0.9
"""Of what was counted before each cycle, so much counts on: a dozen cycles tell what a cause costs now."""


class Cost:
    """What deciding costs, for each cause, as measured lately; `FIRST_COST_S` before."""

    def __init__(self) -> None:
        self._spent_s, self._causes = FIRST_COST_S, 1.0

    def count(self, causes: int, spent_s: float) -> None:
        """So many were decided in so long; where there were none, that tells nothing."""
        if not causes:
            return
        self._spent_s = self._spent_s * FORGETS + spent_s
        self._causes = self._causes * FORGETS + causes

    def causes_in(self, time_s: float) -> float:
        """How many are decided in that time."""
        # A clock that stands still, as in tests, measures nothing.
        return time_s * self._causes / max(self._spent_s, 1e-9)


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

    async def give_way(self, now_s: Callable[[], float]) -> None:
        """Wait until the event loop has nothing else to do, while somebody has just come, `LONGEST_WAY_S` at most."""
        begun_s = last_s = now_s()
        idle = 0
        while idle < IDLE_TURNS and last_s - begun_s < LONGEST_WAY_S and self.hurry(last_s):
            await asyncio.sleep(0)
            at_s = now_s()
            idle = idle + 1 if at_s - last_s <= IDLE_TURN_S else 0
            last_s = at_s

    def share(
        self, options: MachineOptions, waiting: int, now_s: float, *, cost: Cost | None = None, behind_s: float = 0
    ) -> int:
        """How many records a cycle may take of each input of a partition, where so many partitions have some.

        `cost`: of the causes of a processor that nobody waits for, which has given way to the others before, and is so
        far behind. It takes what `TURN_S` is enough for: where the loop is never idle it has few turns, and each holds
        up all others.
        """
        if not self.hurry(now_s):
            return max(options.smallest_share, options.cycle_records // max(1, waiting))
        if cost is None:
            return options.smallest_share
        turn_s = TURN_S * max(1.0, behind_s / BEHIND_S)
        return int(max(LEAST_TURN, min(MOST_TURN, cost.causes_in(turn_s) / max(1, waiting))))
