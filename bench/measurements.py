"""What is measured of deciding: throughput beside its peers, and latency beside the floor."""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from bench import echo, stock_faust
from bench.latency import Expected, Latency, measure, name_of_command, name_of_request, typical
from bench.programs import Program, Rate, watch, worker
from bench.stage import COMMANDS, REQUESTS, Stage

FAUST_S = 8.0
ENOUGH_S = 15.0
"""How long the peer and ours are watched at steady work, at most."""
FAUST_WANTED = 40_000
WITHIN_S = 120.0


class Size(NamedTuple):
    """How much is measured: requests that wait per round, rounds, seconds at each rate, credentials, devices, doors.

    On Kafka: `alarms` doors that were held open, `escalations` alerts that go up, `silent` controllers of a storm, and
    a site of `locked_doors`, locked down `lockdowns` times.
    """

    requests: int = 120_000
    rounds: int = 3
    latency_s: float = 8.0
    credentials: int = 1_000_000
    devices: int = 20_000
    doors: int = 2_000
    alarms: int = 40_000
    escalations: int = 1_000
    locked_doors: int = 5_000
    lockdowns: int = 9
    silent: int = 500


QUICK = Size(
    requests=30_000,
    rounds=1,
    latency_s=4.0,
    credentials=100_000,
    devices=4_000,
    doors=500,
    alarms=8_000,
    escalations=200,
    locked_doors=1_000,
    lockdowns=3,
    silent=100,
)


class Throughput(NamedTuple):
    """Medians over the rounds: requests/s."""

    ours: Rate
    plain: Rate
    faust_table: Rate
    faust_dict: Rate
    over_plain: float
    """Median of the rounds' own ratios; so are the next two."""
    over_table: float
    over_dict: float


class Latencies(NamedTuple):
    """Ours and the echo's, at one rate; medians over the rounds."""

    rate: int
    ours: Latency
    echo: Latency
    p99_ratio: float


async def throughput(stage: Stage, size: Size, say: Callable[[str], None]) -> Throughput:
    """Requests that wait in a topic, decided by one worker process; the same topic by each peer, round by round."""
    await stage.make_topics(stock_faust.DECISIONS, stock_faust.COMMANDS)
    rounds: list[tuple[Rate, Rate, Rate, Rate]] = []
    for number in range(size.rounds):
        await stage.fill(size.requests)
        ours = await decide(stage, size.requests)
        plain = await plain_consumer(stage)
        table = await faust(stage, f"bench-faust-table-{number}", "table")
        plain_dict = await faust(stage, f"bench-faust-dict-{number}", "dict")
        rounds.append((ours, plain, table, plain_dict))
        say(
            f"  round {number + 1}: {ours.per_s:,.0f} decided/s ({ours.cpu_us:.0f} us of CPU each), plain aiokafka "
            f"{plain.per_s:,.0f}/s, stock Faust {table.per_s:,.0f}/s (with a dict {plain_dict.per_s:,.0f}/s)"
        )
    ours, plain, table, plain_dict = (_median([one[at] for one in rounds]) for at in range(4))
    over = [[one[0].per_s / one[at].per_s for one in rounds] for at in (1, 2, 3)]
    return Throughput(ours, plain, table, plain_dict, *(median(one) for one in over))


def _median(rates: list[Rate]) -> Rate:
    return sorted(rates)[len(rates) // 2]


async def decide(stage: Stage, wanted: int) -> Rate:
    """One `doorstream worker decide`, counted by its commands: one for each request, each granted."""
    program, _ready = worker("decide", stage.folder, stage.environment)
    async with program:
        rate = await watch(program, lambda: stage.count(COMMANDS), wanted, within_s=WITHIN_S, enough_s=ENOUGH_S)
        # What is left would be in the way of the next measurement.
        await stage.decided(WITHIN_S)
        return rate


async def plain_consumer(stage: Stage) -> Rate:
    """The same topic, read by a plain aiokafka consumer."""
    async with Program("bench.plain_consumer", [stage.kafka, REQUESTS], stage.folder, {}) as program:
        said = json.loads((await program.ended(WITHIN_S)).splitlines()[-1])
    program.log.unlink()
    records = said["records"]
    return Rate(records / said["seconds"], said["cpu_s"] / records * 1e6, records, said["seconds"])


async def faust(stage: Stage, name: str, kind: str) -> Rate:
    """The same topic, decided by a stock Faust application."""
    async with Program("bench.stock_faust", [stage.kafka, name, kind], stage.folder, {}) as program:
        return await watch(
            program,
            lambda: stage.count(stock_faust.COMMANDS),
            FAUST_WANTED,
            within_s=WITHIN_S,
            enough_s=FAUST_S,
        )


async def latencies(stage: Stage, size: Size, rates: tuple[int, ...], say: Callable[[str], None]) -> list[Latencies]:
    """Request published to command received, and the same through a bare echo, one after the other."""
    await stage.make_topics(echo.IN, echo.OUT)
    found: dict[int, list[tuple[Latency, Latency]]] = {rate: [] for rate in rates}
    program, ready = worker("decide", stage.folder, stage.environment)
    async with program, Program("bench.echo", [stage.kafka], stage.folder, {}) as echoing:
        await program.answers(ready)
        await echoing.says("ready")
        await stage.decided(WITHIN_S)
        for number in range(size.rounds):
            for rate in rates:
                # The first requests find caches cold and connections unmade, on either side.
                await _echo(stage, rate, 1.0)
                await _ours(stage, rate, 1.0)
                bare = await _echo(stage, rate, size.latency_s)
                ours = await _ours(stage, rate, size.latency_s)
                found[rate].append((ours, bare))
                say(
                    f"  round {number + 1}, {rate}/s: p50 {ours.p50_ms:.1f} ms, p99 {ours.p99_ms:.1f} ms; "
                    f"echo {bare.p50_ms:.1f} and {bare.p99_ms:.1f} ms; {ours.unanswered} unanswered"
                )
    return [
        Latencies(
            rate,
            typical([ours for ours, _ in pairs]),
            typical([bare for _, bare in pairs]),
            median(ours.p99_ms / bare.p99_ms for ours, bare in pairs),
        )
        for rate, pairs in found.items()
    ]


async def _ours(stage: Stage, rate: int, seconds: float) -> Latency:
    messages = stage.messages(int(rate * seconds))
    return await measure(
        stage.options, messages, rate=rate, seconds=seconds, expected=Expected(COMMANDS, name_of_command)
    )


async def _echo(stage: Stage, rate: int, seconds: float) -> Latency:
    messages = (one._replace(topic=echo.IN) for one in stage.messages(int(rate * seconds)))
    return await measure(
        stage.options, messages, rate=rate, seconds=seconds, expected=Expected(echo.OUT, name_of_request)
    )
