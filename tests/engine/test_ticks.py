"""Deadlines come due in order, once, and never before the inputs have been read past them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from streams.core.processor import Arrival, Cause, Context, Outcome, State, Tick
from streams.engine.options import MachineOptions
from streams.engine.ownership import RUNNING
from streams.engine.partition import Partition
from streams.engine.ticks import Deadlines
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Account, Bank, Event, Noted, Rated, message
from tests.engine.watching import assert_repeats_are_equal, events, kinds, watching


class Heartbeats(Bank):
    """A deposit puts the account's deadline off by ten seconds after its record's time."""

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if isinstance(cause, Arrival) and cause.message["kind"] == "beat":
            cause.message["kind"] = "lend"
            cause.message["amount"] = cause.record.timestamp_ms + 10_000 - context.now_ms
        return super().decide(state, cause, context)


def beat(account: str = "a") -> bytes:
    return message("beat", account)


def test_deadlines_are_in_the_order_of_time_and_key() -> None:
    deadlines = Deadlines()
    for key, at in (("b", 5), ("a", 5), ("c", 1), ("d", 9)):
        deadlines.set(key, at)
    deadlines.set("c", 7)
    deadlines.set("d", None)
    assert deadlines.due(6, 10) == [(5, "a"), (5, "b")]
    assert deadlines.due(7, 10) == [(5, "a"), (5, "b"), (7, "c")]
    assert deadlines.due(7, 1) == [(5, "a")]
    assert deadlines.next_ms() == 5


def test_a_deadline_set_away_and_back_is_due_once() -> None:
    deadlines = Deadlines()
    for at in (5, 8, 5):
        deadlines.set("a", at)
    assert deadlines.due(10, 10) == [(5, "a")]


def test_a_due_deadline_is_a_tick_without_any_input(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    harness.advance(0.9)
    assert kinds(harness) == ["lent"]
    harness.advance(0.2)
    assert kinds(harness) == ["lent", "overdue"]
    harness.advance(60)
    assert kinds(harness) == ["lent", "overdue"]


def test_queued_heartbeats_are_no_outage(make: MakeHarness) -> None:
    harness = make(Heartbeats(), options=MachineOptions(session_timeout_s=1e9))
    harness.publish("events", "a", beat())
    harness.run_until_idle()
    harness.worker.paused = True
    for _ in range(2_000):
        harness.clock.move(1)
        harness.publish("events", "a", beat())
    harness.worker.paused = False
    harness.run_until_idle()
    assert "overdue" not in kinds(harness)
    harness.advance(11)
    assert kinds(harness)[-1] == "overdue"


def test_after_an_assignment_no_tick_runs_before_the_inputs_seen_then_are_read(make: MakeHarness) -> None:
    harness = make(Heartbeats(), stamps=False)
    harness.publish("events", "a", beat())
    harness.run_until_idle()
    harness.advance(1.1)
    harness.crash()
    # The broker does not stamp, so a beat's time is its fetch: only its being read first saves the account.
    harness.clock.move(30)
    for _ in range(3_000):
        harness.publish("events", "b", beat("b"))
    harness.publish("events", "a", beat())
    harness.start()
    harness.run_until_idle()
    assert "overdue" not in kinds(harness)


def test_a_tick_waits_for_the_other_inputs_of_its_partition(make: MakeHarness) -> None:
    harness = make(Heartbeats())
    harness.publish("events", "a", beat())
    harness.run_until_idle()
    client = harness.worker.client
    held = client.positions.pop(("events", 0))
    harness.clock.move(4)
    harness.publish("events", "a", beat())
    for _ in range(8):
        harness.clock.move(1)
        harness.publish("requests", "b", message("deposit", "b", 1))
        harness.worker.step(0.2)
    assert "overdue" not in kinds(harness)
    client.positions["events", 0] = held
    harness.run_until_idle()
    assert kinds(harness)[-1] != "overdue"


def test_a_tick_whose_entity_moved_earlier_in_the_entry_is_stale(make: MakeHarness) -> None:
    class Extending(Heartbeats):
        inputs = ("events", "requests", "orders")

    harness = make(Extending())
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    held = harness.broker.fault("doorstream.bank.journal")
    harness.publish("requests", "b", message("deposit", "b", 1))
    harness.worker.step(0.02)
    harness.clock.move(2)
    harness.worker.step(0.2)
    harness.publish("events", "a", message("lend", "a", 60_000))
    harness.worker.step(0.2)
    held.release()
    harness.run_until_idle()
    assert kinds(harness) == ["lent", "deposited", "lent"]
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).drifts == []


class Ailing(Bank):
    """Can't decide deadlines before a moment."""

    mended_ms = 0

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if isinstance(cause, Tick) and context.now_ms < self.mended_ms:
            raise RuntimeError("no")
        return super().decide(state, cause, context)


