"""Nothing leaves before the journal has it, and who lost the journal sends nothing."""

from __future__ import annotations

import pytest

from streams.core.processor import Verification
from streams.engine.harness import Harness
from streams.engine.journal import Checkpointed, Entry, Opened, to_output
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError, UnknownOutcome
from tests.engine.conftest import MakeHarness
from tests.engine.test_resolve import Pins
from tests.engine.toy import Bank, message
from tests.engine.watching import balances, events, journal, kinds, watching

JOURNAL = "doorstream.bank.journal"


def deposit(harness: Harness, amount: int = 1, partition: int = 0, topic: str = "requests") -> None:
    harness.publish(topic, "a", message("deposit", "a", amount), partition=partition)


def test_outputs_wait_for_the_journal(make: MakeHarness) -> None:
    bank = Bank()
    harness = make(bank)
    harness.run_until_idle()
    held = harness.broker.fault(JOURNAL)
    deposit(harness)
    harness.worker.step(0.05)
    assert harness.broker.records("ledger") == []
    assert bank.decided == 1  # decided speculatively meanwhile
    held.release()
    harness.run_until_idle()
    assert balances(harness) == [1]


def test_one_append_has_a_cycle_of_a_partition(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(smallest_share=100))
    for _ in range(100):
        deposit(harness)
    harness.run_until_idle()
    entries = [item for item in journal(harness) if isinstance(item, Entry)]
    assert [(entry.chunks[0].start, entry.chunks[0].stop) for entry in entries] == [(0, 100)]


def test_a_slow_journal_holds_up_its_own_partition_alone(make: MakeHarness) -> None:
    harness = make(partitions=2)
    harness.run_until_idle()
    held = harness.broker.fault(lambda topic, partition: topic == JOURNAL and partition == 0)
    deposit(harness, partition=0)
    harness.worker.step(0.01)
    deposit(harness, partition=1)
    harness.worker.step(1)
    assert [record.partition for record in harness.broker.records("ledger")] == [1]
    held.release()
    harness.run_until_idle()
    assert [record.partition for record in harness.broker.records("ledger")] == [0, 1]


@pytest.mark.parametrize("written", [True, False])
def test_an_unknown_outcome_of_the_journal_drops_and_recovers_that_partition(
    make: MakeHarness, *, written: bool
) -> None:
    harness = make(partitions=2)
    harness.run_until_idle()
    harness.broker.fault(
        lambda topic, partition: topic == JOURNAL and partition == 0,
        UnknownOutcome("time-out"),
        written=written,
        times=1,
    )
    for partition in (0, 1):
        deposit(harness, partition=partition)
    harness.run_until_idle()
    deposit(harness, 2)
    harness.run_until_idle()
    assert [partition for partition, _ in watching(harness).drops] == [0]
    assert [event["balance"] for event in events(harness)] == [1, 3, 1]


