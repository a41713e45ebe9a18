"""Partitions come and go, and take with them what they should."""

from __future__ import annotations

import asyncio

from streams.engine.harness import Harness
from streams.engine.journal import Entry, Opened, to_output
from streams.engine.machine import IDLE_S
from streams.engine.memory import MemoryWriter
from streams.engine.options import MachineOptions
from streams.engine.ports import Bounds, Chunk
from tests.engine.conftest import MakeHarness
from tests.engine.toy import message
from tests.engine.watching import balances, events, journal, watching

JOURNAL = "doorstream.bank.journal"


def deposit(harness: Harness, amount: int = 1, partition: int = 0) -> None:
    harness.publish("requests", "a", message("deposit", "a", amount), partition=partition)


def test_a_revoked_partition_leaves_a_checkpoint_and_a_commit(make: MakeHarness) -> None:
    harness = make(partitions=2)
    for partition in (0, 1):
        deposit(harness, partition=partition)
    harness.run_until_idle()
    harness.worker.revoke([1])
    assert harness.worker.machine.owned == {0}
    assert harness.broker.committed == {("orders", 1): 0, ("requests", 1): 1, ("events", 1): 0}
    deposit(harness, partition=0)
    harness.start([1])
    deposit(harness, partition=1)
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (1, 0)
    assert balances(harness) == [1, 2, 1, 2]


def test_a_revocation_is_bounded_where_nothing_is_acknowledged(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(stop_timeout_s=8))
    harness.run_until_idle()
    held = harness.broker.fault("ledger")
    deposit(harness)
    harness.worker.step(0.05)
    started_s = harness.worker.now_s()
    harness.worker.revoke([0])
    assert 8 <= harness.worker.now_s() - started_s < 10
    assert harness.worker.machine.owned == frozenset()
    held.release()
    harness.start()
    deposit(harness)
    harness.run_until_idle()
    assert balances(harness) == [1, 2]


def test_a_stop_is_prompt(make: MakeHarness) -> None:
    harness = make(partitions=4)
    for partition in range(4):
        deposit(harness, partition=partition)
    harness.run_until_idle()
    worker = harness.worker
    started_s = worker.now_s()
    harness.stop()
    assert worker.now_s() - started_s < 0.5
    assert {place: at for place, at in harness.broker.committed.items() if place[0] == "requests"} == {
        ("requests", partition): 1 for partition in range(4)
    }


def test_a_lost_partition_writes_nothing_more(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    held = harness.broker.fault(JOURNAL)
    deposit(harness)
    harness.worker.step(0.05)
    harness.worker.lose([0])
    held.release()
    harness.worker.step(1)
    harness.clock.move(2)
    harness.worker.step(1)
    assert harness.broker.records("ledger") == []
    assert [type(item).__name__ for item in journal(harness)] == ["Opened", "Entry"]
    assert harness.worker.machine.health() == {}


def test_a_partition_taken_and_lost_during_its_recovery_is_let_go(make: MakeHarness) -> None:
    harness = make(start=False)
    held = harness.broker.fault(JOURNAL)
    worker = harness.start()
    worker.step(0.05)
    assert worker.machine.health()[0].phase == "recovering"
    worker.lose([0])
    held.release()
    worker.step(0.05)
    harness.start()
    deposit(harness)
    harness.run_until_idle()
    assert worker.machine.owned == frozenset()
    assert balances(harness) == [1]


def test_two_workers_share_the_partitions(make: MakeHarness) -> None:
    harness = make(partitions=4, start=False)
    first, second = harness.start([0, 1]), harness.start([2, 3])
    for partition in range(4):
        deposit(harness, partition + 1, partition)
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3, 4]
    assert first.machine.owned == {0, 1}
    assert second.machine.owned == {2, 3}


