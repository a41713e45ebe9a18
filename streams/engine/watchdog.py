"""A partition with lag and without progress: say where everything stands, and end the process.

Consumers that fall silent after a rebalance are an old ailment of this kind of client; a supervisor that starts the
process anew is the cure, and nothing is lost by it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec

from streams.engine.lagging import Lags
from streams.engine.ports import TopicPartition, TransientError

STALL_S = 60.0
LOOK_S = 5.0
FROZEN_S = 120.0
"""An event loop that doesn't come round for that long is frozen; the process ends, wherever it hangs."""
EXIT_STALLED = 70


class Progress(msgspec.Struct, frozen=True):
    """One topic partition: what is still to be processed, and for how many seconds nothing was."""

    lag: int
    idle_s: float


class _Seen(msgspec.Struct, frozen=True):
    position: int
    strides: int
    since_s: float


class Stalls:
    """Positions over time: which partitions have lag and did not move for `limit_s`."""

    def __init__(self, limit_s: float = STALL_S) -> None:
        self._limit_s = limit_s
        self._seen: dict[TopicPartition, _Seen] = {}
        self.progress: dict[TopicPartition, Progress] = {}

    def look(
        self,
        now_s: float,
        positions: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        strides: Mapping[int, int] | None = None,
    ) -> list[TopicPartition]:
        """Take note of positions (next offset) and ends; gives the partitions that stand still.

        `strides` has, by partition, how far recoveries have come. To be in recovery is to lag, as deadlines wait, too;
        a partition that is given up and recovered over and over moves only where it or a recovery gets further.
        """
        self._seen = {place: seen for place, seen in self._seen.items() if place in positions}
        self.progress = {}
        stalled: list[TopicPartition] = []
        strides = strides or {}
        for place, position in positions.items():
            lag = max(0, ends.get(place, position) - position)
            if place[1] in strides and place in ends:
                lag = max(lag, 1)
            before = self._seen.get(place)
            if before is None or before.position != position or lag == 0:
                self._seen[place] = _Seen(position, strides.get(place[1], 0), now_s)
            elif strides.get(place[1], 0) > before.strides:
                self._seen[place] = _Seen(position, strides[place[1]], now_s)
            idle_s = now_s - self._seen[place].since_s
            self.progress[place] = Progress(lag, idle_s)
            if idle_s >= self._limit_s:
                stalled.append(place)
        return stalled


class Watchdog:
    """Looks every few seconds; `live` and `progress` are for `/livez`.

    `positions` gives what is being processed right now (next offset by topic partition; partitions that wait for a
    person are left out), `strides` how far recoveries are (`Stalls.look`), `ends` asks the broker. `done` gives what is
    done for good; its distance from the ends is the lag that metrics tell.
    """

    def __init__(
        self,
        positions: Callable[[], Mapping[TopicPartition, int]],
        ends: Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
        *,
        limit_s: float = STALL_S,
        give_up: Callable[[str], None] | None = None,
        done: Callable[[], Mapping[TopicPartition, int]] | None = None,
        strides: Callable[[], Mapping[int, int]] | None = None,
    ) -> None:
        self._positions = positions
        self._done = done or positions
        self._strides = strides or dict
        self.lags = Lags()
        self._ends = ends
        self._stalls = Stalls(limit_s)
        self._give_up = give_up or end_process
        self.live = True

    @property
    def progress(self) -> Mapping[TopicPartition, Progress]:
        """Lag and standstill of each partition, as of the last look."""
        return self._stalls.progress

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                with suppress(ValueError, RuntimeError, OSError):  # no stderr to dump to
                    faulthandler.dump_traceback_later(FROZEN_S, exit=True)
                await self._look(loop.time())
                await asyncio.sleep(LOOK_S)
        finally:
            faulthandler.cancel_dump_traceback_later()

    async def _look(self, now_s: float) -> None:
        positions, done, strides = dict(self._positions()), dict(self._done()), dict(self._strides())
        asked = list(positions.keys() | done.keys())
        try:
            ends = await self._ends(asked) if asked else {}
        except TransientError:
            self._stalls.look(now_s, positions, {})  # a broker that can't be asked is no standstill of ours
            return
        self.lags.look(now_s, done, ends)
        stalled = self._stalls.look(now_s, positions, ends, strides)
        if stalled:
            self.live = False
            shown = ", ".join(f"{topic}/{partition}" for topic, partition in stalled)
            self._give_up(f"no progress in spite of lag: {shown}; the process ends so that it is started anew")


def end_process(reason: str) -> None:
    """Write the stacks of all threads and tasks to standard error, and exit with `EXIT_STALLED`."""
    sys.stderr.write(f"watchdog: {reason}\n")
    faulthandler.dump_traceback(all_threads=True)
    with suppress(RuntimeError):
        for task in asyncio.all_tasks():
            task.print_stack(limit=4)
    sys.stderr.flush()
    os._exit(EXIT_STALLED)
