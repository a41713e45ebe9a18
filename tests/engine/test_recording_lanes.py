"""A sink's lane stops when it is told to, whatever the store does, and stores nothing across a gap."""

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

    async def write(
        self, incarnation: int, records: Sequence[Record], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        assert incarnation == len(records) == 1
        assert ends == {PLACE: 1}
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
        await lane.offer(Chunk(*PLACE, (Record(*PLACE, 0, None, b"", (), 0),), 0), 0, lane.generation)
        await lane.run()

    task = asyncio.ensure_future(work())
    await sink.reached.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert sink.calls == 1


class Keeping:
    """A store in memory."""

    name = "keeping"

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.next = 0

    async def positions(self, incarnation: int, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        assert incarnation == 1
        return dict.fromkeys(partitions, self.next)

    async def write(
        self, incarnation: int, records: Sequence[Record], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        assert incarnation == 1
        self.stored += [record.offset for record in records]
        self.next = (ends or {})[PLACE]


def chunk(*offsets: int) -> Chunk:
    return Chunk(*PLACE, tuple(Record(*PLACE, offset, None, b"", (), 0) for offset in offsets), 0)


async def test_a_lane_that_misses_what_was_fed_before_has_it_fed_again(caplog: pytest.LogCaptureFixture) -> None:
    sink, sought = Keeping(), list[Mapping[TopicPartition, int]]()
    lane = SinkLane(sink, 1, LaneOptions(), sought.append)
    await lane.assign([PLACE])
    await lane.offer(chunk(0, 1), 0, lane.generation)
    await lane.flush()
    # The next fetch, of 2 to 5, got lost on its way to the lane; the one after it did not.
    await lane.offer(chunk(6, 7), 6, lane.generation)
    await lane.flush()
    assert sink.stored == [0, 1]
    assert sought[-1] == {PLACE: 2}
    assert caplog.messages == ["keeping is asked anew where it stands: orders/0 was fed from 6 after 2"]
    await lane.offer(chunk(2, 3, 4, 5), 2, lane.generation)
    await lane.offer(chunk(6, 7), 6, lane.generation)
    await lane.flush()
    assert sink.stored == list(range(8))
    assert len(sought) == 2


async def test_a_gap_in_the_middle_of_a_batch_leaves_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    sink, sought = Keeping(), list[Mapping[TopicPartition, int]]()
    lane = SinkLane(sink, 1, LaneOptions(), sought.append)
    await lane.assign([PLACE])
    await lane.offer(chunk(0, 1), 0, lane.generation)
    await lane.offer(chunk(6, 7), 6, lane.generation)
    await lane.flush()
    assert sought[-1] == {PLACE: len(sink.stored)}
    assert len(caplog.messages) == 1
    await lane.offer(chunk(*range(len(sink.stored), 8)), len(sink.stored), lane.generation)
    await lane.flush()
    assert sink.stored == list(range(8))


async def test_holes_in_offsets_are_no_gap(caplog: pytest.LogCaptureFixture) -> None:
    sink, sought = Keeping(), list[Mapping[TopicPartition, int]]()
    lane = SinkLane(sink, 1, LaneOptions(), sought.append)
    await lane.assign([PLACE])
    # Compacted away: 0 to 2, and 5; the feed led there all the same.
    await lane.offer(chunk(3, 4), 0, lane.generation)
    await lane.offer(chunk(6, 7), 5, lane.generation)
    await lane.flush()
    assert sink.stored == [3, 4, 6, 7]
    assert len(sought) == 1
    assert not caplog.messages


class Failing(Keeping):
    """A store that fails with these, one after the other, before it takes anything."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def write(
        self, incarnation: int, records: Sequence[Record], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        await super().write(incarnation, records, ends)


async def test_a_store_that_is_away_is_told_once_and_once_more_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away, wrong = ConnectionError("away"), ValueError("wrong")
    sink = Failing(away, away, away, wrong, wrong)
    lane = SinkLane(sink, 1, LaneOptions(first_backoff_s=0.001, last_backoff_s=0.002), lambda _positions: None)
    await lane.assign([PLACE])
    for offset in range(2):
        await lane.offer(chunk(offset), offset, lane.generation)
        await lane.flush()
    assert sink.stored == [0, 1]
    assert caplog.messages[:2] == [
        "keeping fails, and is tried until it does not: ConnectionError: away",
        "keeping fails, and is tried until it does not: ValueError: wrong",
    ]
    assert [line.rpartition("after")[0] for line in caplog.messages[2:]] == ["keeping is there again, "]