@pytest.mark.parametrize("checkpoint_interval_s", [1, 10_000])
def test_a_tick_that_raises_is_refused_and_comes_again_every_minute_until_it_can_be_decided(
    make: MakeHarness, checkpoint_interval_s: float
) -> None:
    bank = Ailing()
    harness = make(bank, options=MachineOptions(checkpoint_interval_s=checkpoint_interval_s))
    bank.mended_ms = harness.clock.now_ms() + 90_000
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    harness.advance(5)
    assert kinds(harness) == ["lent", "failed"]
    harness.publish("requests", "b", message("deposit", "b", 1))
    harness.restart()
    harness.advance(40)
    assert kinds(harness) == ["lent", "failed", "deposited"]
    harness.advance(20)
    assert kinds(harness) == ["lent", "failed", "deposited", "failed"]
    harness.restart()
    harness.advance(61)
    assert kinds(harness) == ["lent", "failed", "deposited", "failed", "overdue"]
    harness.restart()
    harness.advance(61)
    assert kinds(harness)[5:] == []
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)


def test_a_tick_that_was_put_off_comes_at_once_where_its_entity_changes(make: MakeHarness) -> None:
    bank = Ailing()
    harness = make(bank)
    bank.mended_ms = harness.clock.now_ms() + 10_000
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    harness.advance(12)
    assert kinds(harness) == ["lent", "failed"]
    harness.publish("requests", "a", message("deposit", "a", 1))
    harness.run_until_idle()
    harness.advance(1)
    assert kinds(harness) == ["lent", "failed", "deposited", "overdue"]


@pytest.mark.parametrize("checkpoint_interval_s", [1, 10_000])
def test_a_standing_tick_that_raises_before_it_has_an_entity_is_put_off_over_restarts(
    make: MakeHarness, checkpoint_interval_s: float
) -> None:
    class Standing(Ailing):
        standing = ("account/a",)

    bank = Standing()
    options = MachineOptions(checkpoint_interval_s=checkpoint_interval_s, full_turn_s=2)
    harness = make(bank, options=options)
    bank.mended_ms = harness.clock.now_ms() + 30_000
    for _ in range(4):
        harness.publish("requests", "b", message("deposit", "b", 1))
        harness.run_until_idle()
        harness.advance(5)
    assert [kind for kind in kinds(harness) if kind != "deposited"] == ["failed"]
    harness.restart()
    harness.advance(45)
    harness.restart()
    harness.run_until_idle()
    assert [kind for kind in kinds(harness) if kind != "deposited"] == ["failed", "overdue"]
    assert watching(harness).drifts == []


def test_a_tick_that_leaves_its_entity_alone_is_served(make: MakeHarness) -> None:
    class Idle(Bank):
        def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            return [] if isinstance(cause, Tick) else super().decide(state, cause, context)

    bank = Idle()
    harness = make(bank)
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    harness.advance(5)
    harness.advance(5)
    harness.restart()
    harness.advance(5)
    journal = harness.broker.records("doorstream.bank.journal")
    assert sum(b'"ticks"' in (record.value or b"") for record in journal) == 1


def test_ticks_are_decided_again_as_journalled(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(checkpoint_interval_s=10_000))
    for account in "cab":
        harness.publish("requests", "a", message("lend", account, 1_000))
    harness.run_until_idle()
    harness.advance(2)
    harness.restart()
    harness.run_until_idle()
    assert [event["account"] for event in events(harness)] == list("cababc")
    again = [json.loads(r.value or b"") for r in harness.outputs("ledger", marked=False)][6:]
    assert again == events(harness)
    assert watching(harness).drifts == []


