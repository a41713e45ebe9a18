"""What can't be decided is kept, without its secrets, and a bad deploy is stopped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.record import Output, Record
from streams.core.processor import Arrival, Cause, Context, Outcome, State
from streams.engine.deadletters import KEPT_OF_LARGE, LARGEST_VALUE, DeadLetterLimit, Tally
from streams.engine.options import MachineOptions
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Bank, Event, message
from tests.engine.watching import assert_repeats_are_equal, balances, events, kinds, watching


def test_a_dead_letter_keeps_key_headers_time_and_value_and_says_why(make: MakeHarness) -> None:
    harness = make()
    sent = harness.publish("requests", "k", b"{bad", (("ce_id", b"7"),))
    harness.clock.move(3)
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"k", b"{bad", sent.timestamp_ms)
    headers = dict(letter.headers)
    assert headers["ce_id"] == b"7"
    assert headers["__connect.errors.topic"] == b"requests"
    assert headers["__connect.errors.partition"] == b"0"
    assert headers["__connect.errors.offset"] == b"0"
    assert headers["__connect.errors.stage"] == b"decode"
    assert headers["__connect.errors.class.name"] == b"Bank"
    assert headers["__connect.errors.exception.class.name"] == b"UndecodableError"
    assert headers["__connect.errors.exception.message"] == b"not JSON"


def test_a_dead_letter_names_the_class_that_decides_and_not_what_wraps_it(make: MakeHarness) -> None:
    class Counted(Bank):
        def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
            return super().publish(outcome, cause, context)

    harness = make(Counted())
    harness.publish("requests", "k", b"{bad")
    harness.run_until_idle()
    assert harness.outputs("requests.dead")[0].header("__connect.errors.class.name") == b"Bank"


def test_what_is_overheard_leaves_its_dead_letters_to_another(make: MakeHarness) -> None:
    class Overhearing(Bank):
        overhears = frozenset({"requests"})

    harness = make(Overhearing())
    harness.publish("requests", "k", b"{bad")
    harness.publish("orders", "k", b"{bad")
    harness.publish("requests", "k", message("nonsense"))
    harness.run_until_idle()
    assert [one.header("__connect.errors.stage") for one in harness.outputs("requests.dead")] == [b"decide"]
    assert [one.header("__connect.errors.stage") for one in harness.outputs("orders.dead")] == [b"decode"]


def test_a_secret_is_scrubbed_and_the_letter_says_so(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "k", message("nonsense", pin="4711"))
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert letter.value is None
    assert letter.header("doorstream-sealed") == b"removed"
    assert all(b"4711" not in data for _, data in letter.headers)


def test_a_scrubber_that_fails_lets_nothing_pass(make: MakeHarness) -> None:
    class Failing(Bank):
        def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
            raise RuntimeError(record.topic)

    harness = make(Failing())
    harness.publish("requests", "k", b"{4711")
    harness.run_until_idle()
    assert harness.outputs("requests.dead")[0].value is None


def test_a_source_is_committed_only_after_its_dead_letters(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    held = harness.broker.fault("requests.dead")
    harness.publish("requests", "k", b"{bad")
    harness.worker.step(0.05)
    harness.clock.move(2)
    harness.worker.step(0.2)
    assert harness.broker.committed == {}
    held.release()
    harness.run_until_idle()
    assert harness.broker.committed["requests", 0] == 1


def test_a_huge_message_is_cut_in_its_letter(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "k", b"x" * 10_000_000)
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert len(letter.value or b"") == KEPT_OF_LARGE < LARGEST_VALUE
    assert letter.header("doorstream-cut") == b"10000000"
    assert balances(harness) == [1]


def test_an_output_that_the_broker_never_takes_does_not_stop_the_partition(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    for order in (message("deposit"), message("big", amount=2_000_000), message("deposit")):
        harness.publish("requests", "k", order)
    harness.run_until_idle()
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    assert balances(harness) == [1, 2, 3]
    (letter,) = harness.outputs("ledger.dead")
    assert letter.value is None
    assert (letter.header("doorstream-cut") or b"").endswith(b" all")
    harness.advance(2)
    assert watching(harness).checkpoints[-1][0] == 2
    assert watching(harness).drops == []


def test_a_refusal_that_raises_leaves_the_dead_letter(make: MakeHarness) -> None:
    class Stubborn(Bank):
        def refuse(self, *_: object) -> Sequence[Outcome]:
            raise RuntimeError("4711")

    harness = make(Stubborn())
    harness.publish("requests", "k", message("nonsense"))
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    assert kinds(harness) == ["deposited"]
    assert len(harness.outputs("requests.dead")) == 1


def test_an_outcome_that_cannot_be_published_takes_its_siblings_back(make: MakeHarness) -> None:
    class Unpublishable(Bank):
        def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            outcomes = super().decide(state, cause, context)
            return [*outcomes, Event("unpublishable", "a", 0, 0)] if outcomes[0].amount == 9 else outcomes

        def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
            if outcome.kind == "unpublishable":
                raise RuntimeError("no")
            return super().publish(outcome, cause, context)

    harness = make(Unpublishable())
    for amount in (1, 9, 1):
        harness.publish("requests", "k", message("deposit", amount=amount))
    harness.run_until_idle()
    assert [(event["kind"], event["balance"]) for event in events(harness)] == [
        ("deposited", 1),
        ("failed", 0),
        ("deposited", 2),
    ]


def test_a_refusal_is_the_same_on_replay(make: MakeHarness) -> None:
    harness = make()
    for kind in ("deposit", "half", "nonsense", "deposit"):
        harness.publish("requests", "k", message(kind))
        harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)
    assert [event["balance"] for event in events(harness)] == [1, 0, 0, 2, 3]
    assert len(harness.outputs("requests.dead")) == 2


def test_too_many_failures_of_the_code_in_a_row_stop_the_partition(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(dead_letter_consecutive=50, cycle_records=32))
    for at in range(500):
        harness.publish("requests", f"k{at % 7}", message("nonsense"), partition=0)
    harness.run_until_idle()
    assert harness.health()[0].phase == "halted"
    assert "the code failed at" in harness.health()[0].reason
    assert 50 <= len(harness.outputs("requests.dead")) < 100
    assert len(watching(harness).halts) == 1


@pytest.mark.parametrize("good", [0, 40])
def test_one_source_alone_never_stops_the_partition(make: MakeHarness, good: int) -> None:
    harness = make(options=MachineOptions(dead_letter_consecutive=50, dead_letter_window=200, cycle_records=32))
    for at in range(600):
        harness.publish("requests", "rogue", message("nonsense"), partition=0)
        if good and at % good == 0:
            harness.publish("requests", f"k{at}", message("deposit"), partition=0)
    harness.publish("requests", "k", message("deposit"), partition=0)
    harness.run_until_idle()
    assert len(harness.outputs("requests.dead")) == 600
    assert harness.worker.machine.ready
    assert kinds(harness)[-1] == "deposited"


def test_a_processor_says_who_sent_a_message_and_what_nobody_provably_sent_counts_for_nothing(
    make: MakeHarness,
) -> None:
    class Knowing(Bank):
        def source(self, arrival: Arrival, context: Context) -> str | None:
            assert context.number > 0
            if arrival.message["account"] == "?":
                raise LookupError
            return None if arrival.message["account"] == "forged" else arrival.message["account"]

    options = MachineOptions(dead_letter_consecutive=50, cycle_records=32)
    harness = make(Knowing(), options=options)
    for at in range(300):
        account = "?" if at % 2 else "forged"
        harness.publish("requests", f"k{at}", message("nonsense", account), partition=0)
    harness.run_until_idle()
    assert harness.worker.machine.ready
    for at in range(300):
        harness.publish("requests", "k", message("nonsense", f"a{at % 5}"), partition=0)
    harness.run_until_idle()
    assert harness.health()[0].phase == "halted"


def test_two_hundred_bad_messages_are_no_reason_to_stop(make: MakeHarness) -> None:
    harness = make()
    for _ in range(200):
        harness.publish("requests", "k", b"{bad")
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    assert balances(harness) == [1]


def tally(judged: int, failed: int, row: int, sources: int = 5) -> Tally:
    names: set[bytes | str] = {f"device-{at}" for at in range(sources)}
    return Tally(judged, failed, row, names if failed else set(), names if row else set())


@pytest.mark.parametrize(("dead", "sources", "stops"), [(40, 5, False), (60, 5, True), (60, 4, False)])
def test_the_ratio_counts_over_a_window_and_over_sources(*, dead: int, sources: int, stops: bool) -> None:
    limit = DeadLetterLimit(MachineOptions(dead_letter_window=1_000, dead_letter_ratio=0.5))
    reasons = [limit.count(tally(100, dead, 0, sources)) for _ in range(30)]
    assert reasons[:9] == [None] * 9
    assert any(reasons) is stops


def test_old_dead_letters_leave_the_window() -> None:
    limit = DeadLetterLimit(MachineOptions(dead_letter_window=1_000, dead_letter_ratio=0.5))
    for _ in range(5):
        limit.count(tally(100, 90, 0))
    assert [limit.count(tally(100, 0, 0)) for _ in range(30)] == [None] * 30


def test_the_sources_of_a_row_are_those_since_the_last_success() -> None:
    limit = DeadLetterLimit(MachineOptions(dead_letter_consecutive=10, dead_letter_sources=2))
    one, other = Tally(), Tally()
    for _ in range(8):
        one.raised("a")
    for _ in range(9):
        other.raised("b")
    between = Tally()
    between.raised("a")
    between.passed()
    between.raised("b")
    assert [limit.count(one), limit.count(between), limit.count(other)] == [None] * 3
    back = Tally()
    back.raised("a")
    assert limit.count(back) is not None


def test_entries_that_judge_nothing_are_not_remembered() -> None:
    limit = DeadLetterLimit(MachineOptions(dead_letter_consecutive=2))
    assert limit.count(tally(1, 1, 1)) is None
    assert [limit.count(Tally()) for _ in range(100)] == [None] * 100
    assert len(limit._runs) == 1
    assert limit.count(tally(1, 1, 1)) is not None
