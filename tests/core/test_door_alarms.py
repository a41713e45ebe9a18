"""Door alarms (M2): only what an admitted controller says, each with its end, and who passed last."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.keys import DEVICE, derive_key
from tests.core.world import World, event, of_type


def alarms(found: list[Any]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Each alarm: what happened, what is active and what has ended."""
    return [(one.event, one.active, one.ended) for one in of_type(found, "door_alarm")]


@pytest.mark.parametrize("alarm", ["door_forced_open", "door_held_open", "door_pre_alarm"])
def test_an_alarm_of_a_door_is_told_and_so_is_its_end(alarm: str) -> None:
    world = World()
    assert alarms(world.send(event(alarm))) == [(alarm, (alarm,), ())]
    assert alarms(world.send(event("door_closed"))) == [("door_closed", (), (alarm,))]
    assert alarms(world.send(event("door_closed"))) == []


def test_a_usual_door_tells_nothing() -> None:
    world = World()
    world.ask()
    assert [alarms(world.send(event(one))) for one in ("door_opened", "door_closed", "request_to_exit")] == [[], [], []]


def test_a_door_that_is_held_open_no_longer_may_still_have_been_forced() -> None:
    world = World()
    for one in ("door_forced_open", "door_pre_alarm", "door_held_open"):
        found = world.send(event(one))
    assert alarms(found)[0][1] == ("door_forced_open", "door_pre_alarm", "door_held_open")
    assert alarms(world.send(event("door_held_open_cleared"))) == [
        ("door_held_open_cleared", ("door_forced_open",), ("door_pre_alarm", "door_held_open"))
    ]
    assert alarms(world.send(event("door_closed"))) == [("door_closed", (), ("door_forced_open",))]


def test_a_heartbeat_that_says_that_the_door_is_shut_ends_its_alarms() -> None:
    world = World()
    world.send(event("door_forced_open"))
    doors = [{"door_id": "front", "mode": "locked", "open": True}]
    assert alarms(world.send(event("heartbeat", doors=doors))) == []
    doors[0]["open"] = False
    assert alarms(world.send(event("heartbeat", doors=doors))) == [("door_closed", (), ("door_forced_open",))]


def test_a_strangers_event_is_no_alarm() -> None:
    world = World()
    assert alarms(world.send(event("door_forced_open"), key=derive_key(b"x" * 32, DEVICE, "c1"))) == []
    assert alarms(world.send(event("door_forced_open", door_id="elsewhere"))) == []


def test_an_alarm_says_who_passed_last() -> None:
    world = World()
    decision = world.ask()
    world.send(event("door_opened"))
    (alarm,) = of_type(world.send(event("door_held_open")), "door_alarm")
    assert (alarm.last_cardholder_id, alarm.last_decision_id) == ("ann", decision.decision_id)
    assert alarm.last_passed_at is not None


def test_an_alarm_lies_under_its_doors_name() -> None:
    world = World()
    world.send(event("door_forced_open"))
    assert [(one.topic, one.key) for one in world.sent if one.topic != "threats"] == [("door.alarms", b"front")]
