"""Workers that are killed under load: every request is decided once, and whatever is stored agrees."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from tests.e2e.cluster import SHAPE, Cluster, Workers
from tests.e2e.controllers import controllers_of
from tests.e2e.evidence import assert_a_replay_opens_nothing, assert_decided_once, assert_stores_agree

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]
log = logging.getLogger(__name__)

RATE = 200
SECONDS = 20.0


@pytest.mark.branch("A3.01", "A3.03", "A3.05")
async def test_three_kills_under_load_lose_and_double_nothing(cluster: Cluster, workers: Workers) -> None:
    record = await workers.start("record")
    first, second = workers.launch("decide"), workers.launch("decide")
    await asyncio.gather(asyncio.to_thread(first.wait_ready), asyncio.to_thread(second.wait_ready))
    async with controllers_of(cluster) as controllers:
        load = asyncio.create_task(controllers.ask_steadily(SHAPE, RATE, SECONDS))
        await asyncio.sleep(3)
        # A standby is there: it takes over once the group has noticed.
        killed_s, before = time.monotonic(), len(controllers.sent)
        first.kill()
        await asyncio.sleep(1)
        await controllers.wait_decided(controllers.sent[before : before + RATE // 2])
        log.info("without decisions after a kill: %s", controllers.longest_silence_s(killed_s, time.monotonic()))
        # Nobody is left: a restarted worker goes on, in a backlog.
        third = workers.launch("decide")
        second.kill()
        await asyncio.to_thread(third.wait_ready)
        await asyncio.sleep(1)
        record.kill()
        workers.launch("record")
        # The one that has just recovered dies while it catches up.
        third.kill()
        workers.launch("decide")
        await load
        await controllers.wait_decided()
        log.info("acted on %s of %s, refused %s", len(controllers.acted), len(controllers.sent), controllers.refused)
        await assert_a_replay_opens_nothing(cluster, controllers)
        decisions = await assert_decided_once(cluster, controllers)
    assert len(controllers.sent) == RATE * SECONDS
    assert {decision["type"] for decision in decisions.values()} == {"access_granted"}
    assert len(controllers.acted) > RATE, "the doors must have been opening"
    await assert_stores_agree(cluster)
    await workers.stop()
