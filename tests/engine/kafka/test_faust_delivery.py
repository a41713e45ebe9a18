"""Where stock Faust loses or repeats messages, and that the engine's consumer does not.

Each hole is shown on stock Faust first, so that a release that closes it says so.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import GroupCoordinatorNotAvailableError
from faust.types import TP

from streams.engine.faust_consumer import ChunkConsumer
from streams.engine.faust_transport import GroupOptions, assert_safe, chunk_app
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import Chunk
from tests.engine.kafka.conftest import Cluster
from tests.engine.kafka.processes import wait_for

NOWHERE = KafkaSettings("127.0.0.1:9")
PLACE = TP("orders", 0)


async def ignore(_chunk: Chunk) -> None:
    pass


@pytest.fixture
async def stock() -> AsyncIterator[Any]:
    app = faust.App("stock", broker="kafka://127.0.0.1:9", topic_disable_leader=True, table_standby_replicas=0)
    app.topics._acking_topics.add("orders")
    consumer = app.consumer
    yield consumer
    consumer._thread.thread_loop.close()


@pytest.fixture
async def ours() -> Any:
    app = chunk_app("ours", ["orders"], NOWHERE, ignore)
    app.topics._acking_topics.add("orders")
    return app.consumer


async def test_acknowledgements_out_of_order_commit_nothing(stock: Any, ours: ChunkConsumer) -> None:
    # Offset 5 is through, offsets 0 to 4 are still being processed, nothing has been committed so far.
    stock._acked[PLACE], ours._acked[PLACE] = [5], [5]
    assert stock._new_offset(PLACE) == 6
    assert ours._new_offset(PLACE) is None


async def test_an_acknowledgement_after_a_commit_skips_nothing(stock: Any, ours: ChunkConsumer) -> None:
    # The next offset to be processed is 2585; it is not acknowledged.
    for consumer in (stock, ours):
        consumer._committed_offset[PLACE] = 2585
        consumer._acked[PLACE] = [2586, 2587, 2588, 2589]
    assert stock._new_offset(PLACE) == 2590
    assert ours._new_offset(PLACE) is None


async def test_no_way_of_fausts_leads_to_a_commit(ours: ChunkConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    committed: list[Any] = []
    monkeypatch.setattr(ours._thread, "commit", committed.append)
    ours._acked[PLACE] = [0, 1, 2]
    assert await ours.commit() is False
    assert await ours.force_commit() is False
    await ours.commit_and_end_transactions()
    await ours.on_task_error(RuntimeError())
    await ours.wait_empty()
    await ours.perform_seek()
    assert committed == []


async def test_a_revocation_commits_before_acknowledgements_are_forgotten(
    stock: Any, ours: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    async def stock_commits(_revoked: set[TP]) -> None:
        told["stock"] = list(stock._acked[PLACE])

    order: list[str] = []

    async def machine(_revoked: Any, _expelled: bool) -> None:
        order.append("machine")

    async def faust_clears(_revoked: set[TP]) -> None:
        order.append("faust")

    stock._acked[PLACE] = [0, 1, 2]
    stock._on_partitions_revoked = stock_commits
    await stock.on_partitions_revoked({PLACE})
    assert told["stock"] == []
    ours.revoking = machine
    monkeypatch.setattr(type(ours._thread), "expelled", False)
    ours._on_partitions_revoked = faust_clears
    await ours.on_partitions_revoked({PLACE})
    assert order == ["machine", "faust"]


@pytest.mark.parametrize("kind", ["stock", "ours"])
async def test_a_flush_waits_until_all_is_sent(kind: str) -> None:
    if kind == "stock":
        app: Any = faust.App("stock", broker="kafka://127.0.0.1:9")
    else:
        app = chunk_app("ours", ["orders"], NOWHERE, ignore)
    buffer = app.producer.buffer
    buffer._started.set()
    for _ in range(5):
        buffer.pending.put_nowait(None)

    async def send_slowly() -> None:
        while buffer.size:
            await asyncio.sleep(0.15)
            buffer.pending.get_nowait()
            buffer.message_sent.set()

    sending = asyncio.ensure_future(send_slowly())
    await app.producer.flush()
    left = buffer.size
    await sending
    assert left == (5 if kind == "stock" else 0)


class Partitions:
    """A cluster of three topics with three partitions each."""

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0, 1, 2}


def test_round_robin_tears_apart_what_is_decided_together_and_range_does_not() -> None:
    topics = ["a", "b", "c"]

    def torn(assignor: Any) -> bool:
        members = {member: assignor.metadata(topics) for member in ("one", "two")}
        answers = assignor.assign(Partitions(), members).values()
        owned = [{(topic, n) for topic, numbers in answer.assignment for n in numbers} for answer in answers]
        return any(
            0 < sum((topic, number) in places for topic in topics) < len(topics)
            for number in range(3)
            for places in owned
        )

    assert torn(RoundRobinPartitionAssignor)
    assert not torn(RangePartitionAssignor)


async def test_without_tables_stock_faust_takes_round_robin(stock: Any, ours: ChunkConsumer) -> None:
    for consumer, assignor in ((stock, RoundRobinPartitionAssignor), (ours, RangePartitionAssignor)):
        raw = consumer._thread._create_worker_consumer(consumer.transport)
        assert raw._partition_assignment_strategy == [assignor]
        await raw.stop()


async def test_an_app_with_another_assignor_is_refused(ours: ChunkConsumer) -> None:
    raw = ours._thread._create_worker_consumer(ours.transport)
    ours._thread._consumer = raw
    assert_safe(ours.app)
    raw._partition_assignment_strategy = [RoundRobinPartitionAssignor]
    with pytest.raises(RuntimeError, match="not Range"):
        assert_safe(ours.app)
    await raw.stop()
    ours._thread._consumer = None
    with pytest.raises(RuntimeError, match="not Range"):
        assert_safe(ours.app)


def _raising(kind: str, bootstrap: str, topic: str, group: str, folder: Path) -> None:
    os.chdir(folder)

    async def main() -> None:
        if kind == "stock":
            app: Any = faust.App(
                group,
                broker=f"kafka://{bootstrap}",
                broker_commit_interval=0.2,
                topic_allow_declare=False,
                topic_disable_leader=True,
                web_enabled=False,
                consumer_auto_offset_reset="earliest",
            )

            @app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))  # type: ignore[untyped-decorator]
            async def fails(stream: Any) -> None:
                async for _ in stream:
                    raise RuntimeError("not processed")
        else:

            async def raising(_chunk: Chunk) -> None:
                raise RuntimeError("not processed")

            app = chunk_app(group.removeprefix("doorstream-"), [topic], KafkaSettings(bootstrap), raising)
            app.consumer.assigned = lambda places: [app.consumer.seek_feed(tp.topic, tp.partition, 0) for tp in places]
        await app.start()
        await app._crashed.wait()
        os._exit(3)

    asyncio.run(main())


@pytest.mark.kafka
@pytest.mark.parametrize("kind", ["stock", "ours"])
def test_a_message_whose_processing_raised_is_not_committed(
    cluster: Cluster, prefix: str, kind: str, tmp_path: Path
) -> None:
    topic, group = prefix + "orders", f"doorstream-{prefix}{kind}"
    cluster.make_topics([topic])
    cluster.publish(topic, "k", b"x")
    cluster.flush()
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_raising, args=(kind, cluster.bootstrap, topic, group, tmp_path), daemon=True)
    process.start()

    def committed() -> dict[Any, Any]:
        try:
            return dict(cluster.run(cluster.admin.list_consumer_group_offsets(group)))
        except GroupCoordinatorNotAvailableError:  # a fresh broker has none until somebody has asked for one
            return {}

    try:
        if kind == "stock":
            wait_for(lambda: any(found.offset == 1 for found in committed().values()))
        else:
            wait_for(lambda: not process.is_alive())
            assert process.exitcode == 3
            assert list(tmp_path.iterdir()) == [], "a worker leaves nothing where it was started"
            assert all(found.offset < 1 for found in committed().values())
    finally:
        process.kill()
        process.join(5)


async def test_a_full_queue_of_one_partition_holds_up_no_other() -> None:
    gate = asyncio.Event()
    taken: list[int] = []

    async def feed(chunk: Chunk) -> None:
        if chunk.partition == 0:
            await gate.wait()
        taken.append(chunk.partition)

    app = chunk_app("ours", ["orders"], NOWHERE, feed)
    released: list[int] = []
    app.consumer.release = lambda _topic, partition: released.append(partition)
    stream = asyncio.Queue[Chunk]()
    for partition in (0, 1, 2):
        stream.put_nowait(Chunk("orders", partition, (), time.time_ns() // 1_000_000))

    async def chunks() -> AsyncIterator[Chunk]:
        while not stream.empty():
            yield stream.get_nowait()

    await app.agents["ours"].fun(chunks())
    await asyncio.sleep(0.01)
    assert (taken, released) == ([1, 2], [1, 2])
    gate.set()
    await asyncio.sleep(0.01)
    assert (taken, released) == ([1, 2, 0], [1, 2, 0])


def test_group_options_are_what_the_design_says() -> None:
    assert GroupOptions() == GroupOptions(session_timeout_s=10.0, heartbeat_s=3.0, rebalance_timeout_s=10.0)
