"""Whatever an outsider sends, the sites of its partition go on."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.marks import POSITION_HEADER, Marks
from streams.engine.options import MachineOptions
from streams.engine.state import MOST_MARKS
from tests.engine.conftest import MakeHarness
from tests.engine.toy import message
from tests.engine.watching import balances, watching

FAR = b"9" * 4_000


@pytest.mark.parametrize(
    "position",
    [b"x/%s/0/1/0" % FAR, b"x/1/0/%s/0" % FAR, b"x/1/0/1/%s" % FAR, b"x/1/%s/1/0" % FAR, b"x" * 500 + b"/1/0/1/0"],
)
def test_a_position_that_no_machine_writes_is_none(make: MakeHarness, position: bytes) -> None:
    marks = Marks()
    assert [marks.accept("t", 0, position) for _ in range(2)] == [True, True]
    harness = make()
    harness.publish("requests", "a", message("deposit"), ((POSITION_HEADER, position),))
    harness.publish("requests", "a", message("deposit"), ((POSITION_HEADER, position),))
    harness.run_until_idle()
    harness.advance(2)
    harness.restart()
    harness.run_until_idle()
    assert balances(harness) == [1, 2]
    assert watching(harness).halts == []


def test_marks_of_invented_machines_fill_no_state(make: MakeHarness) -> None:
    harness = make()
    for at in range(1_000):
        harness.publish("requests", "a", message("deposit"), ((POSITION_HEADER, b"x%d/1/0/1/0" % at),))
    for at in (1, 1, 1, 2):
        harness.publish("events", "a", message("deposit"), ((POSITION_HEADER, b"other/1/0/%d/0" % at),))
    harness.run_until_idle()
    harness.advance(2)
    harness.restart()
    harness.publish("events", "a", message("deposit"), ((POSITION_HEADER, b"other/1/0/2/0"),))
    harness.publish("requests", "a", message("deposit"), ((POSITION_HEADER, b"y/1/0/1/0"),))
    harness.run_until_idle()
    assert balances(harness)[-1] == 1_003
    partition = harness.worker.machine._slots[0].partition
    assert partition is not None
    assert len(partition.store) == MOST_MARKS + 2


def test_a_message_that_means_nothing_to_the_processor_is_passed_over_and_marked_as_read(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "a", b"null", ((POSITION_HEADER, b"other/1/0/7/0"),))
    harness.run_until_idle()
    assert harness.processor.decided == 0  # type: ignore[attr-defined]
    assert harness.outputs("requests.dead") == []
    harness.restart()
    for number in (7, 8):
        harness.publish("requests", "a", message("deposit"), ((POSITION_HEADER, b"other/1/0/%d/0" % number),))
    harness.run_until_idle()
    assert balances(harness) == [1]


@pytest.mark.parametrize("bad", ["key", "header", "our header"])
def test_a_message_whose_key_or_headers_are_huge_is_a_dead_letter_all_the_same(make: MakeHarness, bad: str) -> None:
    harness = make()
    huge = b"k" * 2_000_000
    name = {"header": "x", "our header": "doorstream-x"}.get(bad)
    harness.publish("requests", huge if bad == "key" else "k", b"{bad", ((name, huge),) if name else (), partition=0)
    harness.publish("requests", "k", message("deposit"), partition=0)
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert letter.value == b"{bad"
    assert letter.header("doorstream-cut-key" if bad == "key" else "doorstream-cut-headers") is not None
    assert balances(harness) == [1]
    assert watching(harness).drops == []


def test_a_header_without_a_value_is_no_obstacle(make: MakeHarness) -> None:
    harness = make()
    headers: Any = (("x", None), ("doorstream-position", None))
    harness.publish("requests", "k", b"{bad", headers)
    harness.publish("requests", "k", message("nonsense"), headers)
    harness.publish("requests", "k", message("deposit"), headers)
    harness.run_until_idle()
    assert len(harness.outputs("requests.dead")) == 2
    assert watching(harness).drops == []


def test_no_header_passes_for_what_a_dead_letter_says_itself(make: MakeHarness) -> None:
    harness = make()
    forged = (("__connect.errors.offset", b"77"), ("doorstream-cut", b"9 all"))
    harness.publish("requests", "k", b"{bad", forged)
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert letter.header("__connect.errors.offset") == b"0"
    assert letter.header("doorstream-cut") is None
    assert letter.header("source-__connect.errors.offset") == b"77"


def test_a_letter_that_the_broker_finds_too_large_still_comes_in_its_cut_form(make: MakeHarness) -> None:
    harness = make()
    harness.run_until_idle()
    harness.broker.fault("requests.dead", ValueError("too large"), written=False, times=1)
    headers = (("doorstream-cut", b"9 all"), ("doorstream-x", b"x" * 60_000))
    harness.publish("requests", b"k" * 60_000, b"{bad", headers, partition=0)
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert letter.value is None
    assert len(letter.key or b"") + sum(len(data) for _, data in letter.headers) < 10_000
    assert watching(harness).drops == []


def test_a_flood_of_garbage_stops_nothing(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(dead_letter_consecutive=100, dead_letter_window=200))
    for _ in range(1_000):
        harness.publish("requests", "k", b"{bad")
    harness.publish("requests", "k", message("nonsense"))
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    assert len(harness.outputs("requests.dead")) == 1_001
    assert balances(harness) == [0, 1]
    assert harness.worker.machine.ready


def test_a_message_with_a_header_name_that_is_not_utf8_is_a_dead_letter(make: MakeHarness) -> None:
    harness = make()
    harness.publish("requests", "k", message("deposit", "a", 100), (("x", b"1"), ("doorstream-not-utf8-ff", b"2")))
    harness.publish("requests", "k", message("deposit"))
    harness.run_until_idle()
    (letter,) = harness.outputs("requests.dead")
    assert letter.value == message("deposit", "a", 100)
    assert letter.header("source-doorstream-not-utf8-ff") == b"2"
    assert letter.header("__connect.errors.exception.message") == b"a header's name is not UTF-8"
    assert balances(harness) == [1]
