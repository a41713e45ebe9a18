"""What the stores answer about alerts (M3): open ones by age and level, time to acknowledge, rate and floods."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from deploy.stack.model import Endpoints
from schemas.record import Record
from sinks.clickhouse import ClickHouseSink, connect
from sinks.postgres import PostgresSink
from tests.core.desk import Desk
from tests.sinks.databases import empty_clickhouse, fresh_postgres
from tests.sinks.records import example

INCARNATION = 1_772_000_000


def a_shift() -> list[Record]:
    """Two alerts, one acknowledged after four minutes and one escalated, a low one, a flood, and a duress."""
    with Desk() as desk:
        desk.device("fault", code="lock")
        fault = desk.last().alert_id
        desk.wait(240)
        desk.ask("alert_acknowledged", fault, reason="on my way")
        desk.door("door_forced_open")
        desk.door("door_pre_alarm")
        desk.duress()
        desk.wait(300)
        desk.ask("alert_closed", fault, result="lock replaced", force=True, operator="op-1")
        desk.wait(3600)
        for number in range(12):
            desk.device("fault", device=f"x{number}", code="f")
        desk.wait(600)
        for number in range(12, 18):
            desk.device("fault", device=f"x{number}", code="f")
        desk.wait(600)
        for number in range(18, 21):
            desk.device("fault", device=f"x{number}", code="f")
        return [*desk.records("alerts"), *desk.records("duress.alerts")]


@pytest.fixture(scope="module")
def shift() -> list[Record]:
    return a_shift()


async def ask_clickhouse(url: str, *queries: str) -> list[Sequence[Any]]:
    """The rows of each query."""

    def ask() -> list[Sequence[Any]]:
        client = connect(url)
        try:
            return [client.query(query).result_rows for query in queries]
        finally:
            client.close()

    return await asyncio.to_thread(ask)


@pytest.mark.branch("M3.03", "M3.07", "M3.18")
async def test_postgresql_has_alerts_with_their_whole_history(endpoints: Endpoints, shift: list[Record]) -> None:
    async with fresh_postgres(endpoints) as dsn:
        sink = PostgresSink(dsn)
        await sink.write(INCARNATION, shift)
        await sink.write(INCARNATION, shift)
        await sink.close()
        connection = await asyncpg.connect(dsn)
        try:
            closed = await connection.fetchrow("select * from alerts where kind = 'fault' and state = 'closed'")
            history = await connection.fetch(
                "select * from alert_history where alert_id = $1 order by transition", closed["alert_id"]
            )
            low = await connection.fetchval("select state from alerts where kind = 'door_pre_alarm'")
            aged = await connection.fetch("select * from open_alerts_by_age order by severity")
            count = await connection.fetchval("select count(*) from alert_history")
            leaks = await connection.fetchval(
                "select (select count(*) from alerts where kind = 'duress') + (select count(*) from alert_history h "
                "join duress_alerts using (alert_id))"
            )
            duress = await connection.fetch("select type from duress_alert_history order by transition")
        finally:
            await connection.close()
    assert [(row["type"], row["operator_id"], row["comment"], row["result"]) for row in history] == [
        ("alert_raised", None, "", ""),
        ("alert_acknowledged", "op-7", "on my way", ""),
        ("alert_closed", "op-1", "", "lock replaced"),
    ]
    assert msgspec.json.decode(history[0]["notify"])["channels"] == ["email"]
    assert low == "closed"
    # The first of the flood have gone on to high while the last were still medium.
    assert {(row["severity"], row["aged"]) for row in aged} == {
        ("critical", "1 day and more"), ("high", "1 day and more"), ("medium", "1 day and more")
    }  # fmt: skip
    assert sum(row["alerts"] for row in aged) == 22
    assert count == sum(record.topic == "alerts" for record in shift)
    assert leaks == 0
    assert {row["type"] for row in duress} == {"alert_raised", "alert_repeated"}


async def test_clickhouse_answers_how_soon_and_how_many_and_knows_nothing_of_duress(
    endpoints: Endpoints, shift: list[Record]
) -> None:
    async with empty_clickhouse(endpoints) as url:
        sink = ClickHouseSink(url)
        await sink.write(INCARNATION, shift)
        old = Record("alerts", 5, 0, b"a", example("alert_raised", kind="duress"), (), 1_772_000_000_000)
        await sink.write(INCARNATION, [old])
        await sink.close()
        soon, rate, leaks, transitions = await ask_clickhouse(
            url,
            "select kind, alerts, acknowledged, escalated, mean_s from mean_time_to_acknowledge order by kind",
            "select alarms, flood from alarm_rate order by ten_minutes",
            "select count() from alert_transitions_rows where kind = 'duress'",
            "select count() from alert_transitions",
        )
    found = {row[0]: row[1:] for row in soon}
    assert found["fault"][:2] == (22, 1)
    assert found["fault"][3] == pytest.approx(240, abs=10)
    assert found["door_forced_open"][:3] == (1, 0, 1)
    assert [alarms for alarms, _ in rate] == [2, 12, 6, 3]
    assert [bool(flood) for _, flood in rate] == [False, True, True, False]
    assert leaks[0][0] == 0
    assert transitions[0][0] == sum(record.topic == "alerts" for record in shift)
