"""How much a cycle takes, so that whoever has just come does not wait for thousands of others' messages."""

from __future__ import annotations

import pytest

from streams.engine.harness import Harness
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.options import MachineOptions
from streams.engine.pace import FRESH_MS, LINGER_S, Pace
from streams.engine.runner import DecideOptions
from streams.engine.worker import DecideWorker
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Bank, message
from tests.engine.watching import watching

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
