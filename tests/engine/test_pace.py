"""How much a cycle takes, so that whoever has just come does not wait for thousands of others' messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from streams.engine.harness import Harness
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.options import MachineOptions
from streams.engine.pace import BEHIND_S, FRESH_MS, LEAST_TURN, LINGER_S, LONGEST_WAY_S, MOST_TURN, TURN_S, Cost, Pace
from streams.engine.runner import DecideOptions
from streams.engine.worker import DecideWorker
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Bank, Rated, message
from tests.engine.watching import assert_repeats_are_equal, events, kinds, watching

OPTIONS = MachineOptions()
LARGE, SMALL = OPTIONS.cycle_records, OPTIONS.smallest_share
NOW_MS = 1_000_000


def flood(harness: Harness, *, age_s: float) -> None:
    """A thousand messages, appended that long ago, at a machine that has decided one before."""
    harness.publish("requests", "a", message("deposit", "a", 1), partition=0)
    harness.run_until_idle()
    for _ in range(1_000):
        harness.publish("requests", "a", message("deposit", "a", 1), partition=0)
    harness.clock.move(age_s)
    harness.run_until_idle()


def test_while_messages_are_fresh_nobody_waits_for_a_large_cycle(make: MakeHarness) -> None:
    harness = make(partitions=2)
    flood(harness, age_s=0)
    sizes = [messages for _, messages in watching(harness).decisions]
    assert sum(sizes) == 1_001
    assert max(sizes) <= SMALL


def test_an_old_backlog_is_decided_in_large_cycles(make: MakeHarness) -> None:
    harness = make(partitions=2)
    flood(harness, age_s=FRESH_MS / 1000 + 1)
    assert max(messages for _, messages in watching(harness).decisions) > SMALL


def test_a_cycle_stays_small_for_a_while_after_somebody_came() -> None:
    pace = Pace()
    assert pace.share(OPTIONS, 1, 0.0) == LARGE
    pace.note(NOW_MS - FRESH_MS, NOW_MS, 10.0)
    shares = [pace.share(OPTIONS, 1, 10.0 + since_s) for since_s in (0, LINGER_S * 0.9, LINGER_S)]
    assert shares == [SMALL, SMALL, LARGE]


@pytest.mark.parametrize("oldest_ms", [None, NOW_MS - FRESH_MS - 1])
def test_nobody_and_what_is_old_are_in_no_hurry(oldest_ms: int | None) -> None:
    pace = Pace()
    pace.note(oldest_ms, NOW_MS, 10.0)
    assert pace.share(OPTIONS, 1, 10.0) == LARGE


@pytest.mark.parametrize(
    ("cause_s", "waiting", "causes"),
    [
        (TURN_S / 50, 1, 50),
        (TURN_S / 50, 5, 10),
        (TURN_S, 1, LEAST_TURN),
        (TURN_S / 10_000, 1, MOST_TURN),
        (0.0, 0, MOST_TURN),
    ],
)
def test_who_gave_way_decides_for_so_long_as_others_may_wait(cause_s: float, waiting: int, causes: int) -> None:
    pace, cost = Pace(), Cost()
    for _ in range(9_000):
        cost.count(100, 100 * cause_s)
    pace.note(NOW_MS, NOW_MS, 10.0)
    assert pace.share(OPTIONS, waiting, 10.0, cost=cost) == pytest.approx(causes, abs=1)
    assert pace.share(OPTIONS, 1, 10.0 + LINGER_S, cost=cost) == LARGE


def test_who_is_behind_decides_for_longer() -> None:
    pace, cost = Pace(), Cost()
    cost.count(10**6, TURN_S / 10 * 10**6)
    pace.note(NOW_MS, NOW_MS, 10.0)
    shares = [pace.share(OPTIONS, 1, 10.0, cost=cost, behind_s=many * BEHIND_S) for many in (0, 1, 2, 5, 1_000)]
    assert shares == [pytest.approx(expected, abs=1) for expected in (10, 10, 20, 50, MOST_TURN)]


def test_what_a_cause_costs_is_what_it_cost_lately() -> None:
    cost = Cost()
    assert cost.causes_in(0.001) == pytest.approx(10)
    for cause_s in (0.000_02, 0.000_2):
        for _ in range(100):
            cost.count(30, 30 * cause_s)
            cost.count(0, 0.001)
        assert cost.causes_in(0.001) == pytest.approx(0.001 / cause_s, rel=0.01)


@pytest.mark.parametrize(("age_s", "least", "most"), [(0.0, 9, 11), (4 * BEHIND_S, 39, 49)])
def test_a_cycle_that_others_wait_for_is_as_long_as_its_causes_were_dear_and_have_waited(
    make: MakeHarness, age_s: float, least: int, most: int
) -> None:
    class Dear(Bank):
        def decide(self, state: Any, cause: Any, context: Any) -> Any:
            harness.clock.move(TURN_S / 10)
            return super().decide(state, cause, context)

    harness = make(Dear())
    machine = harness.worker.machine
    around = machine._around = machine._cycle._around = msgspec.structs.replace(machine._around, hurried=False)
    around.pace.note(NOW_MS, NOW_MS, 1e9)
    for _ in range(500):
        harness.publish("requests", "a", message("deposit", "a", 1), partition=0)
    harness.clock.move(age_s)
    harness.run_until_idle()
    sizes = [messages for _, messages in watching(harness).decisions]
    assert sum(sizes) == 500
    assert sizes[0] > most, "what a cause costs is not known before"
    settled = sizes[len(sizes) // 2 : -1]
    assert least <= min(settled) <= max(settled) <= most


def test_a_partition_is_behind_by_the_deadline_that_has_passed(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "a", message("lend", "a", 1_000), partition=0)
    harness.run_until_idle()
    (slot,) = harness.worker.machine._slots.values()
    assert slot.partition is not None
    due_ms = slot.partition.store.deadlines.next_ms()
    assert due_ms is not None
    assert [slot.partition.behind_ms(due_ms + late_ms) for late_ms in (-500, 0, 700)] == [0, 0, 700]


def test_processors_that_nobody_waits_for_follow_the_pace_of_those_in_a_hurry() -> None:
    class Slow(Bank):
        name = "slow"

    options = DecideOptions(KafkaSettings("127.0.0.1:9"), unhurried=frozenset({"slow"}))
    bank, slow = DecideWorker(options, [Bank(), Slow()]).runners
    assert bank._pace is slow._pace is not None
    assert (bank._hurried, slow._hurried) == (True, False)


@pytest.mark.parametrize(("waiting", "each"), [(0, LARGE), (1, LARGE), (4, LARGE // 4), (1_000, SMALL)])
def test_partitions_that_have_a_backlog_share_the_cycle_and_none_gets_too_little(waiting: int, each: int) -> None:
    assert Pace().share(OPTIONS, waiting, 0.0) == each


class Loop:
    """The running event loop, whose turns take so long one after the other (0: it is idle)."""

    def __init__(self, *turns_s: float) -> None:
        self.turns_s = list(turns_s)
        self.at_s = 10.0
        self.turns = 0
        self._task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self.turns_s:
            self.at_s += self.turns_s.pop(0)
            self.turns += 1
            await asyncio.sleep(0)

    def now_s(self) -> float:
        return self.at_s


@pytest.mark.parametrize(
    ("turns_s", "waited"),
    [([0.0] * 9, 2), ([0.001] * 5 + [0.0] * 9, 7), ([0.001, 0.0] * 4 + [0.0] * 9, 9), ([LONGEST_WAY_S / 4] * 99, 4)],
)
async def test_what_nobody_waits_for_gives_way_until_the_loop_is_idle_but_not_for_ever(
    turns_s: list[float], waited: int
) -> None:
    loop, pace = Loop(*turns_s), Pace()
    pace.note(NOW_MS, NOW_MS, loop.at_s)
    await pace.give_way(loop.now_s)
    assert loop.turns == waited


async def test_nobody_gives_way_where_nobody_waits() -> None:
    loop = Loop(*[0.001] * 99)
    await Pace().give_way(loop.now_s)
    assert loop.turns == 0


def due_while_somebody_comes(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch, processor: Rated, meanwhile: Callable[[Harness], None]
) -> Harness:
    """A loan is overdue in one partition while somebody comes in the other, and something happens before its turn."""

    async def give_way(_pace: Pace, _now_s: Any) -> None:
        meanwhile(harness)
        await asyncio.sleep(0.2)
        seen.append(sorted(kinds(harness)))

    seen: list[list[str]] = []
    harness = make(processor, partitions=2, options=MachineOptions(checkpoint_interval_s=10_000))
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 5}', partition=0)
    harness.publish("requests", "a", message("lend", "a", 1_000), partition=0)
    harness.run_until_idle()
    harness.clock.move(0.9)
    harness.publish("requests", "b", message("deposit", "b", 1), partition=1)
    harness.run_until_idle()
    harness.clock.move(0.2)
    monkeypatch.setattr(Pace, "give_way", give_way)
    harness.worker.step(1)
    monkeypatch.undo()
    harness.run_until_idle()
    assert seen[:1] == [["deposited", "deposited", "lent"]], "who came meanwhile was answered first"
    assert sorted(kinds(harness)) == ["deposited", "deposited", "lent", "overdue"]
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)
    return harness


def another_comes(harness: Harness) -> None:
    if len(harness.broker.records("requests")) == 2:
        harness.publish("requests", "b", message("deposit", "b", 2), partition=1)


def test_who_comes_is_answered_before_deadlines_that_nobody_waits_for(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = due_while_somebody_comes(make, monkeypatch, Rated(), another_comes)
    assert watching(harness).drops == []


def test_a_deadline_that_gave_way_is_decided_by_the_references_that_it_was_taken_by(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(harness: Harness) -> None:
        another_comes(harness)
        harness.publish("reference.rate", "r", b'{"name": "r", "percent": 7}', partition=0)

    harness = due_while_somebody_comes(make, monkeypatch, Rated(), change)
    assert [event["amount"] for event in events(harness) if event["kind"] == "overdue"] == [5]


def test_where_a_deadline_that_gave_way_cannot_be_decided_its_partition_is_recovered(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = Rated()
    processor.failing = MemoryError("for once")
    harness = due_while_somebody_comes(make, monkeypatch, processor, another_comes)
    assert watching(harness).drops == [(0, "deciding: MemoryError: for once")]
