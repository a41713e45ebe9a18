"""From the journal back to where the last owner stood."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.record import Output, Record
from streams.core.processor import Arrival, Cause, Context, Outcome, State
from streams.engine.harness import Harness
from streams.engine.journal import Checkpointed, Entry, Recovered, Recovering, Skipped, to_output
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError, UnknownOutcome
from streams.engine.recovery import FIRST_WINDOW
from streams.engine.statelog import StateBatch
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Account, Bank, message
from tests.engine.watching import assert_repeats_are_equal, balances, events, journal, kinds, watching

JOURNAL = "doorstream.bank.journal"
STATE = "doorstream.bank.state"


class KilledError(BaseException):
    """Stands for a native crash: nobody catches it, and nothing of the process leaves any more."""


def deposit(harness: Harness, amount: int = 1) -> None:
    harness.publish("requests", "a", message("deposit", "a", amount), partition=0)


def test_only_entries_after_the_checkpoint_are_decided_again(make: MakeHarness) -> None:
    harness = make()
    deposit(harness)
    harness.run_until_idle()
    harness.advance(1.1)
    deposit(harness)
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).recoveries == [(0, 0), (0, 1)]
    assert balances(harness) == [1, 2]


def test_what_comes_out_is_told_once_and_not_again_by_a_recovery(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(checkpoint_interval_s=10_000))
    deposit(harness)
    harness.publish("requests", "a", message("nonsense", "a"), partition=0)
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    assert sum(entries for _, entries in watching(harness).recoveries) > 0
    assert [outcome.kind for outcome in watching(harness).outcomes] == ["deposited", "failed"]


def test_other_outcomes_than_the_digest_says_halt_the_partition_loudly(make: MakeHarness) -> None:
    harness = make(Bank())
    for _ in range(2):
        deposit(harness)
        harness.run_until_idle()
    harness.crash()
    harness.start(processor=Bank(salt="drifted"))
    deposit(harness)
    harness.run_until_idle()
    assert watching(harness).drifts == [(0, 1)]
    assert harness.health()[0].phase == "halted"
    # What it sends again for entry 1 repeats a number that every reader knows.
    assert balances(harness) == [1, 2]


def test_another_code_version_refuses_and_names_the_version_to_recover_with(make: MakeHarness) -> None:
    harness = make(Bank("1.0"))
    deposit(harness)
    harness.run_until_idle()
    harness.crash()
    harness.start(processor=Bank("2.0"))
    harness.run_until_idle()
    assert "start a worker of version 1.0" in harness.health()[0].reason
    harness.crash()
    harness.start(processor=Bank("1.0"))
    harness.run_until_idle()
    harness.stop()
    harness.start(processor=Bank("2.0"))
    deposit(harness)
    harness.run_until_idle()
    assert balances(harness) == [1, 2]


def test_a_journal_of_another_incarnation_refuses(make: MakeHarness) -> None:
    harness = make(incarnation=7)
    deposit(harness)
    harness.run_until_idle()
    harness.crash()
    harness._incarnation = 8
    harness.start()
    harness.run_until_idle()
    assert harness.health()[0].phase == "halted"
    assert "belongs to incarnation 7" in harness.health()[0].reason


def test_a_zombies_state_and_checkpoint_count_for_nothing(make: MakeHarness) -> None:
    harness = make()
    deposit(harness, 1)
    harness.run_until_idle()
    harness.advance(1.1)
    row = ("account/b", None, msgspec.msgpack.encode(Account(1_000_000)))
    value = msgspec.msgpack.encode(StateBatch(3, 1, [row]))
    offset = harness.broker.write(Output(STATE, None, value, (), 0)).offset
    real = next(item for item in journal(harness) if isinstance(item, Checkpointed))
    void = msgspec.structs.replace(real, epoch=12345, ranges=[(offset, offset + 1)])
    harness.crash()
    harness.broker.write(to_output(JOURNAL, 0, void))
    harness.start()
    deposit(harness, 1)
    harness.run_until_idle()
    harness.advance(1.1)
    # The ranges of the next checkpoint leave the zombie's record out, too.
    harness.restart()
    deposit(harness, 1)
    harness.publish("requests", "b", message("withdraw", "b", 1), partition=0)
    harness.run_until_idle()
    assert [(event["kind"], event["balance"]) for event in events(harness)][1:] == [
        ("deposited", 2),
        ("deposited", 3),
        ("refused", 0),
    ]


def test_a_late_entry_of_an_earlier_owner_is_void(make: MakeHarness) -> None:
    harness = make()
    deposit(harness, 1)
    harness.run_until_idle()
    harness.crash()
    second = harness.start()
    harness.run_until_idle()
    # The first owner's entry 2 arrives late: right number, old epoch.
    harness.broker.write(to_output(JOURNAL, 0, Entry(2, 0, 0, "1", b"other")))
    deposit(harness, 1)
    harness.run_until_idle()
    assert second in harness.workers
    harness.restart()
    deposit(harness, 1)
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3]
    assert watching(harness).halts == []


def test_a_repeated_entry_is_void(make: MakeHarness) -> None:
    harness = make()
    for _ in range(2):
        deposit(harness, 1)
        harness.run_until_idle()
    log = harness.broker.log(JOURNAL, 0).records
    again = next(record for record in log if b'"number":1' in (record.value or b""))
    harness.crash()
    harness.broker.write(Output(JOURNAL, None, again.value, (), 0))
    harness.start()
    deposit(harness, 1)
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3]


def test_the_latest_checkpoint_is_found_behind_a_long_tail(make: MakeHarness) -> None:
    harness = make()
    deposit(harness, 1)
    harness.run_until_idle()
    harness.advance(1.1)
    harness.crash()
    for _ in range(3 * FIRST_WINDOW):
        harness.broker.write(Output(JOURNAL, None, b"void", (), 0))
    harness.start()
    deposit(harness, 1)
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (0, 0)
    assert balances(harness) == [1, 2]


def test_what_the_journal_decided_about_references_holds_in_a_recovery(make: MakeHarness) -> None:
    harness = make()
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 1}')
    harness.run_until_idle()
    harness.publish("requests", "a", message("ask", "a", rate="r"))
    harness.run_until_idle()
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 2}')
    harness.run_until_idle()
    harness.publish("requests", "a", message("ask", "a", rate="r"))
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    harness.publish("requests", "a", message("ask", "a", rate="r"))
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)
    assert [event["note"] for event in events(harness)] == ["view 1", "view 2", "view 2"]
    assert len({record.value for record in harness.outputs("ledger", marked=False)[:4]}) == 2


@pytest.mark.parametrize("wait_s", [10, 900])
def test_references_older_than_memory_are_read_from_the_topic(make: MakeHarness, wait_s: int) -> None:
    harness = make(options=MachineOptions(checkpoint_interval_s=10_000))
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 1}')
    harness.run_until_idle()
    harness.publish("requests", "a", message("ask", "a", rate="r"))
    harness.run_until_idle()
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 2}')
    harness.run_until_idle()
    harness.advance(wait_s)
    harness.restart()
    harness.publish("requests", "a", message("ask", "a", rate="r"))
    harness.run_until_idle()
    # Entry 2 carries the digest of entry 1 as it was first decided: an error would show as drift.
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)
    assert [event["note"] for event in events(harness)] == ["view 1", "view 2"]


def test_times_of_a_broker_that_does_not_stamp_are_the_journals(make: MakeHarness) -> None:
    class Dated(Bank):
        def decode(self, record: Record) -> Any:
            return {**json.loads(record.value or b""), "amount": record.timestamp_ms % 1_000_000}

    harness = make(Dated(), stamps=False, options=MachineOptions(checkpoint_interval_s=10_000))
    for _ in range(2):
        deposit(harness)
        harness.run_until_idle()
        harness.clock.move(5)
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)
    assert harness.health()[0].phase == "running"
    assert len({record.value for record in harness.outputs("ledger", marked=False)}) == 2


def test_a_chunk_that_overlaps_the_journal_is_trimmed_and_a_gap_is_read_again(make: MakeHarness) -> None:
    harness = make()
    for _ in range(3):
        deposit(harness)
    harness.run_until_idle()
    client = harness.worker.client
    client.positions["requests", 0] = 1
    deposit(harness)
    harness.run_until_idle()
    for _ in range(5):
        deposit(harness)
    client.positions["requests", 0] = 7
    harness.run_until_idle()
    assert balances(harness) == list(range(1, 10))


def test_a_gap_that_stays_is_filled_from_the_broker(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    client = harness.worker.client

    async def deaf(topic: str, partition: int, offset: int) -> None:
        assert (topic, partition, offset) == ("requests", 0, 0)

    client.seek = deaf  # type: ignore[method-assign]
    for _ in range(4):
        deposit(harness)
    client.positions["requests", 0] = 2
    harness.worker.step(0.05)
    client.positions["requests", 0] = 2
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3, 4]


def test_a_message_at_which_two_recoveries_died_is_passed_over(make: MakeHarness) -> None:
    class Deadly(Bank):
        """Its process dies at one message, but only when deciding again: the first time it got through."""

        armed = False

        def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            if self.armed and isinstance(cause, Arrival) and cause.message["amount"] == 666:
                harness.worker.client.dead = True
                raise KilledError
            return super().decide(state, cause, context)

    bank = Deadly()
    harness = make(bank)
    for amount in (1, 666, 2):
        deposit(harness, amount)
    harness.run_until_idle()
    bank.armed = True
    for _ in range(3):
        harness.restart()
        assert not harness.run_until_idle()
    harness.restart()
    deposit(harness, 4)
    harness.run_until_idle()
    assert watching(harness).skips == [(1, 1)]
    marks = [(item.number, item.index) for item in journal(harness) if isinstance(item, Recovering)]
    assert marks == [(1, -1), (1, 0), (1, 1), (1, 0), (1, 1), (1, 0), (1, 2)]
    assert [item.index for item in journal(harness) if isinstance(item, Skipped)] == [1]
    assert any(isinstance(item, Recovered) for item in journal(harness))
    assert harness.outputs("requests.dead")[0].header("__connect.errors.stage") == b"recover"
    assert events(harness)[-1]["balance"] == 7
    # The skip is for ever: a later recovery passes it over without being told again.
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).skips == [(1, 1)]


def test_a_broker_that_fails_during_recoveries_makes_no_message_suspect(make: MakeHarness) -> None:
    harness = make()
    for amount in (1, 2):
        deposit(harness, amount)
    harness.run_until_idle()
    harness.crash()
    recovering: list[int] = []

    def first_mark(topic: str, _: int) -> bool:
        """The append after each `opened`, which is where a recovery says what it is about to decide."""
        recovering.append(topic == JOURNAL)
        return topic == JOURNAL and len(recovering) % 2 == 0

    harness.broker.fault(first_mark, UnknownOutcome("time-out"), written=True, times=6)
    harness.start()
    deposit(harness, 4)
    harness.run_until_idle()
    assert len(watching(harness).drops) == 6
    assert watching(harness).skips == []
    assert balances(harness) == [1, 3, 7]


def test_state_is_complete_after_full_turns_and_the_older_log_is_gone(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(full_turn_s=20))
    for at in range(50):
        harness.publish("requests", "x", message("deposit", f"s{at}", at + 1), partition=0)
    harness.run_until_idle()
    for _ in range(60):
        deposit(harness, 1)
        harness.advance(1.1)
    log = harness.broker.log(STATE, 0)
    assert log.start > 0
    harness.crash()
    harness.start()
    for at in range(50):
        harness.publish("requests", "x", message("withdraw", f"s{at}", at + 1), partition=0)
    harness.run_until_idle()
    assert "refused" not in kinds(harness)
    assert watching(harness).recoveries[-1][1] <= 1


@pytest.mark.parametrize("error", [TransientError("later"), UnknownOutcome("time-out")])
def test_a_checkpoint_that_fails_is_taken_again_whole(make: MakeHarness, error: Exception) -> None:
    harness = make()
    harness.publish("requests", "b", message("deposit", "b", 5), partition=0)
    harness.run_until_idle()
    harness.broker.fault(STATE, error, written=False, times=1)
    harness.advance(1.1)
    deposit(harness)
    harness.run_until_idle()
    harness.advance(1.1)
    harness.restart()
    harness.publish("requests", "b", message("withdraw", "b", 5), partition=0)
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (0, 0)
    assert kinds(harness) == ["deposited", "deposited", "withdrawn"]


def test_a_recovered_state_is_the_same_as_an_undisturbed_one(make: MakeHarness) -> None:
    calm, rough = make(), make()
    for at in range(30):
        for harness in (calm, rough):
            harness.publish("requests", "a", message("deposit", f"s{at % 3}", at))
            harness.run_until_idle()
            harness.advance(0.3)
        if at % 5 == 4:
            rough.restart()
            rough.run_until_idle()
    assert [e["balance"] for e in events(rough)] == [e["balance"] for e in events(calm)]


def test_a_skewed_clock_is_not_ready(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    assert harness.worker.machine.ready
    harness.crash()
    now_ms = harness.clock.now_ms
    harness.broker.clock = type(harness.clock)(now_ms() - 6_000)
    harness.start()
    harness.run_until_idle()
    assert watching(harness).skews == [6_000]
    assert not harness.worker.machine.ready


def test_a_message_that_is_out_of_memory_once_is_not_refused_for_ever(make: MakeHarness) -> None:
    bank = Bank()
    bank.fatal = MemoryError()
    harness = make(bank)
    deposit(harness)
    harness.publish("requests", "a", message("die", "a"), partition=0)
    harness.run_until_idle()
    with pytest.raises(MemoryError):
        harness.crash()
    bank.fatal = RuntimeError("as ever")
    harness.start()
    deposit(harness)
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert kinds(harness) == ["deposited", "failed", "deposited"]


def test_a_message_for_which_memory_never_suffices_is_passed_over(make: MakeHarness) -> None:
    class Greedy(Bank):
        armed = False

        def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            if self.armed and isinstance(cause, Arrival) and cause.message["amount"] == 666:
                raise MemoryError
            return super().decide(state, cause, context)

    bank = Greedy()
    harness = make(bank)
    for amount in (1, 666, 2):
        deposit(harness, amount)
    harness.run_until_idle()
    bank.armed = True
    harness.restart()
    deposit(harness, 4)
    harness.run_until_idle()
    assert watching(harness).skips == [(1, 1)]
    assert balances(harness)[-1] == 7
