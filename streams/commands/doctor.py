"""`doorstream doctor`: is it healthy, and if not, what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urljoin

import aiohttp
import asyncpg
import typer
from aiokafka.errors import KafkaError

from schemas.reference import ENTITIES
from schemas.topics import registry
from sinks.chdb import served
from sinks.migrate import MigrationError
from sinks.migrate import status as migration_status
from sinks.reading import SinkUnavailable
from streams.agents.cluster import Cluster
from streams.commands.dead import dead_topics
from streams.commands.lag import measure
from streams.commands.reading import count_records
from streams.commands.running import FOUND_WRONG, UNREACHABLE, Json, print_json, run, say, settings_or_fail
from streams.connection import kafka_options
from streams.engine.kafka_cluster import ClusterError, read_incarnation
from streams.engine.kafka_settings import KafkaSettings
from streams.settings import Settings, SettingsError

WAITING_LIMIT = 10_000
"""More messages waiting than this is worth a word."""


class Finding(NamedTuple):
    """What one look found. `fix` is what to do where it is not well; `reachable` tells whether the server answered."""

    what: str
    well: bool
    detail: str
    fix: str = ""
    reachable: bool = True


Look = Callable[[Settings], Awaitable[Finding]]


def doctor(json: Json = False) -> None:
    """Look at everything that doorstream needs, and say what to do about what is not well."""
    settings = settings_or_fail()
    found = run(diagnose(settings))
    if json:
        print_json({"findings": [finding._asdict() for finding in found]})
    else:
        for finding in found:
            say(f"{'ok  ' if finding.well else 'BAD '} {finding.what:18} {finding.detail}")
            if not finding.well:
                say(f"     {'':18} -> {finding.fix}")
    if any(not finding.reachable for finding in found):
        raise typer.Exit(UNREACHABLE)
    if any(not finding.well for finding in found):
        raise typer.Exit(FOUND_WRONG)


async def diagnose(settings: Settings) -> list[Finding]:
    """Every finding, in the order in which one would mend them."""
    found = []
    for what, look in _LOOKS.items():
        try:
            async with asyncio.timeout(20):
                found.append(await look(settings))
        except SettingsError as error:
            found.append(Finding(what, well=False, detail="not set", fix=str(error)))
        except (
            OSError,
            KafkaError,
            TimeoutError,
            aiohttp.ClientError,
            asyncpg.PostgresError,
            SinkUnavailable,
        ) as error:
            detail = f"does not answer: {' '.join(str(error).split()) or type(error).__name__}"
            fix = _KAFKA_FIX if isinstance(error, KafkaError) else _FIXES[what]
            # A worker is none of the servers that a command needs: that it doesn't run is what is wrong.
            found.append(Finding(what, well=False, detail=detail, fix=fix, reachable=what == "worker here"))
    return found


async def _secret(settings: Settings) -> Finding:
    settings.master_secret()
    return Finding("master secret", well=True, detail=str(settings.master_secret_file))


async def _topics(settings: Settings) -> Finding:
    async with Cluster(kafka_options(settings)) as cluster:
        plan = await cluster.plan(registry(), settings.partitions)
    if not plan:
        return Finding("topics", well=True, detail=f"all {len(registry())} as topics.yaml wants them")
    first = plan[0]
    return Finding(
        "topics", well=False, detail=f"{len(plan)} differ, first {first.topic}: {first.action}", fix=_FIXES["topics"]
    )


async def _incarnation(settings: Settings) -> Finding:
    try:
        found = await read_incarnation(KafkaSettings.of(kafka_options(settings)))
    except ClusterError as error:
        return Finding("cluster record", well=False, detail=str(error), fix=_FIXES["cluster record"])
    return Finding("cluster record", well=True, detail=f"incarnation {found}")


async def _references(settings: Settings) -> Finding:
    counts = await count_records(kafka_options(settings), [entity.topic for entity in ENTITIES])
    detail = f"{sum(counts.values()):,} records, {counts['reference.site']:,} of sites"
    return Finding("reference data", well=counts["reference.site"] > 0, detail=detail, fix=_FIXES["reference data"])


async def _postgres(settings: Settings) -> Finding:
    settings.need("postgres")
    connection = await asyncpg.connect(settings.postgres, timeout=10)
    await connection.close()
    return Finding("PostgreSQL", well=True, detail="answers")


async def _clickhouse(settings: Settings) -> Finding:
    settings.need("clickhouse")
    where = urljoin(await asyncio.to_thread(served, settings.clickhouse), "/ping")
    async with aiohttp.ClientSession() as session, session.get(where) as answer:
        well = answer.status == 200  # noqa: PLR2004
    return Finding("ClickHouse", well=well, detail=f"answers {answer.status}", fix=_FIXES["ClickHouse"])


async def _tables(settings: Settings) -> Finding:
    settings.need("postgres", "clickhouse")
    try:
        rows = await migration_status(settings.postgres, settings.clickhouse)
    except MigrationError as error:
        return Finding("tables", well=False, detail=str(error), fix=_FIXES["tables"])
    missing = [f"{row.store} {row.name}" for row in rows if not row.applied]
    detail = (
        f"{len(missing)} of {len(rows)} migrations missing, first {missing[0]}" if missing else "as this version wants"
    )
    return Finding("tables", well=not missing, detail=detail, fix=_FIXES["tables"])


async def _waiting(settings: Settings) -> Finding:
    rows = await measure(kafka_options(settings))
    waiting = sum(row.messages for row in rows)
    worst = max(rows, key=lambda row: row.messages, default=None)
    detail = f"{waiting:,} messages" + (f", most in {worst.topic} for {worst.reader}" if worst and waiting else "")
    return Finding("waiting", well=waiting < WAITING_LIMIT, detail=detail, fix=_FIXES["waiting"])


async def _dead(settings: Settings) -> Finding:
    counts = await count_records(kafka_options(settings), dead_topics())
    total = sum(counts.values())
    return Finding("dead letters", well=total == 0, detail=f"{total:,}", fix=_FIXES["dead letters"])


async def _worker(settings: Settings) -> Finding:
    where = f"http://{settings.metrics_host}:{settings.metrics_port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(where) as answer:
        text = (await answer.text()).strip().replace("\n", "; ")
        well = answer.status == 200  # noqa: PLR2004
    return Finding("worker here", well=well, detail=text, fix=_FIXES["worker here"])


_LOOKS: dict[str, Look] = {
    "master secret": _secret,
    "topics": _topics,
    "cluster record": _incarnation,
    "reference data": _references,
    "PostgreSQL": _postgres,
    "ClickHouse": _clickhouse,
    "tables": _tables,
    "worker here": _worker,
    "waiting": _waiting,
    "dead letters": _dead,
}
_KAFKA_FIX = "check DOORSTREAM_KAFKA, or run `doorstream stack up`"
_FIXES = {
    "master secret": "set DOORSTREAM_MASTER_SECRET_FILE",
    "topics": "run `doorstream topics apply`",
    "cluster record": "run `doorstream topics apply`",
    "reference data": "run `doorstream load FOLDER`, such as deploy/campus",
    "PostgreSQL": "check DOORSTREAM_POSTGRES, or run `doorstream stack up`",
    "ClickHouse": "check DOORSTREAM_CLICKHOUSE, or run `doorstream stack up`",
    "tables": "run `doorstream db migrate`",
    "worker here": "run `doorstream worker all`, or set DOORSTREAM_METRICS_PORT to the worker's",
    "waiting": "start more workers: `doorstream worker decide`, `doorstream worker record`",
    "dead letters": "look at them with `doorstream dead list`",
}
