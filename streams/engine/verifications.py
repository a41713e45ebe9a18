"""Secrets to be verified off the event loop: one attempt in flight per lane, and none may hang for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from streams.core.processor import Verification
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ports import Clock, Verifier
from streams.engine.threads import Threads

Answered = Callable[[Any], None]
"""Told of an answer; not called where there is none."""


class Waiting:
    """Whoever waits for answers. `give_up_s` is on the clock's monotonic time."""

    __slots__ = ("give_up_s", "missing")

    def __init__(self, give_up_s: float) -> None:
        self.missing = 0
        self.give_up_s = give_up_s


class _Attempt:
    """A verification that was handed to the threads; `over` once its lane goes on."""

    __slots__ = ("answered", "future", "over", "timer", "verification", "waiting")

    def __init__(self, waiting: Waiting, verification: Verification, answered: Answered) -> None:
        self.waiting = waiting
        self.verification = verification
        self.answered = answered
        self.over = False
        self.future: Future[Any]
        self.timer: asyncio.TimerHandle


class Verifications:
    """`wake` is called when a lane goes on. An attempt that takes longer than `verify_timeout_s` is no answer."""

    def __init__(
        self,
        verifier: Verifier | None,
        *,
        executor: Executor | None,
        clock: Clock,
        options: MachineOptions,
        observer: Observer,
        wake: Callable[[], None],
    ) -> None:
        self._verifier = verifier
        self._executor = executor
        self._clock = clock
        self._options = options
        self._observer = observer
        self._wake = wake
        self._lanes: dict[str, deque[_Attempt]] = {}
        self._in_flight: set[_Attempt] = set()

    def ask(self, waiting: Waiting, verification: Verification, answered: Answered) -> None:
        """Verify, in turn; `waiting.missing` counts it while it lasts."""
        if self._verifier is None or (isinstance(self._executor, Threads) and self._executor.exhausted):
            return
        attempt = _Attempt(waiting, verification, answered)
        lane = self._lanes.get(verification.lane)
        if lane is None:
            self._lanes[verification.lane] = deque()
            self._start(attempt)
        elif len(lane) < self._options.lane_attempts:
            lane.append(attempt)
        else:
            # Of a flood at one access point the first are enough; the rest is not to hold up the other doors.
            return
        waiting.missing += 1

    def _start(self, attempt: _Attempt) -> None:
        options = self._options
        if self._executor is None:
            self._executor = Threads(options.verifier_threads, options.most_hung_verifiers, "verify")
        verifier: Any = self._verifier
        loop = asyncio.get_running_loop()
        attempt.future = self._executor.submit(verifier.verify, attempt.verification)
        attempt.timer = loop.call_later(options.verify_timeout_s, self._overdue, attempt)
        self._in_flight.add(attempt)
        asyncio.wrap_future(attempt.future).add_done_callback(lambda done: self._verified(attempt, done))

    def _overdue(self, attempt: _Attempt) -> None:
        """It took too long: it hangs, or what is before it does."""
        threads, loop = self._executor, asyncio.get_running_loop()
        if isinstance(threads, Threads) and not attempt.future.cancel():
            left_s = self._options.verify_timeout_s - (threads.runs_for_s(attempt.future) or 0.0)
            if left_s > 0:
                attempt.timer = loop.call_later(left_s, self._overdue, attempt)
                return
            threads.give_up(attempt.future)
            self._observer.verifiers_hung(threads.hung)
        self._observer.retried("verify", "TimeoutError")
        self._go_on(attempt)

    def _verified(self, attempt: _Attempt, done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            return
        if attempt.over:
            # It hung, and came back.
            if isinstance(self._executor, Threads):
                self._observer.verifiers_hung(self._executor.hung)
            return
        error = done.exception()
        if error is None:
            attempt.answered(done.result())
        else:
            self._observer.retried("verify", type(error).__name__)
        self._go_on(attempt)

    def _go_on(self, attempt: _Attempt) -> None:
        attempt.over = True
        attempt.timer.cancel()
        self._in_flight.discard(attempt)
        attempt.waiting.missing -= 1
        lane = self._lanes[attempt.verification.lane]
        now_s = self._clock.monotonic_s()
        while lane:
            following = lane.popleft()
            if now_s < following.waiting.give_up_s:
                self._start(following)
                break
            following.waiting.missing -= 1
        else:
            del self._lanes[attempt.verification.lane]
        self._wake()

    def close(self) -> None:
        """Verify nothing more."""
        for attempt in self._in_flight:
            attempt.over = True
            attempt.timer.cancel()
            attempt.future.cancel()
        if isinstance(self._executor, Threads):
            self._executor.shutdown()
