"""`doorstream replay`: decide the journals again; what was decided then must come out again."""

from __future__ import annotations

import msgspec
import typer

from streams.agents.site import plain_processors
from streams.commands.running import FOUND_WRONG, Json, print_json, run, say, settings_or_fail
from streams.connection import kafka_options
from streams.core.processor import Processor
from streams.engine.auditing import Audit, Audited
from streams.engine.kafka_cluster import common_partitions, probe, read_incarnation
from streams.engine.kafka_log import KafkaBroker
from streams.engine.kafka_references import reference_feed
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.references import ReferenceTables
from streams.settings import Settings


class Replayed(msgspec.Struct):
    """What deciding one processor's journals again gave."""

    processor: str
    entries: int = 0
    messages: int = 0
    ticks: int = 0
    outputs: int = 0
    drifts: list[tuple[int, int]] = []
    """Partition and number of each entry whose outcomes differ."""
    stopped: dict[int, str] = {}
    """Why a partition could not be decided to its end."""

    def add(self, found: Audited) -> None:
        """Take one partition's findings."""
        self.entries += found.entries
        self.messages += found.messages
        self.ticks += found.ticks
        self.outputs += found.outputs
        self.drifts += [(found.partition, number) for number in found.drifts]
        if found.stopped is not None:
            self.stopped[found.partition] = found.stopped


def replay(json: Json = False) -> None:
    """Decide every journal again and compare the digests with those of then. Exit 1 where one differs."""
    settings = settings_or_fail()
    found = run(replay_all(settings))
    if json:
        print_json({"processors": [msgspec.to_builtins(row) for row in found], "drift": drift_of(found)})
    else:
        for row in found:
            counts = f"{row.entries:,} entries, {row.messages:,} messages, {row.ticks:,} ticks"
            say(f"{row.processor:8} {counts} decided again")
            for partition, number in row.drifts:
                say(f"DRIFT    partition {partition}, entry {number}: other outcomes than then")
            for partition, why in row.stopped.items():
                say(f"STOPPED  partition {partition}: {why}")
        say(f"drift {drift_of(found)}")
    if any(row.drifts or row.stopped for row in found):
        raise typer.Exit(FOUND_WRONG)


def drift_of(found: list[Replayed]) -> int:
    """How many entries differ."""
    return sum(len(row.drifts) for row in found)


async def replay_all(settings: Settings) -> list[Replayed]:
    """Every processor's journals, decided again.

    Raises:
        ClusterError: the cluster is not as it must be.
    """
    kafka = KafkaSettings.of(kafka_options(settings))
    incarnation = await read_incarnation(kafka)
    processors = plain_processors(settings)
    feed = await reference_feed(kafka, [spec for processor in processors for spec in processor.references])
    await feed.load()
    return [await _replay(processor, feed.tables, kafka, incarnation) for processor in processors]


async def _replay(processor: Processor, tables: ReferenceTables, kafka: KafkaSettings, incarnation: int) -> Replayed:
    count = await common_partitions(kafka, processor.inputs)
    abilities = await probe(kafka, processor.inputs)
    broker = KafkaBroker(kafka, idempotent=abilities.idempotent, stamps=abilities.stamps)
    views = tables.views(processor.references)
    found = Replayed(processor.name)
    try:
        audit = Audit(processor, broker, views, incarnation, count)
        for partition in range(count):
            found.add(await audit.run(partition))
    finally:
        await broker.close()
    return found
