"""Whatever an outsider sends, the sites of its partition go on."""

from __future__ import annotations

import pytest

from streams.engine.marks import POSITION_HEADER, Marks
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
