"""Databases that go away and recorders that stop, while doors go on opening."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.cluster import SHAPE, Cluster, Workers
from tests.e2e.controllers import Controllers, controllers_of
from tests.e2e.evidence import assert_decided_once, assert_stores_agree
from tests.e2e.proxy import proxy_of

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

RATE = 200
AWAY_S = 6.0


@pytest.mark.branch("A2.03", "A2.15", "A3.05")
async def test_databases_that_are_away_hold_up_no_door_and_miss_nothing(cluster: Cluster, workers: Workers) -> None:
    async with proxy_of(cluster.postgres) as (postgres, dsn), proxy_of(cluster.clickhouse) as (clickhouse, url):
        through = {"DOORSTREAM_POSTGRES": dsn, "DOORSTREAM_CLICKHOUSE": url}
        decide, record = workers.launch("decide", through), workers.launch("record", through)
        await asyncio.gather(asyncio.to_thread(decide.wait_ready), asyncio.to_thread(record.wait_ready))
        async with controllers_of(cluster) as controllers:
            load = asyncio.create_task(controllers.ask_steadily(SHAPE, RATE, 2 * AWAY_S + 2))
            await asyncio.sleep(1)
            await asyncio.gather(postgres.cut(), clickhouse.cut())
            # Strangers come, too: what the views lack would be asked of the database that is away.
            strangers = await ask_strangers(controllers)
            await asyncio.sleep(AWAY_S)
            await asyncio.gather(postgres.join(), clickhouse.join())
            # The recorder is stopped and started under load, and ClickHouse goes away once more.
            assert await asyncio.to_thread(record.stop) == 0
            workers.launch("record", through)
            await clickhouse.cut()
            await load
            await clickhouse.join()
            await controllers.wait_decided()
            decisions = await assert_decided_once(cluster, controllers)
        for name in strangers:
            assert decisions[name]["type"] == "access_denied"
            assert decisions[name]["reason"] in ("authentication_unavailable", "unknown_credential")
        assert set(controllers.opened) == set(controllers.sent) - strangers, "a door waited for a database"
        await assert_stores_agree(cluster)
        await workers.stop()


async def ask_strangers(controllers: Controllers) -> set[tuple[str, int, int]]:
    """Cards that nobody knows, at every site."""
    return {await controllers.ask(f"s{site}-c0-d0-in", f"stranger-{site}") for site in range(SHAPE.sites)}