def test_each_partition_has_writers_of_its_own_and_they_close_with_it(make: MakeHarness) -> None:
    harness = make(partitions=2)
    opened: list[MemoryWriter] = []

    class Counting(MemoryWriter):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            opened.append(self)

    harness.crash()
    worker = harness.start([])

    async def writer() -> MemoryWriter:
        return Counting(worker.client)

    worker.client.writer = writer  # type: ignore[method-assign]
    worker.assign([0, 1])
    harness.run_until_idle()
    assert len(opened) == 4  # journal and outputs of each
    worker.revoke([0])
    worker.step(0.05)
    assert [one._closed for one in opened] == [True, True, False, False]
    worker.revoke([1])
    worker.step(0.05)
    assert all(one._closed for one in opened)


def test_a_full_queue_makes_the_feed_wait(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(queue_records=100))
    harness.run_until_idle()
    held = harness.broker.fault(JOURNAL)
    for _ in range(5_000):
        deposit(harness)
    harness.worker.step(0.5)
    # One fetch of the in-memory feed is 500 records; the next ones wait outside.
    assert harness.health()[0].backlog <= 1_000
    held.release()
    harness.run_until_idle()
    assert len(events(harness)) == 5_000


def test_chunks_of_partitions_that_are_not_owned_are_dropped(make: MakeHarness) -> None:
    harness = make(partitions=2, start=False)
    worker = harness.start([0])
    harness.run_until_idle()
    record = harness.publish("requests", "a", message("deposit"), partition=1)
    worker.run(worker.machine.feed(Chunk("requests", 1, (record,), 0)))
    harness.run_until_idle()
    assert harness.broker.records("ledger") == []


def test_assigning_what_is_owned_changes_nothing(make: MakeHarness) -> None:
    harness = make()
    deposit(harness)
    harness.run_until_idle()
    harness.worker.run(harness.worker.machine.assign([0, 0]))
    harness.run_until_idle()
    assert len(watching(harness).recoveries) == 1


def test_a_broker_that_cannot_be_reached_is_asked_again(make: MakeHarness) -> None:
    harness = make(start=False)
    worker = harness.start([])
    real = worker.client.bounds
    failures = [3]

    async def bounds(topic: str, partition: int) -> Bounds:
        await asyncio.sleep(0)
        if topic == JOURNAL and failures[0] > 0:
            failures[0] -= 1
            raise ConnectionError("no broker")
        return await real(topic, partition)

    worker.client.bounds = bounds  # type: ignore[method-assign]
    worker.assign([0])
    deposit(harness)
    harness.run_until_idle()
    assert len(watching(harness).drops) == 3
    assert balances(harness) == [1]


def test_references_that_are_not_loaded_hold_decisions_up(make: MakeHarness) -> None:
    harness = make(start=False)
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 1}')
    worker = harness.start(loaded=False)
    harness.publish("requests", "a", message("ask", rate="r"), partition=0)
    worker.step(1)
    assert not worker.machine.ready
    assert [item for item in journal(harness) if isinstance(item, Entry)] == []
    worker.load()
    harness.run_until_idle()
    assert [event["note"] for event in events(harness)] == ["view 1"]


