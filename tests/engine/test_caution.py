"""A message that kills the process before anything of it is journalled is found, and passed over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.record import Record
from streams.core.processor import Arrival, Cause, Context, Need, Outcome, State, Verification
from streams.engine import caution
from streams.engine.caution import RUN_RECORDS, Caution, alone
from streams.engine.harness import Harness
from streams.engine.journal import Arriving, Entry, Fold, Opened, Skipped, Taken, to_output
from streams.engine.memory import ManualClock, MemoryBroker
from streams.engine.options import MachineOptions
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import JOURNAL, KilledError
from tests.engine.toy import Bank, message
from tests.engine.watching import balances, events, journal, watching

FEW_LIVES = 8
CULPRIT = 666


class Deadly(Bank):
    """Its process dies in one of its steps, at one amount."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.harness: Harness

    def _look(self, step: str, amount: Any) -> None:
        if step == self.step and amount == CULPRIT:
            self.harness.worker.client.dead = True
            raise KilledError

    def decode(self, record: Record) -> Any:
        data = super().decode(record)
        self._look("decode", data["amount"])
        return data

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:
        self._look("needs", arrival.message["amount"])
        return super().needs(state, arrival, context)

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if isinstance(cause, Arrival):
            self._look("decide", cause.message["amount"])
        else:
            self._look("tick", CULPRIT if cause.key == "account/doomed" else 0)
        return super().decide(state, cause, context)

    def verify(self, verification: Verification) -> Any:
        self._look("verify", verification.payload)
        return "right"


def deposits(harness: Harness, count: int, partition: int = 0, culprit: int | None = None) -> None:
    for at in range(count):
        kind = (
            "pin"
            if at == culprit and isinstance(harness.processor, Deadly) and harness.processor.step == "verify"
            else "deposit"
        )
        amount = CULPRIT if at == culprit else 1
        harness.publish("requests", "a", message(kind, "a", amount, pin=amount), partition=partition)


def deadly(make: MakeHarness, step: str, **options: Any) -> Harness:
    bank = Deadly(step)
    harness = make(bank, verifier=bank, **options)
    bank.harness = harness
    harness.run_until_idle()
    return harness


def live_on(harness: Harness) -> int:
    """Start the process anew each time that it died; gives how often it did."""
    for deaths in range(FEW_LIVES):
        harness.worker.step(0.5)
        if not harness.worker.client.dead:
            harness.run_until_idle()
            return deaths
        with contextlib.suppress(KilledError):
            harness.crash()
        harness.start()
    raise AssertionError("it dies for ever")


@pytest.mark.parametrize("step", ["decode", "needs", "verify", "decide"])
@pytest.mark.parametrize("at", [0, 1, 150])
def test_a_message_that_kills_before_it_is_journalled_is_passed_over(make: MakeHarness, step: str, at: int) -> None:
    harness = deadly(make, step)
    deposits(harness, 5)
    harness.run_until_idle()
    deposits(harness, 200, culprit=at)
    assert 2 <= live_on(harness) <= 5
    (letter,) = harness.outputs("requests.dead")
    assert letter.header("__connect.errors.offset") == b"%d" % (5 + at)
    assert letter.header("__connect.errors.stage") == b"recover"
    assert balances(harness) == list(range(1, 205))
    assert len(watching(harness).skips) == 1
    # For ever: neither a recovery nor what comes later looks into it again.
    deposits(harness, 3)
    harness.restart()
    harness.run_until_idle()
    harness.advance(2)
    harness.restart()
    harness.run_until_idle()
    assert balances(harness)[-1] == 207
    assert watching(harness).drifts == []
    assert len(watching(harness).skips) == 1


def test_a_tick_that_kills_is_passed_over_though_messages_keep_coming(make: MakeHarness) -> None:
    harness = deadly(make, "tick")
    harness.publish("requests", "a", message("lend", "doomed", 60_000), partition=0)
    harness.publish("requests", "a", message("lend", "a", 90_000), partition=0)
    harness.run_until_idle()
    harness.advance(59)
    harness.clock.move(2)
    died = 0
    for _ in range(FEW_LIVES):
        deposits(harness, 1)
        died += live_on(harness)
    assert 2 <= died <= 5
    harness.advance(60)
    assert [event["account"] for event in events(harness) if event["kind"] == "overdue"] == ["a"]
    assert len(watching(harness).skips) == 1
    assert balances(harness)[-1] == FEW_LIVES


def test_nobody_else_in_the_process_is_blamed(make: MakeHarness) -> None:
    harness = deadly(make, "decode", partitions=3)
    for partition in range(3):
        deposits(harness, 100, partition, culprit=90 if partition == 1 else None)
    live_on(harness)
    assert len(watching(harness).skips) == 1
    assert len(harness.outputs("requests.dead")) == 1
    assert [record.partition for record in harness.outputs("ledger")].count(1) == 99


