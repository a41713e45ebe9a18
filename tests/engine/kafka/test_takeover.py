"""Several workers in one group: who decides what, how long nobody does, and that nothing is lost or doubled."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.record import Record
from streams.engine.journal import Entry, Opened, decode_record
from streams.engine.marks import POSITION_HEADER, Marks
from tests.engine.kafka.banks import INPUTS, topics_of
from tests.engine.kafka.conftest import Cluster
from tests.engine.kafka.processes import WorkerProcess, owners, wait_for
from tests.engine.toy import message

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

PARTITIONS = 4
SESSION_S = 2.0


class Group:
    def __init__(self, cluster: Cluster, prefix: str, folder: Path) -> None:
        self.cluster = cluster
        self.prefix = prefix
        self.folder = folder
        self.workers: list[WorkerProcess] = []
        self.sent = 0
        cluster.make_topics(topics_of(prefix), PARTITIONS)

    def start(self) -> WorkerProcess:
        worker = WorkerProcess(self.cluster.bootstrap, self.prefix, self.folder, session_s=SESSION_S)
        self.workers.append(worker)
        return worker

    def publish(self, count: int) -> None:
        for _ in range(count):
            partition = self.sent % PARTITIONS
            body = message("deposit", f"a{partition}", 1, id=self.sent)
            self.cluster.publish(self.prefix + "orders", f"a{partition}", body, partition)
            self.sent += 1
        self.cluster.flush()

    def shared(self) -> bool:
        """Every partition has exactly one owner, and every live worker has some."""
        owned = owners(self.workers)
        live = [at for at, worker in enumerate(self.workers) if worker.alive and not worker.paused]
        one_each = sorted(owned) == list(range(PARTITIONS)) and all(len(who) == 1 for who in owned.values())
        return one_each and {who[0] for who in owned.values()} == set(live)

    def ledger(self, partition: int) -> list[Record]:
        return self.cluster.read(self.prefix + "ledger", partition)

    def seen(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for partition in range(PARTITIONS):
            marks = Marks()
            found.extend(
                json.loads(record.value or b"")
                for record in self.ledger(partition)
                if marks.accept(record.topic, record.partition, record.header(POSITION_HEADER))
            )
        return found

    def all_decided(self) -> bool:
        return len(self.seen()) >= self.sent

    def assert_exact(self) -> None:
        """Each partition's balance rose by one with each message: none was lost, none counted twice."""
        by_account: dict[str, list[int]] = {}
        for event in self.seen():
            by_account.setdefault(event["account"], []).append(event["balance"])
        assert sum(map(len, by_account.values())) == self.sent
        for balances in by_account.values():
            assert balances == list(range(1, len(balances) + 1))


@pytest.fixture
def group(cluster: Cluster, prefix: str, tmp_path: Path) -> Iterator[Group]:
    made = Group(cluster, prefix, tmp_path)
    yield made
    for worker in made.workers:
        worker.kill()


def test_a_clean_stop_hands_over_in_less_than_two_seconds(group: Group) -> None:
    first = group.start()
    wait_for(group.shared)
    second = group.start()
    wait_for(group.shared)
    group.publish(40)
    wait_for(group.all_decided)
    started = time.monotonic()
    assert first.stop() < 5
    wait_for(group.shared)
    took_s = time.monotonic() - started
    group.publish(40)
    wait_for(group.all_decided)
    assert took_s < 2, took_s
    assert second.stop() < 5
    group.assert_exact()
    positions = group.cluster.run(group.cluster.admin.list_consumer_group_offsets(f"doorstream-{group.prefix}bank"))
    ends = group.cluster.ends([group.prefix + "orders"], PARTITIONS)
    told = {(tp.topic, tp.partition): found.offset for tp, found in positions.items() if tp.topic.endswith("orders")}
    assert told == ends


def test_topics_of_one_partition_number_stay_together(group: Group) -> None:
    group.start()
    group.start()
    wait_for(group.shared)
    for at, worker in enumerate(group.workers):
        for inputs in worker.status()["inputs"].values():
            assert set(inputs) == {group.prefix + topic for topic in INPUTS}, at


def test_killed_and_joining_workers_under_load_lose_and_double_nothing(group: Group) -> None:
    group.start()
    group.start()
    wait_for(group.shared)
    for round_ in range(3):
        group.publish(200)
        group.workers[-2].kill()
        group.publish(200)
        group.start()
        if round_ == 1:
            wait_for(group.shared)
    wait_for(group.shared)
    wait_for(group.all_decided)
    group.assert_exact()


def test_a_paused_owner_decides_nothing_after_it_wakes_up(group: Group) -> None:
    paused = group.start()
    wait_for(group.shared)
    group.publish(100)
    wait_for(group.all_decided)
    # Messages lie in its socket and its queues while it sleeps.
    paused.pause()
    group.publish(100)
    group.start()
    wait_for(group.shared)
    wait_for(group.all_decided)
    before = {partition: len(group.ledger(partition)) for partition in range(PARTITIONS)}
    paused.resume()
    wait_for(group.shared)
    group.publish(100)
    wait_for(group.all_decided)
    group.assert_exact()
    for partition in range(PARTITIONS):
        repeated(group.ledger(partition), before[partition])
        assert journal_is_sound(group, partition)


def repeated(records: list[Record], before: int) -> None:
    """What repeats an earlier position is the same record, byte for byte."""
    seen: dict[bytes | None, bytes | None] = {}
    assert len(records) >= before
    for record in records:
        assert seen.setdefault(record.header(POSITION_HEADER), record.value) == record.value


def journal_is_sound(group: Group, partition: int) -> bool:
    """Valid entries are numbered without a hole, each under the last `opened` before it."""
    epoch, number = -1, 0
    for record in group.cluster.read(f"doorstream.{group.prefix}bank.journal", partition):
        item = decode_record(record)
        if isinstance(item, Opened):
            epoch = record.offset
        elif isinstance(item, Entry) and item.epoch == epoch and item.number == number + 1:
            number += 1
    return number > 0
