"""The worker's clock, held to the broker's.

`now` is journalled and never falls, so one moment in which a clock is an hour ahead would be an hour in which every
request is too old, whoever owns the partition. So a leap is not followed before the broker, which stamps the journal,
has been heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.engine.ports import Broker, Clock

LOOK_S = 30.0
"""Between two looks at the broker's clock; a leap is judged at once."""

Moment = tuple[int, int]
"""The worker's own clock (Unix, milliseconds), and how many leaps it had made by then."""


class SteadyClock:
    """A clock whose leaps of more than `limit_ms` wait for `judge`; `hold` False where nobody judges."""

    def __init__(self, clock: Clock, limit_ms: int, *, hold: bool) -> None:
        self._clock = clock
        self._limit_ms = limit_ms
        self._hold = hold
        self._correction_ms = 0
        self._leaps = 0
        self._judged = 0
        self._last = clock.now_ms(), clock.monotonic_s()

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self.moment()[0] - self._correction_ms

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        return self._clock.monotonic_s()

    def moment(self) -> Moment:
        """What the worker's own clock says."""
        wall_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        if self._hold:
            last_ms, last_s = self._last
            leap_ms = wall_ms - last_ms - round((now_s - last_s) * 1000)
            if abs(leap_ms) > self._limit_ms:
                self._leaps += 1
                self._correction_ms += leap_ms
            self._last = wall_ms, now_s
        return wall_ms, self._leaps

    @property
    def suspect(self) -> bool:
        """Whether it has leapt since it was judged."""
        return self._judged != self._leaps

    def judge(self, sent: Moment, heard: Moment, stamp_ms: int) -> int | None:
        """Take the broker's time of something sent and acknowledged between two moments.

        Gives by how many milliseconds at least the worker's own clock is off (ahead: above 0); None where it leapt
        meanwhile.
        """
        if sent[1] != self._leaps or heard[1] != self._leaps:
            return None
        skew_ms = max(0, sent[0] - stamp_ms) + min(0, heard[0] - stamp_ms)
        self._correction_ms = skew_ms if abs(skew_ms) > self._limit_ms else 0
        self._judged = self._leaps
        return skew_ms


class SkewLook:
    """Now and then reads back the time that the broker gave a journal record."""

    def __init__(self, broker: Broker, clock: SteadyClock, tell: Callable[[int], None]) -> None:
        self._broker = broker
        self._clock = clock
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._next_s = clock.monotonic_s() + LOOK_S

    def acknowledged(self, topic: str, partition: int, offset: int, sent: Moment) -> None:
        """A journal record was just acknowledged."""
        now_s = self._clock.monotonic_s()
        due = self._clock.suspect or now_s >= self._next_s
        if due and self._task is None and self._broker.stamps_journal:
            self._next_s = now_s + LOOK_S
            work = self._look(topic, partition, offset, sent, self._clock.moment())
            self._task = asyncio.get_running_loop().create_task(work)

    async def _look(self, topic: str, partition: int, offset: int, sent: Moment, heard: Moment) -> None:
        try:
            async for records in self._broker.read(topic, partition, offset, offset + 1):
                skew_ms = self._clock.judge(sent, heard, records[0].timestamp_ms)
                if skew_ms is not None:
                    self._tell(skew_ms)
        except Exception:  # noqa: BLE001 - looked at again later
            self._next_s = self._clock.monotonic_s()
        finally:
            self._task = None
