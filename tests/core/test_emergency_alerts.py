"""Who must know of a lockdown is told: at its start, as it is confirmed, when it is over, and of doors that fail."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import Message
from schemas.record import Record
from streams.core.alerts import AlertsProcessor
from tests.core.desk import Desk
from tests.core.emergency import Site, commands, incident_id
from tests.core.world import of_type


def told(desk: Desk, found: list[Any]) -> None:
    """The alerts' machine reads what the site published."""
    topics = {"door_mode_desired": "door.modes"}
    for message in found:
        topic = topics.get(message.type, "incidents" if message.type.startswith("lockdown_") else None)
        if topic is not None and isinstance(message, Message):
            desk.harness.publish(topic, "hq", message.to_json())
    desk.harness.run_until_idle()


def raised(desk: Desk) -> list[tuple[str, str]]:
    return [(one.kind, one.severity) for one in desk.messages() if one.type == "alert_raised"]


@pytest.mark.branch("E2.10")
@pytest.mark.branch("M3.16")
@pytest.mark.branch("M3.17")
def test_guards_are_told_at_the_start_and_again_as_it_is_confirmed_and_when_it_is_over() -> None:
    with Desk() as desk:
        site = Site(guard_notice="Guard the gate.", notice="Leave by the nearest door.", occupants="clear")
        found = site.lock_down("lab", "high")
        assert {one.mode for one in commands(found)} == {"locked_down"}
        assert [one.notice for one in of_type(found, "lockdown_started")] == ["Leave by the nearest door."]
        told(desk, found)
        assert raised(desk) == [("lockdown", "critical")]
        last = desk.messages()[-1]
        assert "Guard the gate." in last.summary
        assert last.notify.channels
        site.obey(found)
        told(desk, site.wait(1))
        assert raised(desk)[1:] == [("lockdown_confirmed", "high")]
        released = site.release(incident_id(found))
        told(desk, released)
        assert raised(desk)[2:] == [("lockdown_over", "high")]
        told(desk, [*site.obey(released), *site.wait(1)])
        normal = [one.kind for one in desk.messages() if one.type == "alert_returned_to_normal"]
        assert set(normal) == {"lockdown", "lockdown_confirmed"}


def test_guards_are_told_that_a_lockdown_is_larger_each_time_and_all_of_it_is_over_with_the_lockdown() -> None:
    with Desk() as desk:
        site = Site()
        found = site.lock_down("lab", "low")
        told(desk, [*found, *site.obey(found), *site.wait(1)])
        larger = [site.escalate(incident_id(found), level, reason="a second one") for level in ("high", "extreme")]
        told(desk, [one for messages in larger for one in messages])
        assert raised(desk)[2:] == [("lockdown_escalated", "critical")] * 2
        assert desk.messages()[-1].summary == "The lockdown of hall is now one of hq, 2 doors: a second one"
        assert [one.kind for one in desk.messages() if one.type == "alert_returned_to_normal"] == ["lockdown_confirmed"]
        told(desk, [*site.obey(found + larger[0]), *site.wait(1)])
        assert raised(desk)[-1] == ("lockdown_confirmed", "high"), "all is confirmed anew"
        released = site.release(incident_id(found))
        told(desk, [*released, *site.obey(released), *site.wait(1)])
        normal = [one.kind for one in desk.messages() if one.type == "alert_returned_to_normal"]
        assert sorted(normal[1:]) == ["lockdown", "lockdown_confirmed", "lockdown_escalated", "lockdown_escalated"]


def test_a_door_that_does_not_confirm_is_an_alert_with_the_reason_until_it_does() -> None:
    with Desk() as desk:
        site = Site()
        found = site.lock_down("lab", "low")
        told(desk, found)
        told(desk, site.wait(10))
        (alert,) = [one for one in desk.messages() if one.kind == "door_mode_unconfirmed"][:1]
        assert alert.severity == "high"
        assert alert.summary == "lab is not known to be locked down: its controller is offline"
        told(desk, site.obey(commands(found)))
        assert [one.kind for one in desk.messages()][-1] == "door_mode_unconfirmed"
        assert not desk.messages()[-1].active


