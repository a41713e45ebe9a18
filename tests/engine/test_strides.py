"""A partition that is recovered for ever is seen, and one whose recovery takes long is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from schemas.record import Record
from streams.engine.harness import Harness
from streams.engine.memory import ManualClock, MemoryBroker, MemoryClient
from streams.engine.options import MachineOptions
from streams.engine.ports import TopicPartition, UnknownOutcome
from streams.engine.strides import CountedLogs, Strides
from streams.engine.watchdog import Stalls
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import JOURNAL, deposit
from tests.engine.watching import balances, watching

LOOK_S = 5.0


def looks(harness: Harness, minutes: int, move: Callable[[], None]) -> list[list[TopicPartition]]:
    """What a watchdog says, look by look."""
    stalls, found = Stalls(limit_s=60), []
    worker, machine = harness.worker, harness.worker.machine
    for _ in range(minutes * 12):
        move()
        harness.clock.move(LOOK_S)
        worker.step(0.5)
        positions = machine.moving(worker.client.positions)
        ends = {place: harness.broker.log(*place).end for place in positions}
        found.append(stalls.look(harness.clock.monotonic_s(), positions, ends, machine.strides()))
    return found


def test_a_partition_that_never_comes_through_its_recovery_stands_still(make: MakeHarness) -> None:
    harness = make(partitions=2)
    for partition in (0, 1):
        harness.publish("requests", "a", b"{}", partition=partition)
    harness.run_until_idle()
    harness.broker.fault(lambda topic, at: topic == JOURNAL and at == 0, UnknownOutcome("no answer"))
    deposit(harness)
    found = looks(harness, 3, lambda: None)
    assert harness.health()[0].phase == "recovering"
    assert len(watching(harness).drops) > 5
    assert found[10] == []
    assert {place for stalled in found for place in stalled} == {("orders", 0), ("requests", 0), ("events", 0)}


def test_a_partition_that_recovers_and_fails_over_and_over_stands_still(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(most_unsent=1))
    deposit(harness)
    harness.run_until_idle()
    harness.broker.fault("ledger", UnknownOutcome("no answer"), written=False)
    for _ in range(3):
        deposit(harness)
    found = looks(harness, 3, lambda: None)
    assert len(watching(harness).recoveries) > 5
    assert ("requests", 0) in found[-1]


def test_a_recovery_that_takes_minutes_and_gets_on_is_left_alone(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(checkpoint_interval_s=10_000))
    for _ in range(40):
        deposit(harness)
        harness.run_until_idle()
    harness.crash()
    worker = harness.start([])
    real, gate = worker.client.read, asyncio.Semaphore(0)

    async def slow(topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        async for records in real(topic, partition, start, stop):
            for record in records:
                await gate.acquire()
                yield [record]

    worker.client.read = slow  # type: ignore[method-assign]
    worker._tasks.append(worker._loop.create_task(worker.machine.assign([0])))
    found = looks(harness, 12, gate.release)
    assert not any(found)
    assert harness.run_until_idle()
    assert balances(harness)[-1] == 40


async def test_only_what_no_attempt_had_reached_is_a_stride() -> None:
    broker = MemoryBroker(ManualClock())
    strides = Strides()

    async def attempt() -> None:
        epoch = broker.publish(JOURNAL, None, b"opened").offset
        logs = CountedLogs(MemoryClient(broker), strides, JOURNAL, strides.begin(epoch))
        async for _ in logs.read(JOURNAL, 0, 0, epoch + 1):
            pass

    for _ in range(10):
        broker.publish(JOURNAL, None, b"entry")
    for _ in range(3):
        await attempt()
        assert strides.furthest == 10
    strides.take()
    assert strides.furthest == 11
    strides.forget()
    await attempt()
    assert strides.furthest == 13
