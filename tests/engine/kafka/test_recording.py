from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial

import pytest

from schemas.record import Record
from streams.core.processor import References, ReferenceTable
from streams.engine.faust_transport import GroupOptions
from streams.engine.marks import POSITION_HEADER
from streams.engine.ports import TopicPartition
from streams.engine.recording import Follower, LaneOptions, Recorder, RecordOptions, StalePositionError
from tests.engine.kafka.conftest import Cluster

pytestmark = pytest.mark.kafka

PARTITIONS = 2


class MemorySink:
    """Rows and positions, stored together; counts what was handed over twice."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[tuple[str, int, int], bytes | None] = {}
        self.next: dict[TopicPartition, int] = {}
        self.repeats = 0
        self.batches: list[int] = []
        self.away = False
        self.stale = 0
        self.delay_s = 0.0

    async def positions(self, incarnation: int, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        assert incarnation > 0
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("away")
        return {place: self.next[place] for place in partitions if place in self.next}

    async def write(
        self, incarnation: int, records: Sequence[Record], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        assert incarnation > 0
        await asyncio.sleep(self.delay_s)
        if self.away:
            raise ConnectionError("away")
        if self.stale:
            self.stale -= 1
            raise StalePositionError
        for record in records:
            place = (record.topic, record.partition)
            self.repeats += (*place, record.offset) in self.rows
            assert record.offset >= self.next.get(place, 0), "order"
            self.rows[*place, record.offset] = record.value
            self.next[place] = record.offset + 1
        self.next |= ends or {}
        self.batches.append(len(records))


LANES = LaneOptions(
    batch_records=500,
    batch_s=0.05,
    queue_records=1_000,
    patience_s=0.3,
    behind_s=0.3,
    first_backoff_s=0.02,
    last_backoff_s=0.1,
)


class Recording:
    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.cluster = cluster
        self.topic = prefix + "log"
        self.prefix = prefix
        self.running: list[tuple[Recorder, asyncio.Task[int]]] = []
        cluster.make_topics([self.topic], PARTITIONS)

    async def start(self, *sinks: MemorySink, follower: Follower | None = None) -> Recorder:
        group = GroupOptions(session_timeout_s=2.0, heartbeat_s=0.5)
        options = RecordOptions(self.cluster.settings, self.prefix + "record", group, LANES, watchdog=False)
        recorder = Recorder(options, [self.topic], sinks, follower)
        self.running.append((recorder, asyncio.ensure_future(recorder.run())))
        return recorder

    async def stop(self, recorder: Recorder) -> None:
        task = next(task for one, task in self.running if one is recorder)
        recorder.request_stop()
        assert await task == 0

    async def close(self) -> None:
        for recorder, task in self.running:
            if not task.done():
                recorder.request_stop()
            await task

    async def publish(self, count: int, header: bytes | None = None) -> None:
        await asyncio.to_thread(self._publish, count, header)

    def _publish(self, count: int, header: bytes | None) -> None:
        async def send() -> None:
            headers = [(POSITION_HEADER, header)] if header else []
            for n in range(count):
                await self.cluster.producer.send(self.topic, b"%d" % n, partition=n % PARTITIONS, headers=headers)
            await self.cluster.producer.flush()

        self.cluster.run(send())


class Knowing(MemorySink):
    """A sink that has to know a name before it stores anything."""

    def __init__(self, topic: str) -> None:
        super().__init__("knowing")
        self.tables = [ReferenceTable("name", topic, bytes.decode)]
        self.names: list[str | None] = []
        self._references: References | None = None

    def follow(self, references: References) -> None:
        self._references = references

    async def write(
        self, incarnation: int, records: Sequence[Record], ends: Mapping[TopicPartition, int] | None = None
    ) -> None:
        self.names.append(None if self._references is None else self._references.get("name", "n"))
        await super().write(incarnation, records, ends)


def _has_rows(sink: MemorySink, count: int) -> bool:
    return len(sink.rows) >= count


async def until(what: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - it is looked at from outside, without a hook to wait for
            await asyncio.sleep(0.01)


@pytest.fixture
async def recording(cluster: Cluster, prefix: str) -> AsyncIterator[Recording]:
    made = Recording(cluster, prefix)
    yield made
    await made.close()


async def test_every_sink_gets_every_record_once_in_batches(recording: Recording) -> None:
    first, second = MemorySink("first"), MemorySink("second")
    recorder = await recording.start(first, second)
    await recording.publish(3_000)
    await until(lambda: len(first.rows) == len(second.rows) == 3_000)
    assert first.repeats == second.repeats == 0
    assert len(first.batches) < 100
    await until(lambda: recorder.ready)
    assert set(recorder.stored_positions().values()) == {1_500}
    await recording.stop(recorder)
    group = f"doorstream-{recording.prefix}record"
    found = await asyncio.to_thread(
        lambda: recording.cluster.run(recording.cluster.admin.list_consumer_group_offsets(group))
    )
    assert {place.offset for place in found.values()} == {1_500}


async def test_a_restart_goes_on_from_each_sinks_own_position(recording: Recording) -> None:
    first, second = MemorySink("first"), MemorySink("second")
    recorder = await recording.start(first, second)
    await recording.publish(100)
    await until(lambda: len(first.rows) == len(second.rows) == 100)
    await recording.stop(recorder)
    # The second store was restored from a backup.
    second.rows.clear()
    second.next = {(recording.topic, 0): 10, (recording.topic, 1): 20}
    await recording.publish(100)
    await recording.start(first, second)
    await until(lambda: len(first.rows) == 200 and len(second.rows) == 170)
    assert first.repeats == second.repeats == 0


async def test_a_store_that_is_away_does_not_hold_up_the_other_and_gets_all_later(recording: Recording) -> None:
    good, bad = MemorySink("good"), MemorySink("bad")
    await recording.start(good, bad)
    await recording.publish(100)
    await until(lambda: len(good.rows) == len(bad.rows) == 100)
    bad.away = True
    await recording.publish(5_000)
    await until(lambda: len(good.rows) == 5_100)
    bad.away = False
    await until(lambda: len(bad.rows) == 5_100)
    assert good.repeats == bad.repeats == 0
    assert good.rows == bad.rows


async def test_a_store_that_is_away_at_the_start_gets_all_later(recording: Recording) -> None:
    good, bad = MemorySink("good"), MemorySink("bad")
    bad.away = True
    recorder = await recording.start(good, bad)
    await recording.publish(2_000)
    await until(lambda: len(good.rows) == 2_000)
    assert not recorder.ready
    bad.away = False
    await until(lambda: len(bad.rows) == 2_000)
    assert bad.rows == good.rows
    assert recorder.ready


async def test_all_stores_away_is_a_wait_not_a_loss(recording: Recording) -> None:
    first, second = MemorySink("first"), MemorySink("second")
    await recording.start(first, second)
    await recording.publish(10)
    await until(lambda: len(first.rows) == len(second.rows) == 10)
    first.away = second.away = True
    await recording.publish(6_000)
    await asyncio.sleep(1.5)
    first.away = second.away = False
    await until(lambda: len(first.rows) == len(second.rows) == 6_010)
    assert first.rows == second.rows


async def test_a_slow_store_gets_everything_in_the_end(recording: Recording) -> None:
    fast, slow = MemorySink("fast"), MemorySink("slow")
    slow.delay_s = 0.2
    await recording.start(fast, slow)
    await recording.publish(6_000)
    await until(lambda: len(fast.rows) == 6_000)
    await until(lambda: len(slow.rows) == 6_000)
    assert fast.repeats == slow.repeats == 0


async def test_a_sink_that_somebody_else_moved_is_asked_anew(recording: Recording) -> None:
    sink = MemorySink("one")
    await recording.start(sink)
    await recording.publish(100)
    await until(lambda: len(sink.rows) == 100)
    sink.next = {place: position + 5 for place, position in sink.next.items()}
    sink.stale = 1
    await recording.publish(100)
    await until(lambda: len(sink.rows) == 190)
    assert sink.repeats == 0


async def test_repeats_of_a_decider_are_left_out_and_the_store_stands_behind_them(recording: Recording) -> None:
    sink = MemorySink("one")
    await recording.start(sink)
    await recording.publish(PARTITIONS, b"site/1/0/7/0")
    await recording.publish(PARTITIONS, b"site/1/0/7/1")
    await recording.publish(PARTITIONS, b"site/1/0/7/0")
    await recording.publish(PARTITIONS, b"site/1/0/8/0")
    await recording.publish(PARTITIONS, b"site/1/0/8/0")
    await until(lambda: set(sink.next.values()) == {5})
    assert sorted({offset for _, _, offset in sink.rows}) == [0, 1, 3]


async def test_a_second_recorder_shares_the_work(recording: Recording) -> None:
    sink = MemorySink("shared")
    first = await recording.start(sink)
    await recording.publish(100)
    await until(lambda: len(sink.rows) == 100)
    second = await recording.start(sink)
    await until(lambda: second.ready and len(second.stored_positions()) == len(first.stored_positions()) == 1)
    await recording.publish(1_000)
    await until(lambda: len(sink.rows) == 1_100)
    await recording.stop(first)
    await recording.publish(1_000)
    await until(lambda: len(sink.rows) == 2_100)
    assert sink.repeats == 0


async def test_what_has_to_be_known_is_known_before_anything_is_stored_and_as_it_changes(recording: Recording) -> None:
    names = recording.prefix + "names"

    def tell(name: bytes) -> None:
        recording.cluster.publish(names, "n", name)
        recording.cluster.flush()

    recording.cluster.make_topics([names])
    await asyncio.to_thread(tell, b"first")
    await recording.publish(10)
    sink = Knowing(names)
    recorder = await recording.start(sink, follower=sink)
    await until(lambda: len(sink.rows) == 10)
    assert set(sink.names) == {"first"}
    await asyncio.to_thread(tell, b"second")
    for published in range(12, 400, 2):
        await recording.publish(2)
        await until(partial(_has_rows, sink, published))
        if sink.names[-1] == "second":
            break
    assert sink.names[-1] == "second"
    await recording.stop(recorder)