def test_a_mode_that_nobody_asked_for_is_an_alert() -> None:
    with Desk() as desk:
        told(desk, Site().report(front=("unlocked", 0)))
        assert raised(desk) == [("door_mode_drift", "medium")]
        assert desk.messages()[-1].summary == "front was unlocked and is to be locked"


def test_a_door_that_fails_in_a_drill_is_an_alert_that_says_so() -> None:
    with Desk() as desk:
        site = Site()
        told(desk, [*site.lock_down(drill=True, drill_commands=True), *site.wait(10)])
        assert raised(desk) == [("lockdown_drill", "low"), ("door_mode_unconfirmed", "high")]
        first = desk.messages()[0].summary
        assert first == "Drill: lockdown of lab, 1 doors, which are locked down for it"
        assert desk.messages()[-1].summary.startswith("Drill: lab is not known to be locked down")


def test_a_drill_disturbs_nobody() -> None:
    with Desk() as desk:
        told(desk, Site().lock_down(drill=True))
        assert raised(desk) == [("lockdown_drill", "low")]
        assert all(one.notify is None for one in desk.messages())


@pytest.mark.branch("E2.15")
def test_what_happens_in_a_zone_under_lockdown_is_raised_by_one_level_and_says_why() -> None:
    with Desk() as desk:
        site = Site()
        started = site.lock_down("lab", "low")
        told(desk, started)
        desk.door("door_held_open", "lab")
        desk.door("door_held_open", "front")
        held = {one.door_id: one for one in desk.messages() if one.kind == "door_held_open"}
        assert {door: one.severity for door, one in held.items()} == {"lab": "high", "front": "medium"}
        assert held["lab"].summary == "lab is held open (raised from medium: lab is locked down)"
        assert held["front"].summary == "front is held open"
        told(desk, site.release(incident_id(started)))
        desk.door("door_closed", "lab")
        desk.wait(3600)
        before = len(desk.messages())
        desk.door("door_held_open", "lab")
        assert [one.severity for one in desk.messages()[before:] if one.type == "alert_raised"] == ["medium"]


def test_a_lockdown_of_the_building_raises_what_happens_on_its_floors_and_at_its_controllers() -> None:
    with Desk() as desk:
        site = Site()
        told(desk, site.lock_down("lab", "high"))
        desk.door("door_forced_open", "lab")
        desk.device("tamper")
        severities = {kind: severity for kind, severity in raised(desk) if kind != "lockdown"}
        assert severities == {"door_forced_open": "critical", "tamper": "critical"}


@pytest.mark.parametrize("commanded", [False, True])
def test_a_drill_raises_nothing(commanded: bool) -> None:
    with Desk() as desk:
        told(desk, Site().lock_down("lab", "low", drill=True, drill_commands=commanded))
        desk.door("door_held_open", "lab")
        assert ("door_held_open", "medium") in raised(desk)


def test_of_two_lockdowns_one_is_enough_to_raise_what_happens_in_them() -> None:
    with Desk() as desk:
        site = Site()
        inner, outer = site.lock_down("lab", "low"), site.lock_down("lab", "high")
        told(desk, [*inner, *outer])
        told(desk, site.release(incident_id(inner)))
        desk.door("door_held_open", "lab")
        assert ("door_held_open", "high") in raised(desk)


def test_a_door_that_does_not_confirm_its_lockdown_is_no_worse_for_being_locked_down() -> None:
    with Desk() as desk:
        site = Site()
        told(desk, site.lock_down("lab", "low"))
        told(desk, site.wait(10))
        assert ("door_mode_unconfirmed", "high") in raised(desk)


def test_a_mode_is_read_once_something_became_of_it_and_not_when_it_is_asked_for() -> None:
    site, processor = Site(), AlertsProcessor()

    def read(messages: list[Any]) -> list[bool]:
        modes = [one.to_json() for one in of_type(messages, "door_mode_desired")]
        return [processor.decode(Record("door.modes", 0, 0, b"d", value, (), 0)) is not None for value in modes]

    found = site.lock_down("lab", "low")
    assert read(found) == [False]
    late = site.wait(10)
    assert read(late) == [True]
    assert read(site.obey(late)) == [True]
