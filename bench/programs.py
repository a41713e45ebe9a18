"""The processes that are measured: started, watched from the outside, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import psutil

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 20.0
POLL_S = 0.05
FIRST, LAST = 0.1, 0.9
"""A rate is taken between these parts of the work, so that neither start nor end counts."""

MIB = 1024 * 1024


class BenchmarkError(Exception):
    """A measurement can't be made; the text says why."""


class Rate(NamedTuple):
    """Messages per second, microseconds of the process's CPU per message, and over how many messages and seconds."""

    per_s: float
    cpu_us: float
    messages: int
    seconds: float


class Memory(NamedTuple):
    """MiB resident now, and at most."""

    resident_mib: float
    peak_mib: float


class Program:
    """One Python process. Its output lies in a log beside the others."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / f"{module.rpartition('.')[2]}-{'-'.join(arguments)[:40].replace('/', '_')}.log"
        self.started_s = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._watched = psutil.Process(self._process.pid)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def cpu_s(self) -> float:
        """Seconds of CPU that it has used."""
        self.check()
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> Memory:
        """What it holds; the peak where the system tells."""
        resident = self._watched.memory_info().rss / MIB
        peak = resident
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
            peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
        return Memory(resident, peak)

    def check(self) -> None:
        """Raise BenchmarkError where it has ended, with the end of its log."""
        if self._process.poll() is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise BenchmarkError(f"{self.log.name}: ended with {self._process.returncode}:\n{tail}")

    async def says(self, text: str, within_s: float = READY_WITHIN_S) -> None:
        """Wait until its log has that text."""
        await self._until(lambda: text in self.log.read_text(encoding="utf-8", errors="replace"), within_s)

    async def answers(self, url: str, within_s: float = READY_WITHIN_S) -> float:
        """Wait until a page of its says 200; gives the seconds since it was started."""
        await self._until(lambda: _is_ok(url), within_s)
        return time.monotonic() - self.started_s

    async def ended(self, within_s: float) -> str:
        """Wait until it ends well, and give what it said."""
        code = await asyncio.to_thread(self._process.wait, within_s)
        said = self.log.read_text(encoding="utf-8")
        if code != 0:
            raise BenchmarkError(f"{self.log.name}: ended with {code}:\n{said[-2000:]}")
        return said

    async def finish(self, within_s: float) -> str:
        """Let it end of its own accord (SIGTERM), and give what it said."""
        self._process.terminate()
        return await self.ended(within_s)

    async def _until(self, done: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(done):
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.log.name}: nothing within {within_s:g} s")
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that doesn't help."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)


def worker(role: str, folder: Path, environment: Mapping[str, str]) -> tuple[Program, str]:
    """A `doorstream worker ROLE` process, and the page that says when it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = {**environment, "DOORSTREAM_METRICS_PORT": port, "DOORSTREAM_LOG_LEVEL": "warning"}
    return Program("streams.cli", ["worker", role], folder, settings), f"http://127.0.0.1:{port}/readyz"


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


async def watch(
    program: Program,
    count: Callable[[], Awaitable[int]],
    wanted: int,
    *,
    within_s: float,
    enough_s: float = 1e9,
    last: float = LAST,
    poll_s: float = POLL_S,
) -> Rate:
    """How fast `count` rises by `wanted`, up to its part `last`. Ends after `enough_s` of steady work, too.

    Raises:
        BenchmarkError: too little has come of it within that time.
    """
    begun = await count()
    deadline = time.monotonic() + within_s
    samples: list[tuple[float, int, float]] = []
    while True:
        done = await count() - begun
        now = time.monotonic()
        if done >= wanted * FIRST:
            samples.append((now, done, program.cpu_s()))
        if done >= wanted * last or (samples and now - samples[0][0] >= enough_s):
            break
        program.check()
        if now > deadline:
            raise BenchmarkError(f"{program.log.name}: {done} of {wanted} after {within_s:g} s")
        await asyncio.sleep(poll_s)
    (from_s, from_count, from_cpu), (to_s, to_count, to_cpu) = samples[0], samples[-1]
    messages, seconds = to_count - from_count, to_s - from_s
    if messages <= 0 or seconds <= 0:
        raise BenchmarkError(f"{program.log.name}: it went too fast to be measured; give it more messages")
    return Rate(messages / seconds, (to_cpu - from_cpu) / messages * 1e6, messages, seconds)
