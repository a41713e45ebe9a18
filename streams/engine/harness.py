"""The whole machine without Kafka, driven step by step: for tests of processors, simulations and replays.

harness = Harness(processor)
harness.publish("access.requests", "hq", b"{...}")
harness.run_until_idle()
harness.outputs("access.decisions")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from schemas.record import Headers, Record
from streams.core.processor import Processor
from streams.engine.machine import Machine, PartitionHealth
from streams.engine.marks import POSITION_HEADER, Marks
from streams.engine.memory import ManualClock, MemoryBroker, MemoryClient
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ports import LookupSource, Verifier
from streams.engine.references import ReferenceTables
from streams.engine.virtual import InlineExecutor, Worker

LONGEST_STEP_S = 5.0


class Harness:
    """A broker, a clock and one or more workers of one processor. Nothing moves between calls.

    `partitions` of every topic but the reference topics. Use it as a context manager, or `close` it.
    """

    def __init__(  # noqa: PLR0913 - all but the processor have a default
        self,
        processor: Processor,
        *,
        partitions: int = 1,
        options: MachineOptions | None = None,
        lookups: LookupSource | None = None,
        verifier: Verifier | None = None,
        observer: Observer | None = None,
        incarnation: int = 1,
        stamps: bool = True,
        start: bool = True,
    ) -> None:
        self.processor = processor
        self.clock = ManualClock()
        self.broker = MemoryBroker(
            self.clock, partitions=partitions, stamps=stamps, single=[table.topic for table in processor.references]
        )
        self.observer = observer or Observer()
        self.workers: list[Worker] = []
        self.refused: list[Record] = []
        """Reference records that counted as never written."""
        self._options = options
        self._lookups = lookups
        self._verifier = verifier
        self._incarnation = incarnation
        if start:
            self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    # -- workers ------------------------------------------------------------------------------------------------

    def start(
        self, partitions: Iterable[int] | None = None, processor: Processor | None = None, *, loaded: bool = True
    ) -> Worker:
        """Start a worker that owns these partitions (all of them by default), with its references loaded first."""
        code = processor or self.processor

        def make(client: MemoryClient) -> Machine:
            tables = ReferenceTables(code.references, self.clock, stamps=self.broker.stamps)
            return Machine(
                code,
                client,
                self.clock,
                incarnation=self._incarnation,
                partitions=self.broker.partitions,
                references=tables.views(code.references, self.refused.append),
                options=self._options,
                lookups=self._lookups,
                verifier=self._verifier,
                observer=self.observer,
                executor=InlineExecutor(),
            )

        worker = Worker(self.broker, self.clock, make)
        self.workers.append(worker)
        worker.assign(range(self.broker.partitions) if partitions is None else partitions, load=loaded)
        return worker

    @property
    def worker(self) -> Worker:
        """The latest worker."""
        return self.workers[-1]

    def crash(self, worker: Worker | None = None) -> None:
        """SIGKILL of a worker (the latest by default)."""
        worker = worker or self.worker
        self.workers.remove(worker)
        worker.kill()

    def restart(self) -> Worker:
        """Kill the latest worker and start another in its place."""
        self.crash()
        return self.start()

    def stop(self, worker: Worker | None = None) -> None:
        """Stop a worker gracefully."""
        worker = worker or self.worker
        self.workers.remove(worker)
        worker.stop()

    def health(self) -> Mapping[int, PartitionHealth]:
        """The latest worker's partitions."""
        return self.worker.machine.health()

    # -- messages and time --------------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Record:
        """Write one record from outside; it is decided by the next `run_until_idle` or `advance`."""
        return self.broker.publish(topic, key, value, headers, partition)

    def run_until_idle(self) -> bool:
        """Let all workers that aren't paused decide all there is; False where something is held up."""
        settled = True
        for _ in range(2):
            for worker in self.workers:
                if not worker.paused:
                    settled = worker.settle() and settled
        return settled

    def advance(self, seconds: float, step_s: float = LONGEST_STEP_S) -> None:
        """Let time pass, in steps, with everything decided that comes due."""
        left = seconds
        while left > 0:
            self.clock.move(min(left, step_s))
            left -= step_s
            self.run_until_idle()

    def outputs(self, topic: str, *, marked: bool = True) -> list[Record]:
        """What a topic has, by partition and offset; `marked`: as a reader sees it, repeats dropped."""
        records = self.broker.records(topic)
        if not marked:
            return records
        marks = Marks()
        return [one for one in records if marks.accept(one.topic, one.partition, one.header(POSITION_HEADER))]

    def values(self, topic: str) -> Sequence[bytes | None]:
        """The values of `outputs`."""
        return [record.value for record in self.outputs(topic)]
