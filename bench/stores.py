"""What is measured of memory and stores: a million credentials loaded at start, and the record role."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncpg

from bench.measurements import Size, decide
from bench.programs import Memory, Rate, watch, worker
from bench.stage import COMMANDS, DECISIONS, Plain, Stage
from bench.world import signed_reference
from deploy.stack.model import Endpoints
from schemas.people import Credential
from schemas.vocabulary import FactorKind
from sinks.clickhouse import connect
from sinks.migrate import migrate_clickhouse, migrate_postgres

WITHIN_S = 180.0
RECORDED = 60_000
"""Requests that are recorded at least: some ten batches."""
RECORDED_LAST = 0.75
"""The records after these would be measured waiting for their batch to fill."""
ASKED_EVERY_S = 0.2
"""Each time, both stores answer a query: asked more often, they would be measured answering."""


class Loaded(NamedTuple):
    """Seconds from the start of the process to being ready, less those without the credentials; and its memory."""

    credentials: int
    seconds: float
    ready_s: float
    memory: Memory


async def load_credentials(stage: Stage, count: int) -> Loaded:
    """A decide worker that finds so many credentials more at its start."""
    without_s = await _ready_s(stage)
    await stage.publish("reference.credential", 0, _credentials(count))
    program, ready = worker("decide", stage.folder, stage.environment)
    async with program:
        ready_s = await program.answers(ready, WITHIN_S)
        return Loaded(count, ready_s - without_s[0], ready_s, program.memory())


async def _ready_s(stage: Stage) -> tuple[float, Memory]:
    program, ready = worker("decide", stage.folder, stage.environment)
    async with program:
        return await program.answers(ready), program.memory()


def _credentials(count: int) -> Iterator[Plain]:
    for number in range(count):
        id_ = f"mass-{number:07d}-card"
        credential = Credential(
            credential_id=id_,
            kind=FactorKind.CARD,
            cardholder_id=f"mass-{number:07d}",
            card_number=f"{number:010d}",
        )
        yield signed_reference("reference.credential", id_, credential)[1:]


class Recorded(NamedTuple):
    """Decisions (granted or denied) in both stores, per second, and records of every topic."""

    decisions: Rate
    records_per_s: float


async def record(stage: Stage, size: Size, endpoints: Endpoints) -> Recorded:
    """A record worker that finds what the decide workers of this run have published."""
    if not await stage.count(COMMANDS):
        count = max(size.requests, RECORDED)
        await stage.fill(count)
        await decide(stage, count)
    await migrate_postgres(endpoints.postgres)
    await migrate_clickhouse(endpoints.clickhouse)
    decisions, commands = await stage.count(DECISIONS), await stage.count(COMMANDS)
    environment = {
        **stage.environment,
        "DOORSTREAM_POSTGRES": endpoints.postgres,
        "DOORSTREAM_CLICKHOUSE": endpoints.clickhouse,
    }
    program, _ready = worker("record", stage.folder, environment)
    postgres = await asyncpg.connect(endpoints.postgres)
    clickhouse = await asyncio.to_thread(connect, endpoints.clickhouse)
    try:
        async with program:

            async def stored() -> int:
                return await _stored(postgres, clickhouse)

            rate = await watch(
                program,
                stored,
                decisions + commands,
                within_s=WITHIN_S,
                last=RECORDED_LAST,
                poll_s=ASKED_EVERY_S,
            )
    finally:
        await postgres.close()
    # Each grant here is two messages (granted and taken) and a command.
    requests = rate.messages * commands / (decisions + commands)
    decided = Rate(requests / rate.seconds, rate.cpu_us * rate.messages / requests, round(requests), rate.seconds)
    return Recorded(decided, rate.per_s)


_TOPICS = (DECISIONS, COMMANDS)


async def _stored(postgres: Any, clickhouse: Any) -> int:
    """How many records of decisions and commands lie in the store that is behind."""
    one = await postgres.fetchval(
        "select coalesce(sum(next_offset), 0)::bigint from sink_offsets where topic = any($1)", list(_TOPICS)
    )
    rows = await asyncio.to_thread(
        clickhouse.query,
        "select sum(stored) from (select max(next_offset) as stored from sink_offsets "
        "where topic in {topics:Array(String)} group by incarnation, topic, partition)",
        {"topics": list(_TOPICS)},
    )
    return min(int(one), int(rows.result_rows[0][0]))
