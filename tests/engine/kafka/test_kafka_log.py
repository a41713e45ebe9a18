from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import RequestTimedOutError
from aiokafka.protocol.struct import Struct

from schemas.record import Output, Record
from streams.engine import kafka_cluster
from streams.engine.kafka_cluster import ClusterError, common_partitions, ensure_incarnation, probe, read_incarnation
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_producers import RECORD_BYTES
from streams.engine.ports import TransientError, UnknownOutcome
from tests.engine.kafka.conftest import Cluster

pytestmark = pytest.mark.kafka


def outputs(topic: str, *values: bytes) -> list[Output]:
    return [Output(topic, b"k", value, (("name", b"data"),)) for value in values]


async def read(broker: KafkaBroker, topic: str, start: int, stop: int, partition: int = 0) -> list[Record]:
    found: list[Record] = []
    async for records in broker.read(topic, partition, start, stop):
        found.extend(records)
    return found


@pytest.fixture
async def broker(cluster: Cluster) -> AsyncIterator[KafkaBroker]:
    made = KafkaBroker(cluster.settings, idempotent=cluster.idempotent, timeout_s=10)
    yield made
    await made.close()


async def test_an_append_gives_the_offset_of_its_first_record(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    first = writer.append(prefix + "log", 0, outputs(prefix + "log", b"a", b"b", b"c"))
    second = writer.append(prefix + "log", 0, outputs(prefix + "log", b"d"))
    assert [await first, await second] == [0, 3]
    found = await read(broker, prefix + "log", 0, 4)
    assert [record.value for record in found] == [b"a", b"b", b"c", b"d"]
    assert found[0].key == b"k"
    assert found[0].headers == (("name", b"data"),)


async def test_appends_to_one_partition_keep_their_order_under_load(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    pending = [writer.append(prefix + "log", 0, outputs(prefix + "log", b"%d" % n)) for n in range(300)]
    assert await asyncio.gather(*pending) == list(range(300))
    assert [record.value for record in await read(broker, prefix + "log", 0, 300)] == [b"%d" % n for n in range(300)]


async def test_appends_to_many_partitions_leave_in_one_request(
    cluster: Cluster, broker: KafkaBroker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.make_topics([prefix + "log"], partitions=8)
    writer = await broker.writer()
    places = range(8)
    # The leaders of a topic that was just made are not all there at once.
    await asyncio.gather(*(writer.append(prefix + "log", n, outputs(prefix + "log", b"x")) for n in places))
    sender = writer._outputs._shared._producer._sender  # type: ignore[attr-defined]
    requests: list[int] = []
    original = sender._send_produce_req

    async def counted(node: int, batches: dict[object, object]) -> None:
        requests.append(len(batches))
        await original(node, batches)

    monkeypatch.setattr(sender, "_send_produce_req", counted)
    await asyncio.gather(*(writer.append(prefix + "log", n, outputs(prefix + "log", b"y")) for n in places))
    assert requests == [8]


async def test_more_than_one_batch_is_consecutive(cluster: Cluster, broker: KafkaBroker, prefix: str) -> None:
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    large = [b"%d" % n + b"x" * 300_000 for n in range(7)]
    assert await writer.append(prefix + "log", 0, outputs(prefix + "log", *large)) == 0
    assert [record.value for record in await read(broker, prefix + "log", 0, 7)] == large


async def test_a_record_that_is_too_large_is_refused_before_anything_is_written(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    with pytest.raises(ValueError, match="above the limit"):
        await writer.append(prefix + "log", 0, outputs(prefix + "log", b"small", b"x" * (RECORD_BYTES + 1)))
    assert (await broker.bounds(prefix + "log", 0)).end == 0
    assert await writer.append(prefix + "log", 0, outputs(prefix + "log", b"next")) == 0


async def test_what_the_broker_finds_too_large_is_a_value_error_too(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    if not cluster.idempotent:
        pytest.skip("the embedded broker has no such limit")
    cluster.make_topics([prefix + "log"], configs={"max.message.bytes": "10000"})
    writer = await broker.writer()
    with pytest.raises(ValueError, match="takes no batch that large"):
        await writer.append(prefix + "log", 0, outputs(prefix + "log", b"x" * 50_000))


async def test_nothing_of_an_append_overtakes_what_was_refused(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    topic = prefix + "small"
    cluster.make_topics([topic], configs={"max.message.bytes": "500000"})
    writer = await broker.writer()
    large = [Output(topic, None, b"x" * size, (), 0) for size in (600_000, 400_000)]
    if not cluster.idempotent:
        pytest.skip("the embedded broker has no limit per topic")
    with pytest.raises(ValueError, match="takes no batch"):
        await writer.append(topic, 0, large)
    assert (await broker.bounds(topic, 0)).end == 0
    # What is left can still be sent, by the same writer.
    assert [await writer.append(topic, 0, [one]) for one in large[1:]] == [0]


async def test_a_closed_writer_leaves_its_appends_with_an_unknown_outcome(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    pending = asyncio.ensure_future(writer.append(prefix + "log", 0, outputs(prefix + "log", b"a")))
    await asyncio.sleep(0)
    await writer.close()
    with pytest.raises(UnknownOutcome):
        await pending
    with pytest.raises(UnknownOutcome):
        await writer.append(prefix + "log", 0, outputs(prefix + "log", b"b"))


async def test_no_answer_in_time_is_an_unknown_outcome_and_the_next_writer_is_fresh(
    cluster: Cluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.make_topics([prefix + "log"])
    broker = KafkaBroker(cluster.settings, idempotent=cluster.idempotent, timeout_s=1.5)
    writer = await broker.writer()
    await writer.append(prefix + "log", 0, outputs(prefix + "log", b"a"))
    client = writer._outputs._shared._producer.client  # type: ignore[attr-defined]

    async def silent(*_args: object, **_kwargs: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(client, "send", silent)
    with pytest.raises(UnknownOutcome, match="no answer"):
        await writer.append(prefix + "log", 0, outputs(prefix + "log", b"b"))
    with pytest.raises(UnknownOutcome):
        await writer.append(prefix + "log", 0, outputs(prefix + "log", b"c"))
    fresh = await broker.writer()
    assert await fresh.append(prefix + "log", 0, outputs(prefix + "log", b"d")) == 1
    await broker.close()


class Unreplicated:
    """Stands between a producer and its broker: of one topic, every answer is that its replicas did not follow."""

    def __init__(self, client: Any, topic: str) -> None:
        self._real = client.send
        self._topic = topic
        client.send = self.send

    async def send(self, node: int, request: Any, **options: Any) -> Any:
        answer = await self._real(node, request, **options)
        if isinstance(answer, Struct) and hasattr(answer, "topics"):
            answer.topics = [
                (
                    name,
                    [(one[0], RequestTimedOutError.errno, *one[2:]) for one in rows] if name == self._topic else rows,
                )
                for name, rows in answer.topics
            ]
        return answer


async def test_an_unknown_outcome_concerns_its_own_partition_alone(cluster: Cluster, prefix: str) -> None:
    bad, good = prefix + "bad", prefix + "good"
    cluster.make_topics([bad, good])
    broker = KafkaBroker(cluster.settings, idempotent=cluster.idempotent, timeout_s=2)
    unlucky, lucky = await broker.writer(), await broker.writer()
    await lucky.append(good, 0, outputs(good, b"x"))
    Unreplicated(unlucky._outputs._shared._producer.client, bad)  # type: ignore[attr-defined]
    lost = asyncio.ensure_future(unlucky.append(bad, 0, outputs(bad, b"a")))
    offsets = []
    while not lost.done():
        under_way = [lucky.append(good, 0, outputs(good, b"x")) for _ in range(3)]
        offsets += await asyncio.gather(*under_way)
    with pytest.raises(UnknownOutcome, match="bad/0"):
        await lost
    offsets += [await lucky.append(good, 0, outputs(good, b"x")) for _ in range(3)]
    assert offsets == list(range(1, len(offsets) + 1))
    # Whoever does not know what became of an append writes no more there; a fresh owner begins behind it.
    with pytest.raises(UnknownOutcome, match="an earlier append is unknown"):
        await unlucky.append(bad, 0, outputs(bad, b"b"))
    written = (await broker.bounds(bad, 0)).end
    assert written >= 1
    assert await (await broker.writer()).append(bad, 0, outputs(bad, b"c")) == written
    await broker.close()


async def test_what_was_refused_leaves_no_gap_that_stops_its_partition(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    if not cluster.idempotent:
        pytest.skip("the embedded broker counts no sequences")
    topic = prefix + "small"
    cluster.make_topics([topic], configs={"max.message.bytes": "10000"})
    writer = await broker.writer()
    assert await writer.append(topic, 0, outputs(topic, b"a")) == 0
    for at in range(1, 4):
        with pytest.raises(ValueError, match="takes no batch"):
            await writer.append(topic, 0, outputs(topic, b"x" * 50_000))
        assert await writer.append(topic, 0, outputs(topic, b"b")) == at


async def test_a_zombie_shows_in_the_offset(cluster: Cluster, broker: KafkaBroker, prefix: str) -> None:
    cluster.make_topics([prefix + "doorstream.x.journal"])
    journal = prefix + "doorstream.x.journal"
    other = KafkaBroker(cluster.settings, idempotent=cluster.idempotent)
    owner, zombie = await broker.writer(), await other.writer()
    expected = await owner.append(journal, 0, outputs(journal, b"opened")) + 1
    await zombie.append(journal, 0, outputs(journal, b"old entry"))
    assert await owner.append(journal, 0, outputs(journal, b"entry")) != expected
    await other.close()


async def test_a_read_ends_where_the_last_offsets_are_gaps(cluster: Cluster, broker: KafkaBroker, prefix: str) -> None:
    if not cluster.idempotent:
        pytest.skip("the embedded broker has no transactions")
    cluster.make_topics([prefix + "log"])
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=prefix)
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(prefix + "log", b"a", partition=0)
    async with producer.transaction():
        await producer.send_and_wait(prefix + "log", b"b", partition=0)
    await producer.stop()
    bounds = await broker.bounds(prefix + "log", 0)
    assert bounds.end == 4  # two records and two markers
    started = time.monotonic()
    found = await read(broker, prefix + "log", 0, bounds.end)
    assert [record.value for record in found] == [b"a", b"b"]
    assert time.monotonic() - started < 2


async def test_a_read_from_before_the_beginning_gives_what_is_left(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    if not cluster.idempotent:
        pytest.skip("the embedded broker deletes nothing")
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    await writer.append(prefix + "log", 0, outputs(prefix + "log", *(b"%d" % n for n in range(10))))
    await broker.delete_before(prefix + "log", 0, 6)
    bounds = await broker.bounds(prefix + "log", 0)
    assert (bounds.start, bounds.end) == (6, 10)
    assert [record.offset for record in await read(broker, prefix + "log", 0, 10)] == [6, 7, 8, 9]
    assert await read(broker, prefix + "log", 0, 3) == []


async def test_a_read_stops_before_its_stop(cluster: Cluster, broker: KafkaBroker, prefix: str) -> None:
    cluster.make_topics([prefix + "log"])
    writer = await broker.writer()
    await writer.append(prefix + "log", 0, outputs(prefix + "log", *(b"%d" % n for n in range(10))))
    assert [record.offset for record in await read(broker, prefix + "log", 2, 5)] == [2, 3, 4]
    assert await read(broker, prefix + "log", 5, 5) == []


async def test_ends_leaves_out_what_can_not_be_asked(cluster: Cluster, prefix: str) -> None:
    cluster.make_topics([prefix + "log"])
    broker = KafkaBroker(cluster.settings, idempotent=cluster.idempotent, timeout_s=1)
    assert await broker.ends([(prefix + "log", 0), (prefix + "none", 0)]) == {(prefix + "log", 0): 0}
    await broker.close()


async def test_records_carry_the_brokers_time_where_it_stamps(
    cluster: Cluster, broker: KafkaBroker, prefix: str
) -> None:
    cluster.make_topics([prefix + "log"])
    cluster.make_topics([prefix + "plain"], configs={"message.timestamp.type": "CreateTime"})
    old = [Output(prefix + "log", None, b"a", (), 0, 1_000)]
    writer = await broker.writer()
    await writer.append(prefix + "log", 0, old)
    await writer.append(prefix + "plain", 0, old)
    for topic in ("log", "plain"):
        record = (await read(broker, prefix + topic, 0, 1))[0]
        assert abs(record.timestamp_ms - time.time() * 1000) < 60_000
    assert (await probe(cluster.settings, [prefix + "log"])).stamps is cluster.idempotent
    assert (await probe(cluster.settings, [prefix + "log", prefix + "plain"])).stamps is False


async def test_topics_with_other_partition_counts_are_not_decided_together(cluster: Cluster, prefix: str) -> None:
    cluster.make_topics([prefix + "two"], partitions=2)
    cluster.make_topics([prefix + "three"], partitions=3)
    assert await common_partitions(cluster.settings, [prefix + "two"]) == 2
    with pytest.raises(ClusterError, match="partition counts differ"):
        await common_partitions(cluster.settings, [prefix + "two", prefix + "three"])
    with pytest.raises(ClusterError, match="topics are missing"):
        await common_partitions(cluster.settings, [prefix + "two", prefix + "four"])


async def test_the_incarnation_is_written_once(cluster: Cluster, broker: KafkaBroker) -> None:
    first = await ensure_incarnation(cluster.settings)
    assert await ensure_incarnation(cluster.settings) == first
    assert await read_incarnation(cluster.settings) == first
    assert abs(first - time.time()) < 10 * 365 * 86_400
    assert await broker.incarnation() == first


async def test_a_cluster_whose_record_was_deleted_is_an_error_that_says_what_to_do(
    cluster: Cluster, broker: KafkaBroker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cluster.idempotent:
        pytest.skip("the embedded broker deletes nothing")
    topic = prefix + "cluster"
    cluster.make_topics([topic])
    monkeypatch.setattr(kafka_cluster, "CLUSTER_TOPIC", topic)
    first = await ensure_incarnation(cluster.settings)
    await broker.delete_before(topic, 0, 1)
    for ask in (read_incarnation, ensure_incarnation):
        with pytest.raises(ClusterError, match=r'lost its record.*write \{"incarnation": <number>\} to it'):
            await ask(cluster.settings)
    value = b'{"incarnation": %d}' % first
    await (await broker.writer()).append(topic, 0, [Output(topic, b"incarnation", value, ())])
    assert await read_incarnation(cluster.settings) == first


async def test_a_broker_that_is_not_there_is_a_transient_error(cluster: Cluster) -> None:
    assert cluster.bootstrap
    broker = KafkaBroker(type(cluster.settings)("127.0.0.1:9"), timeout_s=1)
    with pytest.raises(TransientError, match="can't reach Kafka"):
        await broker.writer()
    with pytest.raises(TransientError, match="can't reach Kafka"):
        await broker.bounds("x", 0)
    await broker.close()