def test_a_transient_failure_of_the_journal_is_retried_without_recovery(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    harness.broker.fault(JOURNAL, TransientError("not enough replicas"), written=False, times=3)
    deposit(harness)
    harness.run_until_idle()
    assert balances(harness) == [1]
    assert watching(harness).drops == []
    assert len(watching(harness).retries) == 3


def test_another_offset_than_the_expected_one_drops_the_partition_before_anything_leaves(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    # Somebody else's record, which the rules make void: it has no epoch of an owner.
    harness.broker.write(to_output(JOURNAL, 0, Entry(99, 12345, 0, "1", b"")))
    held = harness.broker.fault("ledger")
    deposit(harness)
    harness.worker.step(0.05)
    assert held.held == [] or len(watching(harness).recoveries) == 2
    held.release()
    harness.run_until_idle()
    assert "somebody else has written" in watching(harness).drops[0][1]
    assert balances(harness) == [1]
    assert len(harness.broker.records("ledger")) == 1


def test_an_event_loop_that_stood_still_for_too_long_gives_its_partitions_up(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(session_timeout_s=10))
    harness.run_until_idle()
    held = harness.broker.fault("ledger")
    deposit(harness, 1)
    harness.worker.step(0.05)  # the first output is in flight
    deposit(harness, 2)
    harness.worker.step(0.05)  # journalled; its output is queued behind the first
    harness.clock.move(11)
    held.release()
    harness.worker.step(0.0)
    harness.run_until_idle()
    assert "stood still" in watching(harness).drops[0][1]
    assert watching(harness).recoveries[-1] == (0, 2)
    assert balances(harness) == [1, 3]
    # The one in flight, and both again by the recovery: the queued one never left the stalled owner.
    assert len(harness.broker.records("ledger")) == 3


def test_a_shorter_gap_is_nothing(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(session_timeout_s=10))
    harness.run_until_idle()
    harness.clock.move(9)
    deposit(harness)
    harness.run_until_idle()
    assert watching(harness).drops == []


def test_a_batch_leaves_only_after_the_one_before_it_is_acknowledged(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    held = harness.broker.fault("ledger", written=False)
    for _ in range(3):
        deposit(harness)
        harness.worker.step(0.01)
    assert len(held.held) == 1
    held.release()
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3]
    assert [item.number for item in journal(harness) if isinstance(item, Entry)] == [1, 2, 3]


def test_a_final_failure_of_an_output_drops_the_partition_and_recovery_sends_it_again(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    harness.broker.fault("ledger", UnknownOutcome("time-out"), written=True, times=1)
    deposit(harness)
    harness.run_until_idle()
    deposit(harness)
    harness.run_until_idle()
    assert "outputs to ledger" in watching(harness).drops[0][1]
    assert balances(harness) == [1, 2]
    assert len(harness.broker.records("ledger")) == 3


def test_the_first_input_is_decided_first_and_ticks_come_after_it(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    harness.worker.paused = True
    harness.clock.move(2)
    harness.publish("events", "a", message("deposit", "a", 3))
    harness.publish("requests", "a", message("deposit", "a", 2))
    harness.publish("orders", "a", message("deposit", "a", 1))
    harness.worker.paused = False
    harness.run_until_idle()
    # The tick waits until its inputs are known to have been read; the order of topics shows within one entry.
    assert [event["amount"] for event in events(harness) if event["kind"] == "deposited"] == [1, 2, 3]
    assert kinds(harness).count("overdue") == 1


def test_a_tick_comes_after_the_first_input_and_before_the_rest(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    held = harness.broker.fault(JOURNAL)
    harness.publish("requests", "b", message("deposit", "b", 9))
    harness.worker.step(0.02)  # the partition is busy: all that follows meets in the next cycle
    harness.clock.move(2)
    harness.worker.step(0.2)
    harness.publish("events", "a", message("deposit", "a", 3))
    harness.publish("orders", "a", message("deposit", "a", 1))
    harness.worker.step(0.2)
    held.release()
    harness.run_until_idle()
    assert [(event["kind"], event["amount"]) for event in events(harness)][2:] == [
        ("deposited", 1),
        ("overdue", 0),
        ("deposited", 3),
    ]


def test_a_flooded_partition_does_not_keep_another_waiting(make: MakeHarness) -> None:
    harness = make(partitions=2, options=MachineOptions(cycle_records=64))
    harness.run_until_idle()
    for _ in range(1_000):
        deposit(harness, partition=0)
    deposit(harness, partition=1)
    harness.run_until_idle()
    decided = watching(harness).decisions
    assert (1, 1) in decided[:4]
    assert max(messages for _, messages in decided) <= 64


def test_a_reopened_journal_goes_on_with_a_new_epoch(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(reopen_entries=2))
    for _ in range(6):
        deposit(harness)
        harness.run_until_idle()
        harness.advance(1.1)
    opened = [item for item in journal(harness) if isinstance(item, Opened)]
    assert len(opened) >= 3
    harness.restart()
    deposit(harness)
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3, 4, 5, 6, 7]


def test_now_never_goes_back(make: MakeHarness) -> None:
    harness = make()
    deposit(harness)
    harness.run_until_idle()
    harness.clock.move(-60)
    deposit(harness)
    harness.run_until_idle()
    first, second = events(harness)
    assert second["at_ms"] == first["at_ms"]


def test_a_processor_may_serve_many_partitions(make: MakeHarness) -> None:
    bank = Bank()
    harness = make(bank, partitions=4)
    for partition in range(4):
        deposit(harness, partition + 1, partition=partition)
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3, 4]


def test_a_transient_failure_of_an_output_is_retried_in_order_and_without_recovery(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    harness.broker.fault("ledger", TransientError("not enough replicas"), written=False, times=3)
    for _ in range(3):
        deposit(harness)
        harness.worker.step(0.01)
    assert harness.run_until_idle()
    assert balances(harness) == [1, 2, 3]
    assert watching(harness).drops == []
    assert len(watching(harness).retries) == 3


def test_a_stranger_between_the_records_of_one_cycle_drops_the_partition(make: MakeHarness) -> None:
    class Wordy(Pins):
        def verify(self, verification: Verification) -> object:
            return verification.lane * 60_000

    harness = make(verifier=Wordy())
    harness.run_until_idle()
    state = harness.broker.fault("doorstream.bank.state")
    deposit(harness)
    harness.run_until_idle()
    harness.clock.move(1.1)
    harness.worker.step(0.1)
    first = harness.broker.fault(JOURNAL, times=1)
    deposit(harness)
    harness.worker.step(0.02)
    # What waits is more than one batch should have: the checkpoint, and an entry with long answers.
    state.release()
    for topic in ("requests", "events"):
        harness.publish(topic, "a", message("pin", "a", pin="1"), partition=0)
    harness.worker.step(0.1)
    second = harness.broker.fault(JOURNAL, times=1)
    first.release()
    harness.worker.step(0.05)
    assert isinstance(journal(harness)[-1], Checkpointed)
    harness.broker.write(to_output(JOURNAL, 0, Entry(99, 12345, 0, "1", b"")))
    second.release()
    assert harness.run_until_idle()
    assert len(watching(harness).drops) == 1
    assert "somebody else has written" in watching(harness).drops[0][1]
    assert [event["kind"] for event in events(harness)] == ["deposited", "deposited", "checked", "checked"]
