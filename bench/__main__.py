"""`python -m bench`: everything that is promised of speed, measured in one run on the broker at hand."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from bench.alerts import Alerting, alerting
from bench.escalation import Escalating, escalating
from bench.heartbeats import Heartbeats, heartbeats
from bench.lockdown import Locked, lockdowns
from bench.measurements import QUICK, Latencies, Size, Throughput, latencies, throughput
from bench.people import RATE
from bench.programs import BenchmarkError
from bench.report import Figure, machine, table, write
from bench.stage import Stage
from bench.stores import Loaded, Recorded, load_credentials, record
from bench.storm import Weathered, weather
from deploy.stack import StackError
from deploy.stack.choice import choose
from deploy.stack.model import Endpoints
from streams.commands.running import say

NAMES = ("throughput", "latency", "record", "credentials", "heartbeats", "alerts", "escalation", "storm", "lockdown")
RATES = (200, 1_000)
SPEED_PER_S = 15_000
PLAIN_PER_S = 350_000
"""The machine that the throughput is promised on reads so many records/s with plain aiokafka."""
OVER_FAUST = 8.0
P50_MS = 10.0
P99_OVER_ECHO = 4.0
LOAD_S = 10.0
LOAD_MIB = 1_536.0
RECORDED_PER_S = 10_000
HEARTBEATS_CORE = 0.5
TRANSITIONS_PER_S = 10_000
LATE_MS = 1_000.0
COMMANDED_S = 1.0
MEANWHILE_P99_MS = 50.0
DURESS_S = 2.0


def throughput_figures(found: Throughput) -> list[Figure]:
    """What is promised of throughput."""
    share = SPEED_PER_S / PLAIN_PER_S
    return [
        Figure("card decisions of one decide process", found.ours.per_s, "requests/s", f">= {SPEED_PER_S:,}",
               found.ours.per_s >= SPEED_PER_S),
        Figure("  per second of its CPU", 1e6 / found.ours.cpu_us, "requests", note=f"{found.ours.cpu_us:.0f} us each"),
        Figure("  over plain aiokafka reading the topic", found.over_plain, "x", f">= {share:.3f}",
               found.over_plain >= share, f"{found.plain.per_s:,.0f} records/s"),
        Figure("  over stock Faust with a table", found.over_table, "x", f">= {OVER_FAUST:g}",
               found.over_table >= OVER_FAUST, f"{found.faust_table.per_s:,.0f} requests/s"),
        Figure("  over stock Faust with a dict", found.over_dict, "x",
               note=f"{found.faust_dict.per_s:,.0f} requests/s; its state survives no crash"),
        Figure("  CPU of stock Faust with a table over ours", found.faust_table.cpu_us / found.ours.cpu_us, "x",
               note=f"{found.faust_table.cpu_us:.0f} us each"),
        Figure("  CPU of stock Faust with a dict over ours", found.faust_dict.cpu_us / found.ours.cpu_us, "x",
               note=f"{found.faust_dict.cpu_us:.0f} us each"),
    ]  # fmt: skip


def latency_figures(found: list[Latencies]) -> list[Figure]:
    """What is promised of latency."""
    figures = []
    for one in found:
        p50_aim = one.rate == RATES[0]
        p99_aim = one.rate == RATES[1]
        echo_note = f"echo {one.echo.p50_ms:.1f} ms"
        figures += [
            Figure(f"request to command at {one.rate:,}/s, p50", one.ours.p50_ms, "ms",
                   f"<= {P50_MS:g} ms" if p50_aim else "", one.ours.p50_ms <= P50_MS if p50_aim else None, echo_note),
            Figure(f"request to command at {one.rate:,}/s, p99", one.ours.p99_ms, "ms",
                   note=f"echo {one.echo.p99_ms:.1f} ms, {one.ours.unanswered} unanswered"),
            Figure("  p99 over a bare echo's", one.p99_ratio, "x", f"<= {P99_OVER_ECHO:g}" if p99_aim else "",
                   one.p99_ratio <= P99_OVER_ECHO if p99_aim else None),
        ]  # fmt: skip
    return figures


def record_figures(found: Recorded) -> list[Figure]:
    """What is promised of the record role."""
    return [
        Figure("decisions recorded in both stores", found.decisions.per_s, "/s", f">= {RECORDED_PER_S:,}",
               found.decisions.per_s >= RECORDED_PER_S, f"{found.records_per_s:,.0f} records/s, with their commands"),
    ]  # fmt: skip


def credential_figures(found: Loaded) -> list[Figure]:
    """What is promised of loading."""
    return [
        Figure(f"{found.credentials:,} credentials loaded at start", found.seconds, "s", f"<= {LOAD_S:g} s",
               found.seconds <= LOAD_S, f"ready {found.ready_s:.1f} s after the start of the process"),
        Figure("  memory of the process, at most", found.memory.peak_mib, "MiB", f"<= {LOAD_MIB:,.0f} MiB",
               found.memory.peak_mib <= LOAD_MIB, f"{found.memory.resident_mib:,.0f} MiB when ready"),
    ]  # fmt: skip


def heartbeat_figures(found: Heartbeats) -> list[Figure]:
    """What is promised of watching devices."""
    return [
        Figure(f"{found.devices:,} devices with a heartbeat each 15 s", found.core_share, "of a core",
               f"<= {HEARTBEATS_CORE:g}", found.core_share <= HEARTBEATS_CORE, f"{found.cpu_us:.0f} us each"),
        Figure("  kept of a device", found.kept_bytes, "bytes"),
    ]  # fmt: skip


def alert_figures(found: Alerting) -> list[Figure]:
    """What is promised of alerts."""
    per_s = 1e6 / found.transition_us
    return [
        Figure("transitions of alerts per second of CPU", per_s, "/s", f">= {TRANSITIONS_PER_S:,}",
               per_s >= TRANSITIONS_PER_S, f"{found.transition_us:.0f} us each"),
        Figure("steps told per second of CPU", 1e6 / found.step_us, "/s",
               note=f"{found.step_us:.0f} us each; {found.steps:,} steps in {found.messages:,} messages"),
    ]  # fmt: skip


def escalation_figures(found: Escalating) -> list[Figure]:
    """What is promised of alerts on Kafka."""
    rate = found.transitions
    return [
        Figure("transitions of alerts by one decide process", rate.per_s, "/s", f">= {TRANSITIONS_PER_S:,}",
               rate.per_s >= TRANSITIONS_PER_S, f"{rate.cpu_us:.0f} us of its CPU each"),
        Figure("an escalation is on its topic after it was due, p50", found.late_p50_ms, "ms",
               note=f"{found.escalations:,} escalations"),
        Figure("  p99", found.late_p99_ms, "ms"),
        Figure("  at most", found.late_max_ms, "ms", f"<= {LATE_MS:,.0f} ms", found.late_max_ms <= LATE_MS),
    ]  # fmt: skip


def lockdown_figures(found: Locked) -> list[Figure]:
    """What is promised of locking a large site down."""
    windows = {"meanwhile": found.meanwhile, "until every door has confirmed": found.confirming}
    return [
        Figure(f"lockdown of {found.doors:,} doors: last command received", found.commanded_s, "s",
               f"<= {COMMANDED_S:g} s", found.commanded_s <= COMMANDED_S,
               f"{found.cpu_s:.1f} s of CPU; every door confirmed after {found.confirmed_s:.1f} s"),
        *(Figure(f"  request to command at other sites {when}, p99", waited.latency.p99_ms, "ms",
                 f"<= {MEANWHILE_P99_MS:g} ms", waited.latency.p99_ms <= MEANWHILE_P99_MS,
                 f"p50 {waited.latency.p50_ms:.1f} ms; p99 of all rounds together {waited.pooled_p99_ms:.1f} ms; "
                 f"{waited.latency.answered} requests at {RATE}/s")
          for when, waited in windows.items()),
        Figure("  people of other sites who never got an answer", found.unanswered, "people", "0",
               found.unanswered == 0),
    ]  # fmt: skip


def storm_figures(found: Weathered) -> list[Figure]:
    """What is promised of a storm on Kafka."""
    wanted = found.controllers + found.alarms
    roots = found.told.get("network_outage", 0)
    told = ", ".join(f"{count} {kind}" for kind, count in found.told.items())
    return [
        Figure("alerts of a storm that wait under one", found.waiting, "alerts", f"{wanted:,} under 1",
               (found.waiting, roots) == (wanted, 1),
               f"{found.controllers} controllers offline within {found.offline_within_s:.0f} s; told: {told}"),
        Figure("  duress in the middle of it is told", found.duress_s, "s", f"<= {DURESS_S:g} s",
               found.duress_s <= DURESS_S),
        Figure("  nobody has anything left to read after", found.calm_s, "s"),
        Figure("  memory of the deciding process, at most", found.decide_mib, "MiB",
               note=f"of the notifying one {found.notify_mib:,.0f} MiB"),
    ]  # fmt: skip


async def measure(names: list[str], size: Size, folder: Path) -> tuple[list[Figure], dict[str, Any], list[str]]:
    """Run the named measurements; gives the figures, the raw findings and which servers they were made on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asking for Docker opens sockets that its client never closes
        servers = choose()
    figures: list[Figure] = []
    raw: dict[str, Any] = {}
    used = [servers.kafka] + ([servers.postgres, servers.clickhouse] if "record" in names else [])
    for server in used:
        say(server.description)
    addresses: dict[str, str] = {}
    try:
        for server in used:
            addresses[server.part] = await server.start(folder)
        async with Stage(addresses["kafka"], folder) as stage:
            endpoints = Endpoints(stage.kafka, addresses.get("postgres", ""), addresses.get("clickhouse", ""),
                                  "apache", "")  # fmt: skip
            for name in names:
                started = time.monotonic()
                say(f"{name} ...")
                found, more = await _one(name, stage, size, endpoints)
                figures += more
                raw[name] = found
                say(f"  took {time.monotonic() - started:.0f} s")
    finally:
        for server in used:
            await server.stop()
    return figures, raw, [server.description for server in used]


