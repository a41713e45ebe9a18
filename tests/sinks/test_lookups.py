from __future__ import annotations

import asyncio

import pytest

from deploy.stack.model import Endpoints
from sinks.lookups import PostgresLookups
from sinks.reading import SinkUnavailable
from streams.core.processor import Lookup
from tests.e2e.proxy import proxy_of
from tests.sinks.databases import fresh_postgres

PATIENCE_S = 0.05
ASKED = [Lookup("card", "credential", "card_number", "10000017")]


async def test_a_connection_is_made_even_where_it_takes_longer_than_anybody_waits(endpoints: Endpoints) -> None:
    async with fresh_postgres(endpoints) as dsn, proxy_of(dsn) as (proxy, through):
        proxy.delay_s = 4 * PATIENCE_S
        lookups = PostgresLookups(through, incarnation=1)
        asked = 0
        async with asyncio.timeout(20):
            while True:
                asked += 1
                try:
                    found = await asyncio.wait_for(lookups.fetch(ASKED), PATIENCE_S)
                except TimeoutError:
                    continue
                break
        assert found == {ASKED[0]: []}
        assert asked > 1
        await lookups.close()


async def test_after_an_outage_the_database_is_asked_again(endpoints: Endpoints) -> None:
    async with fresh_postgres(endpoints) as dsn, proxy_of(dsn) as (proxy, through):
        lookups = PostgresLookups(through, incarnation=1)
        lookups.begin()
        assert await lookups.fetch(ASKED) == {ASKED[0]: []}
        await proxy.cut()
        with pytest.raises(SinkUnavailable):
            await lookups.fetch(ASKED)
        await proxy.join()
        async with asyncio.timeout(20):
            assert await lookups.fetch(ASKED) == {ASKED[0]: []}
        await lookups.close()
