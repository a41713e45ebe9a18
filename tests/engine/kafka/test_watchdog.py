from __future__ import annotations

import asyncio
import subprocess
import sys

from streams.engine.ports import TopicPartition, TransientError
from streams.engine.watchdog import EXIT_STALLED, Stalls, Watchdog

PLACE = ("orders", 0)


def test_lag_without_progress_is_a_standstill() -> None:
    stalls = Stalls(limit_s=60)
    assert stalls.look(0, {PLACE: 5}, {PLACE: 9}) == []
    assert stalls.look(59, {PLACE: 5}, {PLACE: 12}) == []
    assert stalls.look(60, {PLACE: 5}, {PLACE: 12}) == [PLACE]
    assert (stalls.progress[PLACE].lag, stalls.progress[PLACE].idle_s) == (7, 60)


def test_progress_however_slow_is_none() -> None:
    stalls = Stalls(limit_s=60)
    for now in range(0, 600, 50):
        assert stalls.look(now, {PLACE: now}, {PLACE: 10_000}) == []


def test_a_seek_backwards_is_progress_and_no_lag_is_no_standstill() -> None:
    stalls = Stalls(limit_s=60)
    assert stalls.look(0, {PLACE: 5}, {PLACE: 9}) == []
    assert stalls.look(59, {PLACE: 3}, {PLACE: 9}) == []
    assert stalls.look(118, {PLACE: 3}, {PLACE: 9}) == []
    assert stalls.look(500, {PLACE: 9}, {PLACE: 9}) == []
    assert stalls.look(501, {PLACE: 9}, {PLACE: 10}) == []


def test_a_partition_that_comes_back_starts_anew() -> None:
    stalls = Stalls(limit_s=60)
    assert stalls.look(0, {PLACE: 5}, {PLACE: 9}) == []
    assert stalls.look(30, {}, {}) == []
    assert stalls.look(70, {PLACE: 5}, {PLACE: 9}) == []
    assert stalls.look(130, {PLACE: 5}, {PLACE: 9}) == [PLACE]


def test_a_partition_that_is_recovered_in_vain_over_and_over_stands_still() -> None:
    stalls = Stalls(limit_s=60)
    found = []
    for now in range(0, 100, 5):
        # Every other time it runs for a while, and decides nothing; each recovery comes as far as the first.
        strides = {PLACE[1]: 40} if now % 10 else {}
        found.append(stalls.look(now, {PLACE: 5}, {PLACE: 9}, strides))
    assert found.index([PLACE]) == 13


def test_a_recovery_that_gets_further_is_no_standstill_and_one_that_does_not_is() -> None:
    stalls = Stalls(limit_s=60)
    ends = {PLACE: 5}
    for now in range(0, 600, 50):
        assert stalls.look(now, {PLACE: 5}, ends, {PLACE[1]: now}) == []
    # Nothing waits at its inputs, but its deadlines do.
    assert stalls.look(660, {PLACE: 5}, ends, {PLACE[1]: 10}) == [PLACE]
    assert stalls.look(670, {PLACE: 5}, {}, {PLACE[1]: 10}) == []


def test_an_outage_of_the_broker_is_no_standstill_when_it_is_over() -> None:
    reasons: list[str] = []
    away = True

    async def ends(places: list[TopicPartition]) -> dict[TopicPartition, int]:
        if away:
            raise TransientError("away")
        return dict.fromkeys(places, 9)

    dog = Watchdog(lambda: {PLACE: 5}, ends, limit_s=60, give_up=reasons.append)
    for now in (0.0, 300.0):
        asyncio.run(dog._look(now))
    away = False
    asyncio.run(dog._look(305.0))
    assert reasons == []
    asyncio.run(dog._look(365.0))
    assert len(reasons) == 1


async def test_the_watchdog_gives_up_once_and_is_no_longer_live() -> None:
    reasons: list[str] = []

    async def ends(places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 9)

    dog = Watchdog(lambda: {PLACE: 5}, ends, limit_s=0, give_up=reasons.append)
    assert dog.live
    running = asyncio.ensure_future(dog.run())
    await asyncio.sleep(0.01)
    running.cancel()
    assert not dog.live
    assert len(reasons) == 1
    assert "orders/0" in reasons[0]


async def test_a_broker_that_can_not_be_asked_is_no_standstill() -> None:
    reasons: list[str] = []

    async def ends(_places: list[TopicPartition]) -> dict[TopicPartition, int]:
        raise TransientError("away")

    dog = Watchdog(lambda: {PLACE: 5}, ends, limit_s=0, give_up=reasons.append)
    running = asyncio.ensure_future(dog.run())
    await asyncio.sleep(0.01)
    running.cancel()
    assert dog.live
    assert reasons == []


def test_the_process_ends_with_the_stacks_of_its_threads() -> None:
    code = "from streams.engine.watchdog import end_process; end_process('no progress')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_STALLED
    assert "watchdog: no progress" in done.stderr
    assert "end_process" in done.stderr