def test_an_entity_keeps_its_deadline_through_the_state_log(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "a", message("lend", "a", 10_000))
    harness.run_until_idle()
    harness.advance(2)
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (0, 0)
    assert Account(0, 1).loan_due_ms == 1
    harness.advance(10)
    assert kinds(harness) == ["lent", "overdue"]


def test_what_stands_has_a_tick_before_any_message_came_and_goes_on_from_there(make: MakeHarness) -> None:
    class Rounds(Bank):
        standing = ("account/round",)

        def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            if isinstance(cause, Tick):
                return [Noted("round", context.now_ms + 10_000), Event("lent", "round", 0, 0)]
            return super().decide(state, cause, context)

    harness = make(Rounds(), options=MachineOptions(checkpoint_interval_s=15))
    harness.run_until_idle()
    assert kinds(harness) == ["lent"]
    harness.advance(25)
    harness.restart()
    harness.run_until_idle()
    assert kinds(harness) == ["lent"] * 3
    harness.advance(10)
    assert kinds(harness) == ["lent"] * 4
    assert watching(harness).drifts == []


class Instalments(Bank):
    """Whoever has borrowed pays back 1 at deadlines of long ago, one after the other, until nothing is left."""

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if not isinstance(cause, Tick):
            return super().decide(state, cause, context)
        account, name = state.get(cause.key) or Account(), cause.key.partition("/")[2]
        left = account.balance - 1
        return [Event("withdrawn", name, 1, left), Noted(name, cause.deadline_ms + 1 if left > 0 else None)]


@pytest.mark.parametrize("inherited", [False, True])
def test_only_what_was_due_when_its_owner_came_is_decided_after_the_journal_has_it(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch, *, inherited: bool
) -> None:
    taken: list[bool] = []

    def take(partition: Partition, *arguments: Any) -> Any:
        work = whole(partition, *arguments)
        if work is not None and work.frame is not None and any(isinstance(one, Tick) for one in work.causes):
            taken.append(work.patient)
        return work

    whole = Partition.take
    monkeypatch.setattr(Partition, "take", take)
    harness = make(Instalments())
    harness.publish("requests", "a", message("deposit", "a", 4))
    harness.publish("requests", "a", message("lend", "b", 1_000))
    harness.run_until_idle()
    harness.advance(2)
    assert taken == [False], "the inputs have been read past what was due when the owner came"
    taken.clear()
    harness.publish("requests", "a", message("lend", "a", 1_000 if inherited else -1_000_000))
    harness.run_until_idle()
    if inherited:
        harness.crash()
        harness.clock.move(2)
        harness.start()
    harness.advance(5)
    assert taken == [inherited] * 4
    assert kinds(harness)[-4:] == ["withdrawn"] * 4


@pytest.mark.parametrize("held_s", [1, 700])
def test_what_is_decided_after_the_journal_has_it_sees_the_references_that_it_was_taken_by(
    make: MakeHarness, held_s: int
) -> None:
    def rate(percent: int) -> None:
        harness.publish("reference.rate", "r", b'{"name": "r", "percent": %d}' % percent)

    def is_entry(topic: str, _partition: int) -> bool:
        return topic.endswith(".journal") and harness.health()[0].phase == RUNNING

    harness = make(Rated(), options=MachineOptions(checkpoint_interval_s=100_000))
    rate(5)
    harness.publish("requests", "a", message("lend", "a", 1_000))
    harness.run_until_idle()
    harness.crash()
    harness.clock.move(2)
    worker = harness.start()
    journal = harness.broker.fault(is_entry)
    worker.step(1)
    rate(7)
    # After ten minutes memory no longer has what was replaced; a recovery then reads it again.
    for _ in range(held_s // 5 + 1):
        harness.clock.move(5)
        worker.step(0.1)
    rate(9)
    worker.step()
    assert len(journal.held) == 1
    journal.release()
    harness.advance(10)
    assert [(event["kind"], event["amount"]) for event in events(harness)] == [("lent", 1_000), ("overdue", 5)]
    assert ["is forgotten" in reason for _, reason in watching(harness).drops] == [True] * (held_s > 600)
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).drifts == []
