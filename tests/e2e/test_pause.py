"""A worker that is paused while another takes over, and then wakes up."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from streams.engine.journal import Entry, Opened, decode_record
from streams.engine.kafka_reading import to_records
from streams.engine.marks import POSITION_HEADER
from tests.e2e.cluster import SHAPE, Cluster, Workers
from tests.e2e.controllers import Controllers, Name, controllers_of
from tests.e2e.evidence import assert_a_replay_opens_nothing, assert_decided_once

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]
log = logging.getLogger(__name__)

RATE = 200
SESSION_TIMEOUT_S = 6
PAUSE_S = 10.0
"""Longer than the session time-out, so that the group has given its partitions away."""
AWAKE_S = 3.0


@pytest.mark.branch("A3.01", "A3.03")
async def test_a_worker_that_was_paused_decides_nothing_when_it_wakes_up(cluster: Cluster, workers: Workers) -> None:
    impatient = {"DOORSTREAM_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S)}
    first, second = workers.launch("decide", impatient), workers.launch("decide", impatient)
    await asyncio.gather(asyncio.to_thread(first.wait_ready), asyncio.to_thread(second.wait_ready))
    async with controllers_of(cluster) as controllers:
        load = asyncio.create_task(controllers.ask_steadily(SHAPE, RATE, PAUSE_S + AWAKE_S + 3))
        await asyncio.sleep(3)
        paused_s, before = time.monotonic(), len(controllers.sent)
        first.pause()
        await asyncio.sleep(1)
        await controllers.wait_decided(controllers.sent[before : before + RATE // 2])
        log.info("without decisions after a pause: %s", controllers.longest_silence_s(paused_s, time.monotonic()))
        await asyncio.sleep(max(0.0, paused_s + PAUSE_S - time.monotonic()))
        acted_on_before = set(controllers.acted)
        first.resume()
        await load
        await controllers.wait_decided()
        assert len(controllers.acted) > len(acted_on_before), "the doors go on opening"
        # It has come back and does its share: alone, it decides for all.
        assert await asyncio.to_thread(second.stop) == 0
        await controllers.wait_decided(await one_request_each(controllers))
        await assert_a_replay_opens_nothing(cluster, controllers)
        await assert_decided_once(cluster, controllers)
    await assert_outputs_come_from_valid_entries(cluster)
    await workers.stop()


async def one_request_each(controllers: Controllers) -> list[Name]:
    """Somebody asks at every site."""
    return [await controllers.ask(f"s{site}-c0-d0-in", f"s{site}-p0-n") for site in range(SHAPE.sites)]


async def assert_outputs_come_from_valid_entries(cluster: Cluster) -> None:
    """What was decided is what the journal's valid entries, each under the last `opened` before it, led to."""
    epochs: dict[int, int] = {}
    numbers: dict[int, int] = {}
    async for found in cluster.read("doorstream.site.journal"):
        item = decode_record(to_records([found], 0)[0])
        if isinstance(item, Opened):
            epochs[found.partition] = found.offset
        elif isinstance(item, Entry) and item.epoch == epochs.get(found.partition):
            assert item.number == numbers.get(found.partition, 0) + 1
            numbers[found.partition] = item.number
    async for record in cluster.read("access.decisions"):
        _, _, partition, number, _ = dict(record.headers)[POSITION_HEADER].split(b"/")
        assert int(partition) == record.partition
        assert int(number) <= numbers[record.partition]
