"""What is told of controllers, held against what they sent."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import DeviceMessage
from schemas.devices import Fault, FaultCleared, Heartbeat
from streams.simulator.watch import Watch
from tests.simulator.small import NOON, campus

Told = list[tuple[str, str | None]]
LOST, BACK = ("controller_offline", None), ("controller_online", None)


def message(kind: type[DeviceMessage], **fields: Any) -> DeviceMessage:
    return kind(site_id="s", device_id="c1", boot=1, sequence=1, occurred_at=NOON, **fields)


def watch(silences: list[float], told: Told, faults: list[DeviceMessage] | None = None) -> Watch:
    """A controller that was silent so many seconds between its heartbeats, and what was told of it."""
    found, at_s = Watch(campus()), 0.0
    found.told({"device_id": "c1", "event": "controller_offline"})
    for silence in [0.0, *silences]:
        at_s += silence
        found.sent(message(Heartbeat), at_s)
    for one in faults or []:
        found.sent(one, at_s)
    for event, code in [BACK, *told]:
        found.told({"device_id": "c1", "event": event, "code": code})
    return found


@pytest.mark.parametrize(
    ("silences", "told"),
    [
        ([15, 15], []),
        ([60, 15], [LOST, BACK]),
        ([60, 60], [LOST, BACK, LOST, BACK]),
        ([44], []),
        ([44], [LOST, BACK]),
        ([46], []),
    ],
)
def test_what_happened_and_was_told_is_no_difference(silences: list[float], told: Told) -> None:
    found = watch(silences, told)
    assert found.differences() == []
    assert not found.waiting


@pytest.mark.parametrize(
    ("silences", "told", "said"),
    [
        ([60], [], "not told: controller_offline"),
        ([60], [LOST], "not told: controller_online"),
        ([15], [LOST, BACK], "was not silent as often"),
        ([60], [LOST, LOST, BACK], "told twice in a row"),
        ([60, 60], [LOST, BACK], "not told: controller_offline"),
        ([15], [("fault", "x")], "faults that it did not have"),
    ],
)
def test_what_was_told_otherwise_is_a_difference(silences: list[float], told: Told, said: str) -> None:
    assert said in str(watch(silences, told).differences())


def test_every_fault_and_its_end_must_be_told() -> None:
    faults = [message(Fault, code="x"), message(FaultCleared, code="x")]
    found = watch([], [("fault", "x")], faults)
    assert found.waiting
    assert found.differences() == ["c1: not told: fault_cleared x"]
    found.told({"device_id": "c1", "event": "fault_cleared", "code": "x"})
    assert (found.differences(), found.count("fault")) == ([], 1)


def test_a_controller_is_lost_from_when_that_is_told_until_it_is_told_to_be_back() -> None:
    assert not watch([60], []).is_lost("c1")
    assert watch([60], [LOST]).is_lost("c1")
    assert watch([60], [LOST, ("fault", "reader_1_lost")]).is_lost("c1")
    assert not watch([60], [LOST, BACK]).is_lost("c1")
