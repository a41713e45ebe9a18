from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.stack.model import Endpoints
from tests.e2e.cluster import Cluster, Workers, prepared, workers_of


@pytest.fixture(scope="session")
def cluster(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """One for all end-to-end tests: what the earlier ones left behind is part of the later ones' life."""
    if endpoints.broker == "embedded":
        pytest.skip("end-to-end proofs need Apache Kafka: Docker, or Java 17 and Maven, or DOORSTREAM_TEST_KAFKA")
    folder = tmp_path_factory.mktemp("e2e")
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, prepared(endpoints, folder)).result()


@pytest.fixture
async def workers(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Workers]:
    async with workers_of(cluster, tmp_path) as found:
        yield found