async def _one(name: str, stage: Stage, size: Size, endpoints: Endpoints) -> tuple[Any, list[Figure]]:
    if name == "throughput":
        found = await throughput(stage, size, say)
        return found, throughput_figures(found)
    if name == "latency":
        latency = await latencies(stage, size, RATES, say)
        return latency, latency_figures(latency)
    if name == "lockdown":
        locked = await lockdowns(stage, size.locked_doors, size.lockdowns)
        return locked, lockdown_figures(locked)
    if name == "record":
        recorded = await record(stage, size, endpoints)
        return recorded, record_figures(recorded)
    if name == "heartbeats":
        # In a thread of its own: the harness has an event loop of its own.
        alive = await asyncio.to_thread(heartbeats, size.devices)
        return alive, heartbeat_figures(alive)
    if name == "alerts":
        alerts = await asyncio.to_thread(alerting, size.doors)
        return alerts, alert_figures(alerts)
    if name == "escalation":
        escalated = await escalating(stage, size.alarms, size.escalations)
        return escalated, escalation_figures(escalated)
    if name == "storm":
        weathered = await weather(stage, size.silent)
        return weathered, storm_figures(weathered)
    loaded = await load_credentials(stage, size.credentials)
    return loaded, credential_figures(loaded)


def main() -> int:
    """Measure, print the table, write `bench/results.json`; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: a first look, not for comparing")
    parser.add_argument("--only", action="append", choices=NAMES, help="just this measurement; may be repeated")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    names = [name for name in NAMES if given.only is None or name in given.only]
    about = {"command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]), "quick": given.quick, **machine()}
    with tempfile.TemporaryDirectory(prefix="doorstream-bench-") as folder:
        try:
            figures, raw, servers = asyncio.run(measure(names, size, Path(folder)))
        except (BenchmarkError, StackError) as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    say()
    say(table(figures))
    write(figures, {**about, "servers": servers}, raw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
