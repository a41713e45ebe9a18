"""Worker processes as a test holds them: started, ready, killed, paused, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

READY_WITHIN_S = 60.0


class WorkerProcess:
    """One `doorstream worker ROLE` process. Its log lies in the folder; `/readyz` is polled until it is ready."""

    def __init__(self, role: str, environment: Mapping[str, str], folder: Path, port: int) -> None:
        self.role = role
        self.port = port
        self.log = folder / f"{role}-{port}.log"
        self._environment = {**os.environ, **environment, "DOORSTREAM_METRICS_PORT": str(port)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "worker", role],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Wait for `/readyz`; fails with the end of the log."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the worker ended:\n{self.tail()}"
            if self.answers("readyz"):
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready after {within_s} s:\n{self.tail()}")

    def answers(self, page: str) -> bool:
        """Whether a health page says 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self, within_s: float = 45.0) -> int:
        """SIGTERM, and wait; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not stop within {within_s} s:\n{self.tail()}") from None
        return self.process.returncode
