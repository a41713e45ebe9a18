"""A sink's lane stops when it is told to, whatever the store does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import pytest

from schemas.record import Record
from streams.engine.ports import Chunk, TopicPartition
from streams.engine.recording_lanes import LaneOptions, SinkLane

PLACE = ("orders", 0)


class Hanging:
    """A store that takes the connection and never answers."""

    name = "hanging"

    def __init__(self, *, knows: bool) -> None:
        self.knows = knows
        self.reached = asyncio.Event()
        self.calls = 0

    async def positions(self, incarnation: int, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        assert incarnation == 1
        if not self.knows:
            await self._hang()
        return dict.fromkeys(partitions, 0)

    async def write(self, incarnation: int, records: Sequence[Record]) -> None:
        assert incarnation == len(records) == 1
        await self._hang()

    async def _hang(self) -> None:
        self.calls += 1
        self.reached.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("knows", [True, False])
async def test_a_lane_that_is_cancelled_while_its_store_hangs_ends_at_once(*, knows: bool) -> None:
    sink = Hanging(knows=knows)
    lane = SinkLane(sink, 1, LaneOptions(batch_s=0.01, first_backoff_s=0.01), lambda _positions: None)

    async def work() -> None:
        await lane.assign([PLACE])
        await lane.offer(Chunk(*PLACE, (Record(*PLACE, 0, None, b"", (), 0),), 0), lane.generation)
        await lane.run()

    task = asyncio.ensure_future(work())
    await sink.reached.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert sink.calls == 1
