"""Topics of one partition number stay together, and producers give no record twice."""

from __future__ import annotations

from typing import Any

import pytest
from faust.types import TP

from streams.engine.kafka_producers import SharedProducer
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.runner import DecideOptions, ProcessorRunner
from tests.engine.toy import Bank

SETTINGS = KafkaSettings("127.0.0.1:9")


class Assigned:
    def __init__(self) -> None:
        self.partitions: list[int] = []

    async def assign(self, partitions: list[int]) -> None:
        self.partitions += partitions


async def test_partitions_without_all_of_their_topics_are_refused() -> None:
    runner: Any = ProcessorRunner(Bank(), DecideOptions(SETTINGS))
    runner.machine = machine = Assigned()
    whole = {TP(topic, 1) for topic in Bank.inputs}
    runner._assigned(whole | {TP("requests", 0)})
    reason = await runner.failed()
    assert "partitions [0] were assigned without all of their topics" in reason
    assert machine.partitions == []


async def test_whole_partitions_are_taken() -> None:
    runner: Any = ProcessorRunner(Bank(), DecideOptions(SETTINGS))
    runner.machine = machine = Assigned()
    runner._assigned({TP(topic, number) for topic in Bank.inputs for number in (2, 1)})
    for task in tuple(runner._assigning):
        await task
    assert machine.partitions == [1, 2]


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_producer_is_idempotent_where_the_broker_can(*, idempotent: bool) -> None:
    producer = SharedProducer(SETTINGS, idempotent=idempotent, lz4=False, timeout_s=1)
    sender = producer._producer._sender
    assert (sender._txn_manager is not None) is idempotent
    assert sender._acks == -1
    await producer.stop(1)
