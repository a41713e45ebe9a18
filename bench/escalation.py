"""The alerts of a real worker on Kafka: how many transitions a second, and how punctual escalations are.

All that a deciding worker does otherwise it does here, too: its four processors share its event loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from bench.alerts import door_alarm
from bench.programs import BenchmarkError, Rate, watch, worker
from bench.stage import PARTITIONS, Plain, Stage
from bench.world import signed_reference
from schemas.alerts import Alert
from schemas.base import Message
from schemas.partitioning import partition_of
from schemas.places import Site
from schemas.registry import decode
from schemas.rules import Policy
from streams.commands.reading import read_topics
from streams.connection import started

ALARMS, ALERTS = "door.alarms", "alerts"
ROUNDS = 2
"""Transitions of an alert that the rate is taken of: the door is held open, and shut again."""
WITHIN_S = 180.0
HASTY = "bench-hasty"
LEVEL_S = 10
SPREAD_S = 6.0
"""The doors are held open one after the other for so long, so that not all is due at once."""
LEVELS = ("medium", "high", "critical")


class Escalating(NamedTuple):
    """Transitions/s, and milliseconds from when an escalation was due until the broker had it."""

    transitions: Rate
    escalations: int
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float


async def escalating(stage: Stage, doors: int, hasty: int) -> Escalating:
    """Let so many doors that were held open wait for a worker, and then so many alerts go up to critical."""
    await _put_on_file(stage)
    for partition, records in _rows(list(_waiting(stage, doors))).items():
        await stage.publish(ALARMS, partition, records)
    program, ready = worker("decide", stage.folder, stage.environment)
    async with program:
        rate = await watch(program, lambda: stage.count(ALERTS), ROUNDS * doors, within_s=WITHIN_S)
        await program.answers(ready)
        late = await _late_ms(stage, hasty)
    last = len(late) - 1
    return Escalating(rate, len(late), late[last // 2], late[int(last * 0.99)], late[last])


async def _put_on_file(stage: Stage) -> None:
    levels = [
        {"severity": level, "acknowledge_within_s": LEVEL_S, "channels": ["email"], "recipients": ["nobody"]}
        for level in LEVELS
    ]
    policy = {"policy_id": HASTY, "methods": [{"kind": "single", "factor": "card"}], "alerts": {"levels": levels}}
    records: list[tuple[str, str, Message]] = [("reference.policy", HASTY, Policy.model_validate(policy))]
    for site in _hasty_sites(stage):
        on_file = Site(site_id=site, name=site, time_zone="Europe/Berlin", policy_id=HASTY)
        records.append(("reference.site", site, on_file))
    for topic, id_, message in records:
        await stage.publish(topic, 0, [signed_reference(topic, id_, message)[1:]])


def _hasty_sites(stage: Stage) -> list[str]:
    return [f"{HASTY}-{number}" for number in range(stage.shape.sites)]


def _waiting(stage: Stage, doors: int) -> Iterator[tuple[str, Plain]]:
    """Doors that are held open and shut again, spread over all sites."""
    for turn, event in enumerate(("door_held_open", "door_closed")):
        for number in range(doors):
            site = f"s{number % stage.shape.sites}"
            door = f"{site}-held-{number}"
            yield site, (door.encode(), door_alarm(site, door, event, f"{door}/{turn}"), [])


def _rows(records: list[tuple[str, Plain]]) -> Mapping[int, list[Plain]]:
    rows: dict[int, list[Plain]] = {}
    for site, record in records:
        rows.setdefault(partition_of(site, PARTITIONS), []).append(record)
    return rows


async def _late_ms(stage: Stage, doors: int) -> list[float]:
    """How late each escalation was, in order of size.

    Raises:
        BenchmarkError: some never came.
    """
    since_ms, chance, sites = int(time.time() * 1000), random.Random(1), _hasty_sites(stage)  # noqa: S311 - load
    async with started(AIOKafkaProducer(**stage.options, acks="all")) as producer:
        for number in range(doors):
            site, door = sites[number % len(sites)], f"hasty-{number}"
            alarm = door_alarm(site, door, "door_held_open", f"{door}/{since_ms}")
            partition = partition_of(site, PARTITIONS)
            await producer.send(ALARMS, alarm, key=door.encode(), partition=partition)
            await asyncio.sleep(chance.random() * 2 * SPREAD_S / doors)
        await producer.flush()
    wanted, deadline = doors * (len(LEVELS) - 1), time.monotonic() + WITHIN_S
    await asyncio.sleep(LEVEL_S * (len(LEVELS) - 1))
    while len(late := await _escalations(stage.options, since_ms)) < wanted:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{len(late)} of {wanted} escalations after {WITHIN_S:g} s")
        await asyncio.sleep(1)
    return sorted(late)


async def _escalations(options: Mapping[str, Any], since_ms: int) -> list[float]:
    due: dict[str, datetime | None] = {}
    late: list[float] = []
    async for record in read_topics(options, [ALERTS], start_ms=since_ms, follow=False):
        alert: Alert = decode(ALERTS, record.value)
        if not alert.site_id.startswith(HASTY):
            continue
        was_due = due.get(alert.alert_id)
        if was_due is not None and getattr(alert, "type", "") == "alert_escalated":
            written = datetime.fromtimestamp(record.timestamp / 1000, UTC)
            late.append((written - was_due).total_seconds() * 1000)
        due[alert.alert_id] = alert.next_escalation_at
    return late
