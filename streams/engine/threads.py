"""Threads for work that may hang: one that does is given up, and another stands in for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

Job = tuple[Future[Any], Callable[[], Any]]


class Threads(Executor):
    """A pool of `count` threads that nobody waits for at the end of the process.

    A hung thread can't be ended. At most `most_hung` are replaced; with more the pool shrinks, down to nothing, until
    one of them comes back.
    """

    def __init__(self, count: int, most_hung: int, name: str) -> None:
        self.hung = 0
        self._most = count + most_hung
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[Future[Any], float] = {}
        self._given_up: set[Future[Any]] = set()
        self._wanted = count
        self._serving = 0
        self._closed = False

    @property
    def exhausted(self) -> bool:
        """Whether every thread hangs, so that nothing given to the pool would begin."""
        return self.hung >= self._most

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it in one of the threads."""
        future: Future[Any] = Future()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        with self._lock:
            self._grow()
        return future

    def _grow(self) -> None:
        if self._serving < self._wanted and self._serving + self.hung < self._most and not self._closed:
            self._serving += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, run = job
            if not future.set_running_or_notify_cancel():
                continue
            with self._lock:
                self._running[future] = time.monotonic()
            try:
                result = run()
            except BaseException as error:  # noqa: BLE001 - told to whoever asks the future
                surplus = self._finish(future)
                future.set_exception(error)
            else:
                surplus = self._finish(future)
                future.set_result(result)
            if surplus:
                return

    def _finish(self, future: Future[Any]) -> bool:
        """Whether the thread is one too many, as another stands in for it."""
        with self._lock:
            self._running.pop(future, None)
            if future not in self._given_up:
                return False
            self._given_up.discard(future)
            self.hung -= 1
            surplus = self._closed or self._serving >= self._wanted
            self._serving += not surplus
            return surplus

    def runs_for_s(self, future: Future[Any]) -> float | None:
        """For how many seconds it has been running; None before and afterwards."""
        with self._lock:
            since_s = self._running.get(future)
        return None if since_s is None else time.monotonic() - since_s

    def give_up(self, future: Future[Any]) -> None:
        """It hangs: let another thread stand in for its own."""
        with self._lock:
            if future not in self._running or future in self._given_up:
                return
            self._given_up.add(future)
            self.hung += 1
            self._serving -= 1
            self._grow()

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 - nobody waits
        """Let the threads end when they are through with what was given to them."""
        with self._lock:
            self._closed = True
            for _ in range(self._serving):
                self._jobs.put(None)
