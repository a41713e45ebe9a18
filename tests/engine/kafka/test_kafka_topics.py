from __future__ import annotations

import logging

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from streams.engine.kafka_cluster import ClusterError
from streams.engine.kafka_topics import await_leaders, make_topics
from tests.engine.kafka.conftest import Cluster

PARTITIONS = 12


async def _write_to_each(cluster: Cluster, topics: list[str]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all")
    await producer.start()
    try:
        for topic in topics:
            for partition in range(PARTITIONS):
                await producer.send(topic, b"one", partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


def test_a_topic_that_was_just_made_takes_records_at_once(
    cluster: Cluster, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{prefix}new-{number}" for number in range(20)]
    with caplog.at_level(logging.WARNING, "aiokafka"):
        cluster.run(make_topics(cluster.settings, [NewTopic(name, PARTITIONS, 1) for name in names]))
        cluster.run(_write_to_each(cluster, names))
    assert [record.getMessage() for record in caplog.records if prefix in record.getMessage()] == []
    assert sum(cluster.ends(names, PARTITIONS).values()) == len(names) * PARTITIONS


def test_a_topic_that_exists_stays_as_it_is(cluster: Cluster, prefix: str) -> None:
    name = f"{prefix}there"
    cluster.run(make_topics(cluster.settings, [NewTopic(name, 2, 1)]))
    cluster.run(make_topics(cluster.settings, [NewTopic(name, 3, 1)]))
    described = cluster.run(cluster.admin.describe_topics([name]))
    assert len(described[0]["partitions"]) == 2


def test_a_topic_without_a_leader_is_named_when_the_time_is_over(cluster: Cluster, prefix: str) -> None:
    led, missing = f"{prefix}led", f"{prefix}missing"
    cluster.run(make_topics(cluster.settings, [NewTopic(led, 2, 1)]))
    with pytest.raises(ClusterError, match=rf"no leader after 0.3 s \(of {missing}\): check that all"):
        cluster.run(await_leaders(cluster.settings, [led, missing], within_s=0.3))
