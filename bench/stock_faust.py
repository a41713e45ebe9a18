"""The peer: the same decisions in a Faust application as its documentation would have it, one event at a time.

Run as a program with the bootstrap servers, an application id, and where the state lives: `table` is a Faust table, in
memory and with its changelog; `dict` a plain dictionary, which no crash survives. What is decided, evolved and
published is the site processor's own; what Faust leaves out (journal, order of acknowledgements, repeats) is left out.
It is given uvloop, and nothing is awaited per event but Faust's own `send`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import MutableMapping
from typing import Any

import faust
from faust.serializers.codecs import Codec, register
from mode.loop import use

from bench.world import MASTER
from schemas.record import Output, Record
from streams.core import entities
from streams.core.processor import Arrival, Context
from streams.core.site import SiteProcessor
from streams.engine.faust_process import SystemClock
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.references import ReferenceTables, ReferenceViews

DECISIONS = "bench.faust.decisions"
COMMANDS = "bench.faust.commands"
_OUT = {"access.decisions": DECISIONS, "device.commands": COMMANDS}


class EntityCodec(Codec):  # type: ignore[misc]
    """Entities in a changelog, as compact as ours."""

    def _dumps(self, entity: Any) -> bytes:
        return entities.encode(entity)

    def _loads(self, data: bytes) -> Any:
        return entities.decode(data)


async def load(kafka: str, processor: SiteProcessor, clock: SystemClock) -> ReferenceViews:
    """The reference data, in memory."""
    broker = KafkaBroker(KafkaSettings(kafka))
    tables = ReferenceTables(processor.references, clock)
    try:
        await tables.load(broker)
    finally:
        await broker.close()
    return tables.views(processor.references)


_FILES = tempfile.TemporaryDirectory(prefix="bench-faust-")
"""Faust makes a folder for its tables, here or wherever the process was started."""


def build(kafka: str, name: str, kind: str) -> Any:
    """The application."""
    processor, clock = SiteProcessor(MASTER), SystemClock()
    views = asyncio.run(load(kafka, processor, clock)).live()
    register("entity", EntityCodec())
    app = faust.App(
        name,
        datadir=_FILES.name,
        broker=f"kafka://{kafka}",
        store="memory://",
        web_enabled=False,
        producer_acks=-1,
        topic_partitions=12,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
    )
    raw = {"key_serializer": "raw", "value_serializer": "raw", "key_type": bytes, "value_type": bytes}
    requests = app.topic("access.requests", **raw)
    outputs = {topic: app.topic(own, **raw) for topic, own in _OUT.items()}
    state: MutableMapping[str, Any] = {}
    if kind == "table":
        table = app.Table("state", partitions=12)
        table.value_serializer = "entity"
        state = table

    async def decide(stream: Any) -> None:
        number = 0
        async for event in stream.events():
            got = event.message
            timestamp_ms = round(got.timestamp * 1000)
            record = Record(got.topic, got.partition, got.offset, got.key, got.value, tuple(got.headers), timestamp_ms)
            arrival = Arrival(record, processor.decode(record))
            number += 1
            context = Context(clock.now_ms(), views, {}, got.partition, number, 1)
            outcomes = processor.decide(state, arrival, context)
            for outcome in outcomes:
                for key, entity in processor.evolve(state, outcome):
                    if entity is None:
                        state.pop(key, None)
                    else:
                        state[key] = entity
            for outcome in outcomes:
                output: Output | None = processor.publish(outcome, arrival, context)
                if output is not None:
                    await outputs[output.topic].send(
                        key=output.key,
                        value=output.value,
                        headers=list(output.headers),
                        partition=output.partition,
                    )

    app.agent(requests)(decide)
    return app


if __name__ == "__main__":
    use("uvloop")
    faust.Worker(build(*sys.argv[1:4]), loglevel="warning").execute_from_commandline()
