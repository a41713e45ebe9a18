"""The site machine: all owned partitions of one processor, going round in cycles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor

import msgspec

from streams.core.processor import Processor
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ports import Broker, Chunk, Clock, LookupSource, Verifier
from streams.engine.references import ReferenceViews


class PartitionHealth(msgspec.Struct, frozen=True):
    """What a watchdog wants to know of an owned partition.

    `phase`: `recovering`, `running`, `draining` or `halted`. `backlog`: records waiting in memory.
    `last_progress_s`: the clock's monotonic time of the last acknowledged journal entry, or of becoming idle.
    """

    phase: str
    backlog: int
    last_progress_s: float
    reason: str = ""


class Machine:
    """Decides what arrives on the owned partitions of a processor's inputs.

    Everything runs on one event loop, `ReferenceViews.apply` included. `incarnation` (Unix, seconds) ranks the
    broker's lives and comes from the cluster's own record. `observer` defaults to a silent one. `executor` runs
    verifications; by default a small thread pool.
    """

    def __init__(
        self,
        processor: Processor,
        broker: Broker,
        clock: Clock,
        *,
        incarnation: int,
        references: ReferenceViews,
        options: MachineOptions | None = None,
        lookups: LookupSource | None = None,
        verifier: Verifier | None = None,
        observer: Observer | None = None,
        executor: Executor | None = None,
    ) -> None: ...

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that this machine owns, recovering and halted ones included."""

    @property
    def ready(self) -> bool:
        """Every owned partition runs, references are loaded and the clock is near the broker's."""

    async def assign(self, partitions: Iterable[int]) -> None:
        """Take ownership: recover each partition, seek its feeds (`Broker.seek`), let it take part in cycles.

        Returns when all of them run or are halted; may be awaited or left as a task. Partitions already owned are
        left alone. Failures of a partition halt it or are retried; they are not raised.
        """

    async def revoke(self, partitions: Iterable[int]) -> None:
        """Give partitions back: finish the cycle, await acknowledgements, checkpoint, commit, let go.

        Takes at most `stop_timeout_s`; `run` must be running meanwhile.
        """

    def lost(self, partitions: Iterable[int]) -> None:
        """Ownership ended without a chance to finish: nothing more is written for these partitions."""

    async def feed(self, chunk: Chunk) -> None:
        """Hand over fetched records of an input, in order per topic partition.

        Awaits while that topic partition has `queue_records` waiting. Chunks of partitions that are not running are
        dropped (their feed is sought when they run), known offsets are trimmed, a gap is sought and re-read.
        """

    async def run(self) -> None:
        """Go round in cycles until `stop`."""

    async def stop(self) -> None:
        """Drain, checkpoint, commit and let go of everything, within 10 s; then `run` returns."""

    def health(self) -> Mapping[int, PartitionHealth]:
        """Every owned partition's health."""