def test_a_stall_in_the_middle_of_a_recovery_leaves_no_output_behind(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    held = harness.broker.fault("ledger", written=False)
    deposit(harness)
    harness.worker.step(0.05)
    harness.crash()
    held.times = 0
    appends: list[int] = []

    def after_opened(topic: str, _: int) -> bool:
        appends.append(topic == JOURNAL)
        return topic == JOURNAL and sum(appends) > 1

    stuck = harness.broker.fault(after_opened)
    harness.start()
    harness.worker.step(0.05)
    # About to decide again, which it does before anybody has noticed the stall.
    harness.clock.move(11)
    stuck.held.pop()()
    harness.worker.step(0.2)
    assert harness.health()[0].phase == "recovering"
    stuck.release()
    assert harness.run_until_idle()
    harness.advance(2)
    assert balances(harness) == [1]
    assert watching(harness).checkpoints[-1][0] == 1


def test_outputs_that_nobody_takes_stop_the_taking_of_inputs(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(most_unsent=1_000, queue_records=500))
    harness.run_until_idle()
    held = harness.broker.fault("ledger")
    for _ in range(10_000):
        deposit(harness)
    harness.worker.step(2)
    assert sum(messages for _, messages in watching(harness).decisions) <= 2_100
    held.release()
    harness.run_until_idle()
    assert len(events(harness)) == 10_000


def test_a_partition_that_was_full_goes_on_as_soon_as_something_is_acknowledged(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(most_unsent=10, smallest_share=10, cycle_records=10))
    harness.run_until_idle()
    held = harness.broker.fault("ledger")
    for _ in range(100):
        deposit(harness)
    harness.worker.step(2)
    before = sum(messages for _, messages in watching(harness).decisions)
    held.release()
    harness.worker.step(IDLE_S / 10)
    assert sum(messages for _, messages in watching(harness).decisions) > before


def test_somebody_who_opens_during_a_recovery_ends_it_before_anything_leaves(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    lost = harness.broker.fault("ledger", written=False)
    deposit(harness)
    harness.worker.step(0.05)
    harness.crash()
    lost.times = 0
    appends: list[int] = []

    def second(topic: str, _: int) -> bool:
        appends.append(topic == JOURNAL)
        return topic == JOURNAL and sum(appends) == 2

    held = harness.broker.fault(second, written=False)
    harness.start()
    harness.worker.step(0.05)
    harness.broker.write(to_output(JOURNAL, 0, Opened(1, "1")))
    held.release()
    harness.worker.step(0.02)
    assert harness.broker.records("ledger") == []
    assert "LostOwnershipError" in watching(harness).drops[0][1]
    assert harness.run_until_idle()
    assert balances(harness) == [1]


def test_a_machine_waits_for_references_as_new_as_the_last_owners(make: MakeHarness) -> None:
    harness = make()
    for percent in (1, 2):
        harness.publish("reference.rate", "r", b'{"name": "r", "percent": %d}' % percent)
    harness.publish("requests", "a", message("ask", rate="r"), partition=0)
    harness.run_until_idle()
    harness.advance(2)
    harness.stop()
    slow = harness.start(loaded=False)
    slow._tables.apply("reference.rate", harness.broker.records("reference.rate")[:1])
    slow._tables._loaded = True
    read, slow._read_references = slow._read_references, lambda: None  # type: ignore[method-assign]
    harness.publish("requests", "a", message("ask", rate="r"), partition=0)
    slow.step(0.9)
    assert harness.health()[0].phase == "recovering"
    slow._read_references = read  # type: ignore[method-assign]
    harness.run_until_idle()
    assert [event["note"] for event in events(harness)] == ["view 2", "view 2"]


def test_a_partition_that_decides_nothing_of_what_it_was_fed_shows_no_progress(make: MakeHarness) -> None:
    harness = make(partitions=2)
    deposit(harness)
    harness.run_until_idle()
    feeds = {("requests", 0): 12, ("requests", 1): 5, ("orders", 0): 0}
    machine = harness.worker.machine
    # Nothing waits: what the feed has passed beyond the last record was no record.
    assert machine.moving(feeds) == feeds
    held = harness.broker.fault(JOURNAL)
    for _ in range(10):
        deposit(harness)
        harness.worker.step(0.02)
    assert machine.moving(feeds) == feeds | {("requests", 0): 2}
    held.release()
    harness.run_until_idle()
    assert machine.moving(feeds) == feeds


def test_a_partition_that_waits_for_a_person_is_no_standstill(make: MakeHarness) -> None:
    harness = make(partitions=2, options=MachineOptions(dead_letter_consecutive=1, dead_letter_sources=1))
    harness.publish("requests", "a", message("nonsense"), partition=0)
    harness.run_until_idle()
    feeds = {("requests", 0): 0, ("requests", 1): 5}
    assert harness.worker.machine.moving(feeds) == {("requests", 1): 5}
