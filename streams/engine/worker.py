"""A worker of the decide role: its processors on one event loop, with one copy of the reference data for them all."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Mapping, Sequence

from streams.core.processor import Processor
from streams.engine.kafka_references import reference_feed
from streams.engine.lagging import Lag
from streams.engine.pace import Pace
from streams.engine.ports import TopicPartition
from streams.engine.runner import DecideOptions, ProcessorRunner

logger = logging.getLogger(__name__)


class DecideWorker:
    """All processors of this process."""

    def __init__(self, options: DecideOptions, processors: Sequence[Processor]) -> None:
        careful, pace = asyncio.Lock(), Pace()
        self._following: asyncio.Task[None] | None = None
        self._kafka = options.kafka
        self.runners = [ProcessorRunner(processor, options, careful, pace) for processor in processors]
        self._stopping = asyncio.Event()

    @property
    def ready(self) -> bool:
        """For `/readyz`."""
        return all(runner.ready for runner in self.runners)

    @property
    def live(self) -> bool:
        """For `/livez`."""
        return all(not runner.progress or runner.watchdog.live for runner in self.runners)

    @property
    def lags(self) -> Mapping[str, Mapping[TopicPartition, Lag]]:
        """What is not yet decided, by processor."""
        return {runner.processor.name: runner.lags for runner in self.runners}

    @property
    def owned(self) -> Mapping[str, int]:
        """How many partitions are in hand, by processor."""
        return {runner.processor.name: len(runner.health()) for runner in self.runners}

    def request_stop(self) -> None:
        """Begin a graceful stop; `run` returns when it is done."""
        self._stopping.set()

    async def run(self) -> int:
        """Work until asked to stop (0) or until a part fails (1).

        Raises:
            ClusterError: the cluster is not as it must be; the text says what to do.
        """
        stopping = asyncio.ensure_future(self._stopping.wait())
        start = asyncio.ensure_future(self._start())
        watching: list[asyncio.Task[str]] = []
        try:
            await asyncio.wait({stopping, start}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                parts = (_ended(start.result()), *(runner.failed() for runner in self.runners))
                watching = [asyncio.ensure_future(part) for part in parts]
                await asyncio.wait({stopping, *watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in watching:
                if task.done() and not self._stopping.is_set():
                    logger.critical("worker fails: %s", task.result())
                    return 1
            return 0
        finally:
            for other in (stopping, start, *watching):
                other.cancel()
            await asyncio.gather(stopping, start, *watching, return_exceptions=True)
            await asyncio.gather(*(runner.stop() for runner in self.runners), return_exceptions=True)
            if self._following is not None:
                self._following.cancel()
                await asyncio.gather(self._following, return_exceptions=True)

    async def _start(self) -> asyncio.Task[None]:
        specs = [spec for runner in self.runners for spec in runner.processor.references]
        feed = await reference_feed(self._kafka, specs)
        await asyncio.gather(*(runner.prepare(feed.tables) for runner in self.runners))
        # Loaded before joining: nobody's partitions wait for it.
        await feed.load()
        # What was just loaded lives on: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        self._following = following = asyncio.ensure_future(feed.follow())
        await asyncio.gather(*(runner.start() for runner in self.runners))
        return following


async def _ended(following: asyncio.Task[None]) -> str:
    await asyncio.wait({following})
    reason = None if following.cancelled() else following.exception()
    return f"following the reference topics ended: {reason!r}"
