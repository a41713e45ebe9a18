"""Deciding goes by turns: who has much to decide keeps nobody waiting, and work in parts needs no entry for each."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.core.processor import Cause, Context, Outcome, State, Tick
from streams.engine.decider import MOST_AGAIN
from streams.engine.harness import Harness
from streams.engine.journal import Recovering, decode_record
from streams.engine.options import MachineOptions
from streams.engine.ports import Chunk
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Account, Bank, Event, Noted, message
from tests.engine.watching import assert_repeats_are_equal, events, kinds, watching

MANY = 300
ONE_BY_ONE = MachineOptions(turn_ms=0, smallest_share=MANY)
"""The event loop has its turn after every cause."""


class Instalments(Bank):
    """Whoever has borrowed pays back 1 at once, again and again until nothing is left."""

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if not isinstance(cause, Tick):
            return super().decide(state, cause, context)
        account, name = state.get(cause.key) or Account(), cause.key.partition("/")[2]
        left = account.balance - 1
        due_ms = cause.deadline_ms + 1 if left > 0 else None
        return [Event("withdrawn", name, 1, left, "", context.now_ms), Noted(name, due_ms)]


def borrow(harness: Harness, amount: int) -> None:
    """As much, to be paid back from a second ago on."""
    harness.publish("requests", "a", message("deposit", "a", amount))
    harness.publish("requests", "a", message("lend", "a", -1_000))
    harness.run_until_idle()


def undecided(harness: Harness) -> bool:
    """Whether a partition is half-way through its entry."""
    return bool(harness.worker.machine._cycle._undecided)


def half_way(harness: Harness) -> None:
    """Go on until a partition is half-way through its entry."""
    for _ in range(10_000):
        harness.worker.step(0)
        if undecided(harness):
            return
    raise AssertionError("nothing was cut")


def flooded(make: MakeHarness, *, options: MachineOptions = ONE_BY_ONE) -> Harness:
    """One partition of two is about to decide much."""
    harness = make(partitions=2, options=options)
    harness.run_until_idle()
    for _ in range(MANY):
        harness.publish("requests", "a", message("deposit", "a", 1), partition=0)
    harness.worker.step(0.002)
    half_way(harness)
    return harness


def test_who_comes_while_another_partition_is_half_way_is_answered_before_its_end(make: MakeHarness) -> None:
    harness = flooded(make)
    harness.publish("requests", "b", message("deposit", "b", 1), partition=1)
    records = harness.broker.log("requests", 1).slice(0, 1)
    harness.worker.run(harness.worker.machine.feed(Chunk("requests", 1, tuple(records), harness.clock.now_ms())))
    harness.run_until_idle()
    sizes = [messages for partition, messages in watching(harness).decisions if messages]
    assert watching(harness).decisions[0][0] == 1
    assert sum(sizes) == MANY + 1
    assert_repeats_are_equal(harness)


def test_a_turn_of_its_usual_length_is_not_cut_where_no_time_passes(make: MakeHarness) -> None:
    harness = make(partitions=2)
    for _ in range(MANY):
        harness.publish("requests", "a", message("deposit", "a", 1), partition=0)
    harness.worker.step(0.002)
    assert not undecided(harness)


def test_nothing_leaves_of_an_entry_that_is_half_decided(make: MakeHarness) -> None:
    harness = flooded(make)
    assert events(harness) == []
    harness.run_until_idle()
    assert [event["balance"] for event in events(harness)] == list(range(1, MANY + 1))


@pytest.mark.parametrize("end", ["crash", "lose", "stop"])
def test_an_entry_whose_owner_is_gone_half_way_is_decided_whole_by_the_next(make: MakeHarness, end: str) -> None:
    harness = flooded(make)
    if end == "crash":
        harness.restart()
    elif end == "lose":
        harness.worker.lose([0, 1])
        harness.run_until_idle()
        assert not undecided(harness)
        harness.restart()
    else:
        harness.stop()
        harness.start()
    harness.run_until_idle()
    assert [event["balance"] for event in events(harness)] == list(range(1, MANY + 1))
    assert watching(harness).drifts == []


def test_what_is_due_again_at_once_is_decided_in_the_same_entry(make: MakeHarness) -> None:
    harness = make(Instalments())
    borrow(harness, 5)
    assert kinds(harness) == ["deposited", "lent"] + ["withdrawn"] * 5
    paid = [event["at_ms"] for event in events(harness)[2:]]
    assert len(set(paid)) == 1
    assert len(watching(harness).decisions) == 2


def test_so_many_times_in_one_entry_and_then_in_the_next(make: MakeHarness) -> None:
    harness = make(Instalments())
    borrow(harness, 2 * (MOST_AGAIN + 1) + 1)
    assert [event["balance"] for event in events(harness)[2:]] == list(range(2 * (MOST_AGAIN + 1), -1, -1))
    assert len(watching(harness).decisions) == 1 + 3


@pytest.mark.parametrize("careful", [False, True])
def test_a_recovery_decides_the_same_parts_again(make: MakeHarness, *, careful: bool) -> None:
    harness = make(Instalments(), options=MachineOptions(checkpoint_interval_s=1e9, checkpoint_entries=10**9))
    borrow(harness, 50)
    before = events(harness)
    for turns in range(40 if careful else 1):
        harness.restart()
        # Killed in the middle of its recovery, sooner or later, so that the next one goes cause by cause.
        for _ in range(turns):
            harness.worker.step(0)
    harness.run_until_idle()
    harness.publish("requests", "b", message("deposit", "b", 1))
    harness.run_until_idle()
    journal = [decode_record(record) for record in harness.broker.log("doorstream.bank.journal", 0).records]
    assert any(isinstance(one, Recovering) and one.index > 0 for one in journal) is careful
    assert watching(harness).drifts == []
    assert events(harness)[:-1] == before
    assert_repeats_are_equal(harness)
