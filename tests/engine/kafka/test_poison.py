"""A record that raises inside aiokafka's fetch is a dead letter like any other, and the partition goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from schemas.record import Record
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_records import TolerantPartition
from tests.engine.contract import balances
from tests.engine.kafka.conftest import Cluster
from tests.engine.kafka.poison import NAME, publish_poison
from tests.engine.kafka.processes import wait_for
from tests.engine.kafka.test_contract_kafka import KafkaBench
from tests.engine.toy import message

pytestmark = pytest.mark.kafka


async def poison(cluster: Cluster, topic: str, *values: bytes) -> None:
    # Without producer ids, as its bytes are sealed before they leave.
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap)
    await producer.start()
    try:
        await publish_poison(producer, topic, *values)
    finally:
        await producer.stop()


async def test_stock_aiokafka_never_gets_past_a_header_name_that_is_not_utf8(
    cluster: Cluster, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    monkeypatch.setattr(fetcher, "PartitionRecords", TolerantPartition.__base__)
    cluster.make_topics([prefix + "log"])
    await poison(cluster, prefix + "log", b"a", b"b", b"c")
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(prefix + "log", 0)])
    for _ in range(3):
        with pytest.raises(UnicodeDecodeError):
            await consumer.getmany(timeout_ms=1_000)
    await consumer.stop()


async def test_every_record_of_such_a_batch_is_read(cluster: Cluster, prefix: str) -> None:
    topic = prefix + "log"
    cluster.make_topics([topic])
    broker = KafkaBroker(cluster.settings, idempotent=cluster.idempotent, timeout_s=10)
    await poison(cluster, topic, b"a", b"b", b"c")
    found: list[Record] = []
    bounds = await broker.bounds(topic, 0)
    async for records in broker.read(topic, 0, bounds.start, bounds.end):
        found.extend(records)
    assert [(record.offset, record.key, record.value) for record in found] == [
        (0, b"k", b"a"),
        (1, b"k", b"b"),
        (2, b"k", b"c"),
    ]
    assert [record.headers for record in found] == [(), ((f"doorstream-not-utf8-{NAME.hex()}", b"x"),), ()]
    times = {record.timestamp_ms for record in found}
    assert len(times) == 1 or not cluster.idempotent
    await broker.close()


def test_its_partition_goes_on_and_the_record_is_a_dead_letter(cluster: Cluster, prefix: str, tmp_path: Path) -> None:
    bench = KafkaBench(cluster, prefix, tmp_path)
    bad = message("deposit", "a", 100)
    cluster.run(poison(cluster, prefix + "requests", message("deposit", "a", 1), bad, message("deposit", "a", 2)))
    bench.settle()
    bench.crash(0)
    bench.publish("requests", "a", message("deposit", "a", 4))
    worker = bench.start()
    bench.settle()
    assert balances(bench) == [1, 3, 7]
    letters = bench.outputs("requests.dead")
    bench.crash(worker)
    assert {(letter.key, letter.value) for letter in letters} == {(b"k", bad)}
    assert letters[0].header("__connect.errors.offset") == b"1"
    assert letters[0].header("__connect.errors.stage") == b"decode"
    assert letters[0].header(f"source-doorstream-not-utf8-{NAME.hex()}") == b"x"


def test_a_message_that_kills_its_worker_is_found_and_passed_over(
    cluster: Cluster, prefix: str, tmp_path: Path
) -> None:
    bench = KafkaBench(cluster, prefix, tmp_path)
    requests = prefix + "requests"
    for kind in ["deposit"] * 100 + ["kill"] + ["deposit"] * 20:
        bench.publish("requests", "a", message(kind, "a", 1))
    cluster.flush()
    end = cluster.ends([requests])[requests, 0]

    def ended() -> bool:
        worker = bench.workers[-1]
        return not worker.alive or worker.status().get("inputs", {}).get("0", {}).get(requests) == end

    deaths = 0
    while deaths < 8:
        wait_for(ended)
        if bench.workers[-1].alive:
            break
        deaths += 1
        bench.start()
    assert 2 <= deaths <= 5
    bench.settle()
    assert balances(bench) == list(range(1, 121))
    letters = bench.outputs("requests.dead")
    bench.workers[-1].kill()
    assert {letter.header("__connect.errors.offset") for letter in letters} == {b"100"}
    assert letters[0].header("__connect.errors.stage") == b"recover"
