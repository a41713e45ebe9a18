"""A clock that leaps poisons no journal: the broker's clock is heard first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from schemas.record import Record
from streams.engine.harness import Harness
from streams.engine.memory import ManualClock
from streams.engine.options import MachineOptions
from streams.engine.timekeeping import LOOK_S, SteadyClock
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import deposit
from tests.engine.watching import events, watching

HOUR_MS = 3_600_000


class Both:
    """A worker's clock and the broker's, which go on together; the worker's may leap."""

    def __init__(self, harness: Harness, skew_ms: int = 0) -> None:
        self.worker = harness.clock
        self.broker = ManualClock(harness.clock.now_ms() - skew_ms)
        harness.broker.clock = self.broker
        self.harness = harness

    def move(self, seconds: float) -> None:
        self.worker.move(seconds)
        self.broker.move(seconds)

    def leap(self, milliseconds: int) -> None:
        self.worker._now_ms += milliseconds

    def deposit_at(self) -> int:
        """How far from the broker's time the next decision believes to be, in milliseconds."""
        deposit(self.harness)
        self.harness.run_until_idle()
        at_ms: int = events(self.harness)[-1]["at_ms"]
        return at_ms - self.broker.now_ms()


def test_a_leap_ahead_is_not_followed(make: MakeHarness) -> None:
    harness = make()
    both = Both(harness)
    assert both.deposit_at() == 0
    both.leap(HOUR_MS)
    assert [both.deposit_at() for _ in range(3)] == [0, 0, 0]
    assert watching(harness).skews == [HOUR_MS]
    assert not harness.worker.machine.ready
    both.leap(-HOUR_MS)
    assert both.deposit_at() == 0
    assert harness.worker.machine.ready


def test_a_leap_to_the_right_time_is_followed(make: MakeHarness) -> None:
    harness = make(start=False)
    both = Both(harness, skew_ms=-HOUR_MS)
    harness.start()
    assert both.deposit_at() == 0
    assert not harness.worker.machine.ready
    both.leap(HOUR_MS)
    assert both.deposit_at() == 0
    assert harness.worker.machine.ready
    both.move(9)
    assert both.deposit_at() == 0


def test_a_clock_that_drifts_away_is_noticed_while_it_runs(make: MakeHarness) -> None:
    harness = make()
    both = Both(harness)
    for _ in range(8):
        both.leap(1_000)
        both.move(LOOK_S / 4)
        both.deposit_at()
    assert watching(harness).skews != []
    assert not harness.worker.machine.ready
    # Time stands still until the right one has caught up with it: it never falls.
    both.move(LOOK_S)
    assert abs(both.deposit_at()) <= 5_000


def test_a_slow_recovery_is_no_skew(make: MakeHarness) -> None:
    harness = make(start=False, options=MachineOptions(session_timeout_s=1e9))
    both = Both(harness)
    worker = harness.start([])
    read = worker.client.read

    async def slow(topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        both.move(7)
        async for records in read(topic, partition, start, stop):
            yield records

    worker.client.read = slow  # type: ignore[method-assign]
    worker.assign([0])
    harness.run_until_idle()
    assert harness.worker.machine.ready
    assert watching(harness).skews == []


def test_a_broker_that_does_not_stamp_leaves_the_worker_its_clock(make: MakeHarness) -> None:
    harness = make(stamps=False)
    deposit(harness)
    harness.run_until_idle()
    harness.clock._now_ms += HOUR_MS
    deposit(harness)
    harness.run_until_idle()
    first, second = (event["at_ms"] for event in events(harness))
    assert second - first == HOUR_MS


def test_what_was_under_way_during_a_leap_judges_nothing() -> None:
    wall = ManualClock()
    clock = SteadyClock(wall, 5_000, hold=True)
    start_ms = wall.now_ms()
    sent = clock.moment()
    wall._now_ms += HOUR_MS
    assert clock.judge(sent, clock.moment(), start_ms) is None
    assert clock.suspect
    assert clock.now_ms() == start_ms
    assert clock.judge(clock.moment(), clock.moment(), start_ms) == HOUR_MS
    assert clock.now_ms() == start_ms


def test_a_slow_answer_is_no_skew_and_a_late_one_is_as_much_as_is_proved() -> None:
    wall = ManualClock()
    clock = SteadyClock(wall, 5_000, hold=True)
    now_ms = wall.now_ms()
    assert clock.judge((now_ms, 0), (now_ms + 60_000, 0), now_ms + 30_000) == 0
    assert clock.judge((now_ms, 0), (now_ms + 100, 0), now_ms + 7_100) == -7_000
    assert clock.judge((now_ms, 0), (now_ms + 100, 0), now_ms - 8_000) == 8_000
