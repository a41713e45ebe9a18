from __future__ import annotations

import os
from pathlib import Path

from deploy.stack import StackOptions, down, up
from streams.engine.kafka_cluster import probe
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
