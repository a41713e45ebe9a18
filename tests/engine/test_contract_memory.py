from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.record import Record
from streams.engine.harness import Harness
from streams.engine.virtual import Worker
from tests.engine.contract import Bench, Contract
from tests.engine.toy import Bank


class MemoryBench:
    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.workers: list[Worker] = [harness.worker]

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        self.harness.publish(topic, key, value, partition=0)

    def settle(self) -> None:
        assert self.harness.run_until_idle()

    def advance(self, seconds: float) -> None:
        self.harness.advance(seconds)

    def start(self) -> int:
        self.workers.append(self.harness.start())
        return len(self.workers) - 1

    def crash(self, worker: int) -> None:
        self.harness.crash(self.workers[worker])

    def stop(self, worker: int) -> None:
        self.harness.stop(self.workers[worker])

    def pause(self, worker: int) -> None:
        self.workers[worker].paused = True

    def resume(self, worker: int) -> None:
        # It finds out by itself that the partition is somebody else's; then the group tells it, too.
        self.workers[worker].paused = False
        self.workers[worker].step(0.02)
        self.workers[worker].lose([0])

    def outputs(self, topic: str) -> list[Record]:
        return self.harness.outputs(topic, marked=False)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Harness(Bank()) as harness:
        yield MemoryBench(harness)


class TestInMemory(Contract):
    pass
