"""What the topics and the stores say afterwards, and whether they agree."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer

from sinks.clickhouse import connect
from sinks.reading import HISTORY_TOPICS
from streams.connection import partitions_of, started
from streams.engine.marks import POSITION_HEADER, Marks
from tests.e2e.cluster import Cluster
from tests.e2e.controllers import Controllers, Name

DECISIONS = ("access_granted", "access_denied")


class Written(NamedTuple):
    """What a topic holds for a reader that keeps its marks: each message once. `repeats`: how many it dropped."""

    messages: list[dict[str, Any]]
    repeats: int


async def written(cluster: Cluster, topic: str, since_ms: int | None = None) -> Written:
    """Read a topic as every reader must. A record below the mark has to be a copy of one above it."""
    marks = Marks()
    messages: list[dict[str, Any]] = []
    first: dict[bytes, bytes] = {}
    repeats = 0
    async for record in cluster.read(topic, since_ms=since_ms):
        position = dict(record.headers)[POSITION_HEADER]
        if marks.accept(topic, record.partition, position):
            assert position not in first
            first[position] = record.value
            messages.append(json.loads(record.value))
        else:
            assert first[position] == record.value, f"position {position!r} was written with two contents"
            repeats += 1
    return Written(messages, repeats)


def name_of(decision: dict[str, Any]) -> Name:
    """Which request a decision is about."""
    return decision["device_id"], decision["boot"], decision["sequence"]


async def assert_decided_once(cluster: Cluster, controllers: Controllers) -> dict[Name, dict[str, Any]]:
    """Every request has one decision, every granted one that may actuate one command, and none was acted on twice.

    Gives the decisions by request.
    """
    await controllers.wait_settled()
    since_ms = controllers.since_ms
    found = await written(cluster, "access.decisions", since_ms)
    ours = [m for m in found.messages if m["type"] in DECISIONS and m["boot"] == controllers.boot]
    decisions = {name_of(message): message for message in ours}
    assert len(ours) == len(decisions), "a request was decided twice"
    assert len({message["decision_id"] for message in ours}) == len(ours)
    assert set(decisions) == set(controllers.sent)
    commands = await access_doors(cluster, since_ms)
    ours_by_decision = {message["decision_id"]: message for message in ours}
    by_decision = Counter(c["decision_id"] for c in commands if c["decision_id"] in ours_by_decision)
    actuating = {m["decision_id"] for m in ours if m["type"] == "access_granted" and m["actuated"]}
    assert by_decision == dict.fromkeys(actuating, 1), "not exactly one command for each grant"
    assert len({c["command_id"] for c in commands}) == len(commands)
    assert_sequences_rise(commands)
    assert set(controllers.acted.values()) <= {1}
    assert set(controllers.opened.values()) <= {1}
    granted = {name for name, message in decisions.items() if message["type"] == "access_granted"}
    assert set(controllers.opened) <= granted
    return decisions


async def access_doors(cluster: Cluster, since_ms: int | None = None) -> list[dict[str, Any]]:
    """The commands to open a door, each once."""
    return [m for m in (await written(cluster, "device.commands", since_ms)).messages if m["type"] == "access_door"]


def assert_sequences_rise(commands: list[dict[str, Any]]) -> None:
    """Each door's commands are numbered upwards in the order in which they were written."""
    last: dict[str, int] = {}
    for command in commands:
        assert command["sequence"] > last.get(command["door_id"], -1), command
        last[command["door_id"]] = command["sequence"]


async def assert_a_replay_opens_nothing(cluster: Cluster, controllers: Controllers) -> None:
    """Hearing the whole topic of commands again moves no lock."""
    await controllers.wait_settled()
    acted = Counter(controllers.acted)
    async for record in cluster.read("device.commands", since_ms=controllers.since_ms):
        await controllers.hear(record)
    assert controllers.acted == acted


# -- the stores ---------------------------------------------------------------------------------------------------


async def wait_recorded(cluster: Cluster, within_s: float = 150.0) -> None:
    """Wait until both stores stand at the ends that their topics have now."""
    ends = await _ends(cluster)
    deadline = time.monotonic() + within_s
    while True:
        behind = {store: place for store, place in (await _positions(cluster, ends)).items() if place}
        if not behind:
            return
        assert time.monotonic() < deadline, f"behind after {within_s} s: {behind}"
        await asyncio.sleep(0.5)


