from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.record import Record
from tests.engine.contract import Bench, Contract
from tests.engine.kafka.banks import INPUTS, topics_of
from tests.engine.kafka.conftest import Cluster
from tests.engine.kafka.processes import WorkerProcess, wait_for

pytestmark = pytest.mark.kafka

SESSION_S = 2.0
FRESH = 3


class KafkaBench:
    def __init__(self, cluster: Cluster, prefix: str, folder: Path) -> None:
        self.cluster = cluster
        self.prefix = prefix
        self.folder = folder
        self.workers: list[WorkerProcess] = []
        cluster.make_topics(topics_of(prefix))
        self.start()

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        self.cluster.publish(self.prefix + topic, key, value)

    def settle(self) -> None:
        self.cluster.flush()
        inputs = [self.prefix + topic for topic in INPUTS]
        ends = {topic: end for (topic, _), end in self.cluster.ends(inputs).items()}
        before = {worker.path: worker.status()["count"] for worker in self._running()}

        def settled() -> bool:
            told = [(worker, worker.status()) for worker in self._running()]
            fresh = [status for worker, status in told if status["count"] >= before[worker.path] + FRESH]
            return any(s["settled"] and s["owned"] == [0] and s["inputs"]["0"] == ends for s in fresh)

        wait_for(settled)

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.alive and not worker.paused]

    def advance(self, seconds: float) -> None:
        time.sleep(seconds)
        self.settle()

    def start(self) -> int:
        worker = WorkerProcess(self.cluster.bootstrap, self.prefix, self.folder, session_s=SESSION_S)
        self.workers.append(worker)
        return len(self.workers) - 1

    def crash(self, worker: int) -> None:
        self.workers[worker].kill()

    def stop(self, worker: int) -> None:
        self.workers[worker].stop()

    def pause(self, worker: int) -> None:
        self.workers[worker].pause()

    def resume(self, worker: int) -> None:
        self.workers[worker].resume()

    def outputs(self, topic: str) -> list[Record]:
        return self.cluster.read(self.prefix + topic)


@pytest.fixture
def bench(cluster: Cluster, prefix: str, tmp_path: Path) -> Iterator[Bench]:
    made = KafkaBench(cluster, prefix, tmp_path)
    yield made
    for worker in made.workers:
        worker.kill()


class TestOnKafka(Contract):
    pass
