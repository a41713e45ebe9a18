"""What was fetched reaches the machine once, in order, whatever happens to the group meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from aiokafka.structs import TopicPartition as AioPartition

from streams.engine.faust_consumer import CHUNK_RECORDS, HURRIED_RECORDS, ChunkConsumer
from streams.engine.faust_transport import GATHERED_BYTES, chunk_app
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import Chunk

FIRST, SECOND = AioPartition("orders", 0), AioPartition("orders", 1)


def record(place: AioPartition, offset: int, sent_ms: int = 0) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(place.topic, place.partition, offset, sent_ms, 0, None, b"{}", None, 0, 2, ())


class Raw:
    """An aiokafka consumer with ten records in each of two partitions; `during` runs in the middle of a fetch."""

    def __init__(self) -> None:
        self._closed = False
        self._fetcher = self._coordinator = self._subscriptions = self
        self._records: dict[Any, Any] = {}
        self._fetch_waiters: set[Any] = set()
        self._wait_consume_future = "whether something was taken"
        self._notify: Callable[[Any], None] = lambda _future: None
        self.at = {FIRST: 0, SECOND: 0}
        self.sent_ms = [0] * 5
        self.highwater: int | None = None
        self.most = 0
        self._subscription = SimpleNamespace(
            subscription=SimpleNamespace(assignment=SimpleNamespace(tps=self.at, state_value=self.state))
        )
        self.during: Callable[[], None] = lambda: None

    def check_errors(self) -> None:
        """Nothing is wrong."""

    @contextlib.contextmanager
    def fetch_context(self) -> Iterator[None]:
        yield

    async def fetched_records(
        self, places: Any, *, max_records: int, **_: Any
    ) -> dict[AioPartition, list[ConsumerRecord[Any, Any]]]:
        await asyncio.sleep(0)
        self.most = max_records
        found = {}
        for place in self.at:
            start = self.at[place]
            if place in places and start < 10:
                found[place] = [record(place, start + at, sent_ms) for at, sent_ms in enumerate(self.sent_ms)]
                self.at[place] = start + 5
        self.during()
        return found

    def state(self, place: AioPartition) -> SimpleNamespace:
        return SimpleNamespace(position=self.at[place], has_valid_position=True, highwater=self.highwater)

    def assignment(self) -> set[AioPartition]:
        return set(self.at)

    def seek(self, place: AioPartition, offset: int) -> None:
        self.at[place] = offset


class Fetching:
    def __init__(self, consumer: ChunkConsumer, raw: Raw) -> None:
        self.consumer, self.raw = consumer, raw
        self.handed: list[Chunk] = []
        self.meanwhile: Callable[[], None] = lambda: None
        consumer.callback = self.take
        for place in (FIRST, SECOND):
            consumer.seek_feed(place.topic, place.partition, 0)

    async def take(self, message: Any) -> None:
        self.handed.append(message.value)
        happening, self.meanwhile = self.meanwhile, lambda: None
        happening()
        self.consumer.release(message.value.topic, message.value.partition)

    async def run(self) -> None:
        drain = asyncio.ensure_future(self.consumer._drain_messages(self.consumer))
        for _ in range(50):
            await asyncio.sleep(0)
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)

    async def stopped_meanwhile(self) -> None:
        """Fetch while the flow is stopped, and let it flow again."""
        self.raw.during = self.consumer.stop_flow
        await self.run()
        self.raw.during = lambda: None
        self.consumer.resume_flow()

    def offsets(self, place: AioPartition) -> list[int]:
        chunks = [chunk for chunk in self.handed if (chunk.topic, chunk.partition) == place]
        return [one.offset for chunk in chunks if self.consumer.up_to_date(chunk) for one in chunk.records]


@pytest.fixture
async def fetching() -> Fetching:
    async def ignore(_chunk: Chunk) -> None:
        pass

    consumer: ChunkConsumer = chunk_app("ours", ["orders"], KafkaSettings("127.0.0.1:9"), ignore).consumer
    raw = Raw()
    consumer._thread._consumer = raw
    return Fetching(consumer, raw)


async def test_a_fetch_during_which_the_flow_stops_is_fetched_again(fetching: Fetching) -> None:
    await fetching.stopped_meanwhile()
    await fetching.run()
    assert fetching.offsets(FIRST) == list(range(10))
    assert fetching.offsets(SECOND) == list(range(10))


@pytest.mark.parametrize(
    ("hurry", "most"), [(None, CHUNK_RECORDS), (lambda: False, CHUNK_RECORDS), (lambda: True, HURRIED_RECORDS)]
)
async def test_while_somebody_has_just_come_less_is_fetched_at_once(
    fetching: Fetching, hurry: Callable[[], bool] | None, most: int
) -> None:
    fetching.consumer.hurry = hurry
    await fetching.run()
    assert fetching.raw.most == most


async def test_fetches_for_others_go_on_as_soon_as_what_is_left_unread_has_to_wait(fetching: Fetching) -> None:
    told = []
    open_, raw = fetching.consumer.open_partitions, fetching.raw
    raw._notify = lambda future: told.append((future, FIRST in open_))
    await fetching.run()
    assert not told
    fetching.consumer.seek_feed(FIRST.topic, FIRST.partition, 0)
    raw._records = {FIRST: "the rest of what was fetched"}
    await fetching.run()
    assert told[0] == (raw._wait_consume_future, False)


async def test_what_was_fetched_before_a_seek_is_known_to_be_out_of_date(fetching: Fetching) -> None:
    await fetching.run()
    fetching.handed.clear()
    fetching.raw.at = {FIRST: 5, SECOND: 5}
    # While the first chunk of the same fetch is handed over, somebody wants the second partition from 0 again.
    fetching.meanwhile = lambda: fetching.consumer.seek_feed(SECOND.topic, SECOND.partition, 0)
    await fetching.run()
    assert fetching.offsets(SECOND) == list(range(10))


async def test_a_chunk_knows_where_its_feed_stood_so_that_a_lost_one_is_noticed(fetching: Fetching) -> None:
    fetching.consumer.seek_feed(FIRST.topic, FIRST.partition, 2)
    fetching.raw.at[FIRST] = 4  # the log begins there now
    await fetching.run()
    chunks = [chunk for chunk in fetching.handed if chunk.partition == FIRST.partition]
    assert [(fetching.consumer.fed_from(one), one.records[-1].offset) for one in chunks] == [(2, 8), (9, 13)]
    fetching.consumer.seek_feed(FIRST.topic, FIRST.partition, 5)
    fetching.handed.clear()
    await fetching.run()
    assert fetching.consumer.fed_from(fetching.handed[0]) == 5


async def test_a_chunk_that_is_put_back_comes_again_from_where_its_feed_stood(fetching: Fetching) -> None:
    await fetching.stopped_meanwhile()
    assert not fetching.handed
    await fetching.run()
    starts = [fetching.consumer.fed_from(one) for one in fetching.handed if one.partition == FIRST.partition]
    assert starts == [0, 5]


async def test_what_waited_for_a_worker_comes_in_runs_of_its_age(fetching: Fetching) -> None:
    fetching.raw.sent_ms = [1_000_000, 1_000_000, 5_000_000, 5_000_000, 5_000_000]
    await fetching.run()
    chunks = [chunk for chunk in fetching.handed if chunk.partition == FIRST.partition]
    assert [(one.fetched_ms, len(one.records)) for one in chunks[:2]] == [(1_000_000, 2), (5_000_000, 3)]
    assert fetching.offsets(FIRST) == list(range(10))


async def test_runs_that_are_put_back_come_again_from_the_first(fetching: Fetching) -> None:
    fetching.raw.sent_ms = [1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]
    await fetching.stopped_meanwhile()
    await fetching.run()
    assert fetching.offsets(FIRST) == list(range(10))


async def test_a_partition_that_is_read_is_dated_by_its_reader(fetching: Fetching) -> None:
    fetching.raw.highwater = 5
    await fetching.run()
    first, second = [chunk for chunk in fetching.handed if chunk.partition == FIRST.partition]
    assert first.fetched_ms == 0
    assert second.fetched_ms > 1_000_000_000_000


@pytest.mark.parametrize("hurried", [True, False])
async def test_who_is_in_no_hurry_lets_the_broker_gather(*, hurried: bool) -> None:
    async def ignore(_chunk: Chunk) -> None:
        pass

    app = chunk_app("ours", ["orders"], KafkaSettings("127.0.0.1:9"), ignore, hurried=hurried)
    raw = app.consumer._thread._create_worker_consumer(app.transport)
    await raw.stop()
    assert raw._fetch_min_bytes == (1 if hurried else GATHERED_BYTES)