async def _ends(cluster: Cluster) -> dict[tuple[str, int], int]:
    async with started(AIOKafkaConsumer(**cluster.options, enable_auto_commit=False)) as consumer:
        places = [place for found in (await partitions_of(consumer, HISTORY_TOPICS)).values() for place in found]
        return {(tp.topic, tp.partition): end for tp, end in (await consumer.end_offsets(places)).items() if end}


async def _positions(cluster: Cluster, ends: dict[tuple[str, int], int]) -> dict[str, dict[tuple[str, int], int]]:
    question = "select topic, partition, max(next_offset) from sink_offsets group by topic, partition"
    rows = {"postgres": await postgres(cluster, question), "clickhouse": await clickhouse(cluster, question)}
    behind = {}
    for store, found in rows.items():
        at = {(topic, partition): offset for topic, partition, offset in found}
        behind[store] = {place: end - at.get(place, 0) for place, end in ends.items() if at.get(place, 0) < end}
    return behind


async def postgres(cluster: Cluster, question: str) -> list[tuple[Any, ...]]:
    """The rows that PostgreSQL answers with."""
    connection = await asyncpg.connect(cluster.postgres)
    try:
        return [tuple(row) for row in await connection.fetch(question)]
    finally:
        await connection.close()


async def clickhouse(cluster: Cluster, question: str) -> list[tuple[Any, ...]]:
    """The rows that ClickHouse answers with."""

    def ask() -> list[tuple[Any, ...]]:
        client = connect(cluster.clickhouse)
        try:
            return [tuple(row) for row in client.query(question).result_rows]
        finally:
            client.close()

    return await asyncio.to_thread(ask)


async def assert_stores_agree(cluster: Cluster) -> None:
    """Both stores hold exactly what the topics hold, and the roll-ups count exactly that."""
    await wait_recorded(cluster)
    messages = (await written(cluster, "access.decisions")).messages
    decisions = [m for m in messages if m["type"] in DECISIONS]
    outcome = {"access_granted": "granted", "access_denied": "denied"}
    wanted = sorted((m["decision_id"], outcome[m["type"]], m["reason"] or "") for m in decisions)
    question = "select decision_id::text, outcome, coalesce(reason, '') from decisions"
    assert sorted(await postgres(cluster, question)) == wanted
    assert sorted(await clickhouse(cluster, "select toString(decision_id), outcome, reason from decisions")) == wanted
    await _assert_roll_ups(cluster, decisions, outcome)
    await _assert_passages(cluster, [m for m in messages if m["type"] in ("access_taken", "access_not_taken")])
    await _assert_commands(cluster)


async def _assert_roll_ups(cluster: Cluster, decisions: list[dict[str, Any]], outcome: dict[str, str]) -> None:
    edges = {"hour": "site_id", "device": "device_id", "cardholder": "cardholder_id", "zone": "zone_to"}
    for view, name in edges.items():
        question = f"select {name}, outcome, sum(decisions) from decisions_by_{view} group by {name}, outcome"
        counted = {(key, result): count for key, result, count in await clickhouse(cluster, question)}
        assert counted == Counter((m[name] or "", outcome[m["type"]]) for m in decisions), view


async def _assert_passages(cluster: Cluster, passages: list[dict[str, Any]]) -> None:
    wanted = sorted((m["decision_id"], m["type"].removeprefix("access_")) for m in passages)
    assert sorted(await postgres(cluster, "select decision_id::text, outcome from passages")) == wanted
    assert sorted(await clickhouse(cluster, "select toString(decision_id), outcome from passages")) == wanted
    question = "select site_id, outcome, sum(passages) from passages_by_hour group by site_id, outcome"
    counted = {(site, result): count for site, result, count in await clickhouse(cluster, question)}
    assert counted == Counter((m["site_id"], m["type"].removeprefix("access_")) for m in passages)


async def _assert_commands(cluster: Cluster) -> None:
    commands = await access_doors(cluster)
    wanted = sorted((m["command_id"], m["decision_id"] or "") for m in commands)
    question = "select command_id::text, coalesce(decision_id::text, '') from commands where type = 'access_door'"
    assert sorted(await postgres(cluster, question)) == wanted
    shown = "toString(command_id), coalesce(toString(decision_id), '')"
    question = f"select {shown} from command_events where type = 'access_door'"
    assert sorted(await clickhouse(cluster, question)) == wanted
