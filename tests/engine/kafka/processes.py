"""Worker processes that can be killed, stopped and paused, and that tell in a file how far they are."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.engine.faust_process import run_process
from streams.engine.faust_transport import GroupOptions
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.runner import DecideOptions
from streams.engine.worker import DecideWorker
from tests.engine.kafka.banks import NamedBank

STATUS_S = 0.01
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.engine.kafka.processes"])


def status_of(worker: DecideWorker) -> dict[str, Any]:
    runner = worker.runners[0]
    if not hasattr(runner, "machine"):
        return {"owned": [], "settled": False, "ready": False}
    slots = runner.machine._slots
    running = {n: s.partition for n, s in slots.items() if s.phase == "running" and s.partition is not None}
    settled = all(not p.busy and p.backlog() == 0 and p.lanes.acknowledged(p.position.number) for p in running.values())
    return {
        "owned": sorted(running),
        "inputs": {str(n): dict(p.position.inputs) for n, p in running.items()},
        "number": {str(n): p.position.number for n, p in running.items()},
        "settled": settled and len(running) == len(slots),
        "ready": worker.ready,
    }


async def _tell(worker: DecideWorker, path: Path) -> None:
    count = 0
    fresh = path.with_suffix(".new")
    while True:
        count += 1
        fresh.write_text(json.dumps({"count": count, "at": time.time(), **status_of(worker)}))
        fresh.replace(path)
        await asyncio.sleep(STATUS_S)


def _main(kafka: str, prefix: str, path: Path, session_s: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    group = GroupOptions(session_timeout_s=session_s, heartbeat_s=session_s / 4)

    def make() -> DecideWorker:
        worker = DecideWorker(DecideOptions(KafkaSettings(kafka), group=group), [NamedBank(prefix)])
        worker.telling = asyncio.ensure_future(_tell(worker, path))  # type: ignore[attr-defined]
        return worker

    os._exit(run_process(make))


class WorkerProcess:
    def __init__(self, kafka: str, prefix: str, folder: Path, *, session_s: float) -> None:
        self.path = folder / f"{prefix}{time.monotonic_ns()}.json"
        self.paused = False
        self.process = _context.Process(target=_main, args=(kafka, prefix, self.path, session_s), daemon=True)
        self.process.start()

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def status(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {"count": 0, "owned": [], "settled": False, "ready": False}
        return told

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.alive:
            self.send(signal.SIGKILL)
        self.process.join(5)

    def stop(self) -> float:
        """Seconds that a graceful end took."""
        started = time.monotonic()
        self.send(signal.SIGTERM)
        self.process.join(12)
        assert self.process.exitcode == 0, self.process.exitcode
        return time.monotonic() - started

    def pause(self) -> None:
        self.paused = True
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.paused = False
        self.send(signal.SIGCONT)


def wait_for(what: Any, seconds: float = 30.0, every: float = 0.01) -> float:
    """Seconds until `what()` became true."""
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(every)
    return time.monotonic() - started


def owners(workers: Sequence[WorkerProcess]) -> dict[int, list[int]]:
    """Which of these workers run which partition."""
    found: dict[int, list[int]] = {}
    for at, worker in enumerate(workers):
        if worker.alive and not worker.paused:
            for partition in worker.status()["owned"]:
                found.setdefault(partition, []).append(at)
    return found
