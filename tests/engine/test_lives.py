"""Topics or brokers that were made anew under the same name are noticed before anything is written."""

from __future__ import annotations

import pytest

from streams.engine.errors import AnotherLifeError
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import JOURNAL, deposit
from tests.engine.toy import message


def test_a_topic_that_was_made_anew_is_told_and_not_passed_over(make: MakeHarness) -> None:
    harness = make()
    for _ in range(5):
        deposit(harness)
    harness.run_until_idle()
    harness.advance(2)
    harness.crash()
    del harness.broker.logs["requests", 0]
    deposit(harness)
    harness.start()
    harness.run_until_idle()
    assert harness.health()[0].phase == "halted"
    assert "requests/0 ends at 1" in harness.health()[0].reason


def test_a_reference_topic_that_was_made_anew_is_told_and_not_awaited(make: MakeHarness) -> None:
    harness = make()
    for percent in (1, 2, 3):
        harness.publish("reference.rate", "r", b'{"name": "r", "percent": %d}' % percent)
    harness.run_until_idle()
    harness.publish("requests", "a", message("ask", "a", rate="r"))
    harness.run_until_idle()
    harness.advance(2)
    harness.crash()
    del harness.broker.logs["reference.rate", 0]
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 1}')
    harness.start()
    harness.run_until_idle()
    assert harness.health()[0].phase == "halted"
    assert "reference.rate/0 ends at 1" in harness.health()[0].reason


def test_a_worker_of_an_earlier_life_of_the_broker_ends_before_it_writes(make: MakeHarness) -> None:
    harness = make(incarnation=7)
    deposit(harness)
    harness.run_until_idle()
    harness.broker.logs.clear()
    harness.broker.incarnation = 8
    harness.worker.client.positions.clear()
    deposit(harness)
    harness.worker.lose([0])
    harness.worker.assign([0])
    harness.worker.step(1)
    with pytest.raises(AnotherLifeError, match="incarnation 7 is over, now it is 8"):
        harness.crash()
    assert harness.broker.records(JOURNAL) == []