async def test_turns_are_taken_one_after_the_other_and_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, order = asyncio.Lock(), []

    async def take(name: str, free: asyncio.Event) -> None:
        async with alone(turn):
            order.append(name)
            await free.wait()

    first, second = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.ensure_future(take("first", first)), asyncio.ensure_future(take("second", second))]
    await asyncio.sleep(0)
    assert order == ["first"]
    first.set()
    await tasks[0]
    monkeypatch.setattr(caution, "TURN_S", 0.01)
    impatient = asyncio.ensure_future(take("third", first))
    await impatient
    assert order == ["first", "second", "third"]
    assert turn.locked()
    second.set()
    await tasks[1]
    assert not turn.locked()


def test_the_culprit_is_found_though_other_inputs_go_on_and_checkpoints_are_taken(make: MakeHarness) -> None:
    harness = deadly(make, "decode")
    deposits(harness, 300, culprit=299)
    for _ in range(FEW_LIVES):
        harness.publish("orders", "b", message("deposit", "b", 1), partition=0)
        harness.worker.step(0.004)
        harness.clock.move(1.1)
        harness.run_until_idle()
        if not harness.worker.client.dead:
            break
        with pytest.raises(KilledError):
            harness.crash()
        harness.start()
    assert not harness.worker.client.dead
    assert len(watching(harness).skips) == 1


def test_what_waits_after_an_owner_that_took_nothing_is_taken_in_runs_and_costs_little(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    harness.crash()
    deposits(harness, 300)
    harness.start()
    harness.run_until_idle()
    deposits(harness, 300)
    harness.run_until_idle()
    assert balances(harness) == list(range(1, 601))
    marks = [item for item in journal(harness) if isinstance(item, Arriving)]
    assert [(mark.start, mark.stop) for mark in marks] == [
        (start, min(start + RUN_RECORDS, 300)) for start in range(0, 300, RUN_RECORDS)
    ]
    assert watching(harness).skips == []


def test_an_owner_that_died_at_work_makes_nothing_suspect(make: MakeHarness) -> None:
    harness = make()
    deposits(harness, 10)
    harness.run_until_idle()
    deposits(harness, 10)
    harness.restart()
    harness.run_until_idle()
    assert [item for item in journal(harness) if isinstance(item, Arriving)] == []


def test_a_graceful_end_leaves_no_suspicion_behind(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(cycle_records=1))
    harness.run_until_idle()
    harness.crash()
    deposits(harness, 40)
    harness.start()
    harness.worker.step(0.004)
    harness.stop()
    fold = Fold(1, 0)
    fold.feed(harness.broker.log(JOURNAL, 0).records)
    harness.broker.write(to_output(JOURNAL, 0, Opened(1, "1")))
    fold.feed(harness.broker.log(JOURNAL, 0).records[-1:])
    assert any(isinstance(item, Arriving) for item in journal(harness))
    assert fold.arrivals == {}


def test_a_partition_given_up_by_a_process_that_lives_is_no_death(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    harness.crash()
    deposits(harness, 40)
    harness.start()
    lost = harness.broker.fault("ledger", ConnectionError("lost"), written=False, times=3)
    for _ in range(6):
        harness.worker.step(0.3)
    lost.release()
    harness.run_until_idle()
    assert balances(harness) == list(range(1, 41))
    assert watching(harness).skips == []


def test_runs_cover_everything_and_suspects_stand_alone() -> None:
    records = [Record("t", 0, offset, None, b"", (), 0) for offset in range(0, 400, 2)]
    suspicion = Caution({("t", 100, 120): 1, ("t", 110, 111): 2, ("u", 0, 999): 5}, {"t": 300})
    runs = list(suspicion.runs("t", records))
    assert [record for _, run in runs for record in run] == records
    assert [(announced, run[0].offset) for announced, run in runs if len(run) == 1] == [
        (offset != 110, offset) for offset in range(100, 120, 2)
    ]
    assert max(len(run) for announced, run in runs if announced) <= RUN_RECORDS
    assert runs[-1] == (False, records[150:])
    assert suspicion.passes("t", 110)
    assert not suspicion.passes("t", 100)


def test_a_death_at_the_end_of_a_run_is_told_of_what_had_not_come_through() -> None:
    broker = MemoryBroker(ManualClock())
    for item in (
        Opened(1, "1"),
        Arriving("t", 0, 64, 0, 0),
        Entry(1, 0, 0, "1", b"", [Taken("t", 0, 32, 0)]),
        Opened(1, "1"),
        Skipped(1, 0, 3),
    ):
        broker.write(to_output(JOURNAL, 0, item))
    fold = Fold(1, 0)
    fold.feed(broker.log(JOURNAL, 0).records)
    assert fold.arrivals == {("t", 32, 64): 1}
    assert fold.took == frozenset({"t"})
