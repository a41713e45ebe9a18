"""Marks drop repeats: for readers outside, and for a processor that reads what another wrote."""

from __future__ import annotations

import msgspec
import pytest

from schemas.record import Output
from streams.core.processor import Cause, Context, Outcome
from streams.engine.machine import Machine
from streams.engine.marks import POSITION_HEADER, Marks
from streams.engine.memory import ManualClock, MemoryBroker, MemoryClient
from streams.engine.references import ReferenceTables
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Bank, Event, message
from tests.engine.watching import balances, watching


def test_only_what_is_above_the_mark_passes() -> None:
    marks = Marks()
    given = [b"p/1/0/5/0", b"p/1/0/5/1", b"p/1/0/5/1", b"p/1/0/4/9", b"p/1/0/10/0", b"p/1/0/9/9"]
    assert [marks.accept("t", 0, header) for header in given] == [True, True, False, False, True, False]


def test_each_source_and_each_topic_partition_has_its_own_mark() -> None:
    marks = Marks()
    assert marks.accept("t", 0, b"p/1/0/5/0")
    assert marks.accept("t", 1, b"p/1/0/5/0")
    assert marks.accept("u", 0, b"p/1/0/5/0")
    assert marks.accept("t", 0, b"q/1/0/5/0")
    assert marks.accept("t", 0, b"p/1/3/5/0")


def test_a_new_incarnation_ranks_higher_and_an_old_one_lower() -> None:
    marks = Marks()
    assert marks.accept("t", 0, b"p/1/0/500/0")
    assert marks.accept("t", 0, b"p/2/0/1/0")
    assert not marks.accept("t", 0, b"p/1/0/501/0")


def test_what_has_no_position_passes() -> None:
    marks = Marks()
    for header in (None, b"", b"a/b/c", b"p/x/0/1/1"):
        assert marks.accept("t", 0, header)
        assert marks.accept("t", 0, header)


def test_a_processor_drops_repeats_of_another_processors_outputs(make: MakeHarness) -> None:
    harness = make()

    def send(amount: int, position: bytes) -> None:
        headers = ((POSITION_HEADER, position),)
        harness.publish("events", "a", message("deposit", "a", amount), headers)
        harness.run_until_idle()

    send(1, b"other/1/0/7/0")
    send(1, b"other/1/0/7/0")
    harness.advance(1.1)  # the mark lies in the state log
    harness.restart()
    send(1, b"other/1/0/7/0")
    send(2, b"other/1/0/7/1")
    harness.restart()  # the mark comes from deciding again
    send(2, b"other/1/0/7/1")
    send(4, b"other/1/0/8/0")
    assert balances(harness) == [1, 3, 7]
    assert watching(harness).drifts == []


def test_a_refused_message_leaves_its_mark(make: MakeHarness) -> None:
    harness = make()
    for value in (message("nonsense"), message("nonsense"), b"{bad", b"{bad"):
        number = 1 if value.startswith(b'{"') else 2
        harness.publish("events", "a", value, ((POSITION_HEADER, b"other/1/0/%d/0" % number),))
    harness.run_until_idle()
    letters = harness.outputs("events.dead")
    assert len(letters) == 2
    assert letters[0].header("doorstream-source-position") == b"other/1/0/1/0"
    assert (letters[0].header(POSITION_HEADER) or b"").startswith(b"bank/")


class TalksBehindBacks(Bank):
    """What is withdrawn is published to `secrets`, which readers of the ledger must not know of."""

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        made = super().publish(outcome, cause, context)
        secret = made is not None and isinstance(outcome, Event) and outcome.kind == "withdrawn"
        return msgspec.structs.replace(made, topic="secrets") if made is not None and secret else made


def test_positions_tell_readers_of_a_topic_nothing_of_what_is_published_to_others(make: MakeHarness) -> None:
    harness = make(TalksBehindBacks())
    for kind in ("deposit", "withdraw", "nonsense", "deposit", "withdraw", "deposit"):
        harness.publish("requests", "a", message(kind))
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    for topic, count in (("ledger", 4), ("secrets", 2), ("requests.dead", 1)):
        sent = harness.outputs(topic)
        assert [record.header(POSITION_HEADER) for record in sent] == [b"bank/1/0/1/%d" % at for at in range(count)]
        again = harness.outputs(topic, marked=False)
        assert [record.value for record in again] == [record.value for record in sent] * 2
    assert watching(harness).drifts == []


@pytest.mark.parametrize("name", ["", "a/b", "naïve", "x" * 101])
def test_a_processor_whose_name_no_position_can_carry_is_refused(name: str) -> None:
    bank, clock = Bank(), ManualClock()
    bank.name = name
    client = MemoryClient(MemoryBroker(clock))
    with pytest.raises(ValueError, match="can't be a processor's name"):
        Machine(bank, client, clock, incarnation=1, references=ReferenceTables((), clock).views(()))


def test_a_processors_name_may_have_dots_and_capitals(make: MakeHarness) -> None:
    bank = Bank()
    bank.name = "T1-x.Bank_2"
    harness = make(bank)
    harness.publish("requests", "a", message("deposit"))
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    assert balances(harness) == [1]
