"""Records that the feed skipped are read before what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from streams.core.processor import Arrival, Cause, Context, Outcome, State
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import deposit
from tests.engine.toy import Bank
from tests.engine.watching import balances, watching


def test_records_of_a_filled_gap_have_the_time_that_the_journal_keeps(make: MakeHarness) -> None:
    class Dated(Bank):
        def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            found = super().decide(state, cause, context)
            age = context.now_ms - cause.record.timestamp_ms if isinstance(cause, Arrival) else 0
            return [msgspec.structs.replace(one, note=f"age {age}") for one in found]

    harness = make(Dated(), stamps=False, options=MachineOptions(checkpoint_interval_s=10_000))
    harness.run_until_idle()
    client = harness.worker.client

    async def deaf(*_: object) -> None:
        harness.clock.move(0.5)

    client.seek = deaf  # type: ignore[method-assign, assignment]
    read = client.read

    async def slow(topic: str, partition: int, start: int, stop: int) -> Any:
        harness.clock.move(0.5)
        async for records in read(topic, partition, start, stop):
            yield records

    client.read = slow  # type: ignore[method-assign]
    for _ in range(4):
        deposit(harness)
    for _ in range(2):
        client.positions["requests", 0] = 2
        harness.worker.step(0.05)
    harness.run_until_idle()
    deposit(harness)
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3, 4, 5]
    assert watching(harness).drifts == []


def test_a_gap_at_which_the_broker_fails_is_read_again(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    client = harness.worker.client
    read, failures = client.read, [2]

    async def deaf(*_: object) -> None:
        """A consumer that can't go back."""

    async def failing(topic: str, partition: int, start: int, stop: int) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise TransientError("no leader")
        async for records in read(topic, partition, start, stop):
            yield records

    client.seek, client.read = deaf, failing  # type: ignore[method-assign, assignment]
    for _ in range(4):
        deposit(harness)
    for _ in range(2):
        client.positions["requests", 0] = 2
        harness.worker.step(0.05)
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3, 4]


def test_what_retention_took_before_it_was_read_is_not_asked_for_by_a_recovery(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(checkpoint_interval_s=1))
    deposit(harness)
    harness.run_until_idle()
    harness.advance(2)
    harness.crash()
    for _ in range(5):
        deposit(harness)
    harness.broker.log("requests", 0).delete_before(4)
    harness.start()
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (0, 0)
    harness.restart()
    deposit(harness)
    harness.run_until_idle()
    assert watching(harness).halts == []
    assert watching(harness).recoveries[-1] == (0, 1)
    assert balances(harness) == [1, 2, 3, 4]
