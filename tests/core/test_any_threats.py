"""Any order of threats, levels, clears and waiting: what is in force is what an independent model says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.core.test_threats import HOLD_S, MONITOR_S, clear, force, set_level, site

DOORS = ("front", "lab")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("force"), st.sampled_from(DOORS)),
        st.tuples(st.just("wait"), st.sampled_from([1, 300, 601, MONITOR_S, HOLD_S])),
        st.tuples(st.just("set"), st.sampled_from([None, 60, 1000])),
        st.tuples(st.just("clear"), st.sampled_from(["lab", "hall"])),
    ),
    max_size=25,
)
ZONE = {"front": "hall", "lab": "lab"}


class Model:
    """What should be so, kept in the simplest way: every moment, and the end of everything."""

    def __init__(self) -> None:
        self.now = 0
        self.forced: list[tuple[int, str]] = []
        self.monitored: dict[str, int] = {}
        self.high_until: int | None = None
        self.operator: tuple[bool, int | None] = (False, None)
        self.proposed = 0

    def force(self, zone: str) -> None:
        recent = min(4, sum(one == zone and at > self.now - 600 for at, one in self.forced))
        self.forced.append((self.now, zone))
        self.monitored[zone] = self.now + MONITOR_S
        if 40 + 10 * recent >= 80:
            if self.high_until is None:
                self.proposed += 1
            self.high_until = self.now + HOLD_S

    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.monitored = {zone: end for zone, end in self.monitored.items() if end > self.now}
        if self.high_until is not None and self.high_until <= self.now:
            self.high_until = None
        if self.operator[0] and self.operator[1] is not None and self.operator[1] <= self.now:
            self.operator = (False, None)

    def clear(self, zone: str) -> None:
        self.monitored.pop(zone, None)
        if zone == "hall":
            self.high_until = None
        else:
            self.operator = (False, None)

    def expected(self) -> dict[str, Any]:
        return {
            "monitored": sorted(self.monitored),
            "high": self.high_until is not None,
            "operator": self.operator[0],
            "proposed": self.proposed,
        }


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@settings(max_examples=examples(40), deadline=None)
@given(STEPS)
def test_levels_and_monitoring_end_exactly_and_nothing_is_proposed_twice(steps: list[tuple[str, Any]]) -> None:
    world, model = site(), Model()
    for number, (what, value) in enumerate(steps):
        if what == "force":
            force(world, value)
            model.force(ZONE[value])
        elif what == "wait":
            world.wait(value)
            model.wait(value)
        elif what == "set":
            set_level(world, number, for_s=value)
            model.operator = (True, None if value is None else model.now + value)
        else:
            clear(world, number, subject_id=value)
            model.clear(value)
        assert _found(world) == model.expected()
    world.wait(HOLD_S + MONITOR_S)
    model.wait(HOLD_S + MONITOR_S)
    assert _found(world) == model.expected()
    if not model.operator[0]:
        assert not any(key.startswith(("threat/", "threats/", "monitored/", "lately/")) for key in world.state)


def _found(world: Any) -> dict[str, Any]:
    """What the site keeps, and what it has told, which must say the same."""
    last: dict[tuple[str, str], Any] = {}
    for one in world.threats():
        if one.type.startswith("monitoring_"):
            last["monitoring", one.subject_id] = one
        elif one.type.startswith("threat_level_"):
            last[one.source, one.zone_id] = one
    on = {key for key, one in last.items() if one.type not in {"monitoring_ended", "threat_level_cleared"}}
    kept = sorted(key.rpartition("/")[2] for key in world.state if key.startswith("monitored/"))
    told = sorted(zone for what, zone in on if what == "monitoring")
    assert kept == told
    return {
        "monitored": told,
        "high": ("assessment", "hall") in on,
        "operator": ("operator", "lab") in on,
        "proposed": sum(one.type == "threat_assessed" and one.response == "plan_proposed" for one in world.threats()),
    }
