"""Each store in a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.stack.model import Endpoints
from tests.sinks.databases import empty_clickhouse, fresh_postgres
from tests.sinks.stores import ClickHouse, Postgres, Store


@pytest.fixture(params=["postgres", "clickhouse"])
async def store(request: pytest.FixtureRequest, endpoints: Endpoints) -> AsyncIterator[Store]:
    fresh = fresh_postgres if request.param == "postgres" else empty_clickhouse
    async with fresh(endpoints) as address:
        made: Store = Postgres(address) if request.param == "postgres" else ClickHouse(address)
        yield made
        await made.sink.close()
