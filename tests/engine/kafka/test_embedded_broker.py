from __future__ import annotations

import os
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.stack import StackOptions, down, up
from schemas.record import Output
from streams.engine.kafka_cluster import probe
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_settings import KafkaSettings


async def test_the_embedded_broker_lists_producer_ids_and_gives_none(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "stack", with_postgres=False, with_clickhouse=False, owner_pid=os.getpid())
    try:
        endpoints = await up(options)
        abilities = await probe(KafkaSettings(endpoints.kafka), [])
        assert not abilities.idempotent
        assert not abilities.stamps
    finally:
        await down(options.folder)


async def test_partitions_end_where_their_last_batch_does(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "stack", with_postgres=False, with_clickhouse=False, owner_pid=os.getpid())
    try:
        endpoints = await up(options)
        broker = KafkaBroker(KafkaSettings(endpoints.kafka), idempotent=False, stamps=False)
        admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka)
        await admin.start()
        await admin.create_topics([NewTopic("batches", 2, 1)])
        await admin.close()
        writer = await broker.writer()
        for count in (3, 10):
            outputs = [Output("batches", b"k", b"%d" % at, (), 0) for at in range(count)]
            await writer.append("batches", 0, outputs)
        assert (await broker.bounds("batches", 0)).end == 13
        assert (await broker.bounds("batches", 1)).end == 0
        assert await broker.ends([("batches", 0), ("batches", 1)]) == {("batches", 0): 13, ("batches", 1): 0}
        await broker.close()
    finally:
        await down(options.folder)
