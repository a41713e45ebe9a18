"""What another alert explains waits (M3, M1): suppressed, and told of when the other one is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.places import Device
from streams.core.alert_raising import MOST_AROUND
from streams.core.alert_state import RECHECK_MS
from tests.core.desk import Desk

SETTLE_S = 20
"""A heartbeat, and what the usual policy gives a controller that is back."""


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


def states(desk: Desk) -> dict[str, str]:
    """How each kind of alert stands."""
    return {one.kind: one.state for one in desk.messages()}


def test_an_offline_controller_inhibits_the_alerts_of_its_doors_but_not_what_is_spared(desk: Desk) -> None:
    desk.device("controller_offline")
    offline = desk.last().alert_id
    for event in ("door_held_open", "door_forced_open"):
        desk.door(event)
    desk.device("tamper", connection="offline")
    desk.device("power_failure", connection="offline")
    assert states(desk) == {
        "controller_offline": "unacknowledged",
        "door_held_open": "suppressed",
        "door_forced_open": "unacknowledged",
        "tamper": "unacknowledged",
        "power_failure": "suppressed",
    }
    held = [one for one in desk.messages() if one.kind == "door_held_open"]
    assert [(one.suppressed_by, one.notify, one.next_escalation_at) for one in held] == [(offline, None, None)]


def test_another_controllers_doors_are_not_inhibited(desk: Desk) -> None:
    desk.device("controller_offline", device="c2")
    desk.door("door_held_open")
    assert desk.last().state == "unacknowledged"


def test_what_is_open_when_the_inhibitor_comes_is_suppressed_unless_somebody_has_acknowledged_it(desk: Desk) -> None:
    desk.door("door_held_open")
    desk.device("fault", code="lock")
    desk.ask("alert_acknowledged", desk.last().alert_id)
    desk.device("controller_offline")
    assert states(desk) == {
        "door_held_open": "suppressed", "fault": "acknowledged", "controller_offline": "unacknowledged"
    }  # fmt: skip
    desk.wait(3600)
    told = [one for one in desk.messages() if one.kind == "door_held_open" and one.notify is not None]
    assert len(told) == 1


def test_what_is_still_there_when_the_inhibitor_is_over_is_told_of_then(desk: Desk) -> None:
    desk.device("controller_offline")
    desk.door("door_held_open")
    desk.device("power_failure", connection="offline")
    desk.device("power_restored", connection="offline")
    desk.device("controller_online")
    desk.wait(SETTLE_S)
    assert states(desk) == {
        "controller_offline": "returned_to_normal_unacknowledged",
        "door_held_open": "unacknowledged",
        "power_failure": "closed",
    }
    held = [one for one in desk.messages() if one.kind == "door_held_open"]
    assert [(one.type, one.notify is not None) for one in held] == [
        ("alert_raised", False),
        ("alert_unsuppressed", True),
    ]
    desk.wait(600)
    assert states(desk)["door_held_open"] == "unacknowledged"
    assert "alert_escalated" in {one.type for one in desk.messages() if one.kind == "door_held_open"}


def test_an_inhibitor_that_is_closed_by_force_lets_go(desk: Desk) -> None:
    desk.device("controller_offline")
    offline = desk.last().alert_id
    desk.door("door_held_open")
    desk.ask("alert_closed", offline, result="replaced", force=True, operator="op-1")
    assert states(desk) == {"controller_offline": "closed", "door_held_open": "unacknowledged"}
    desk.door("door_held_open", door="lab")
    assert desk.last().state == "unacknowledged"


def test_a_policy_may_inhibit_otherwise() -> None:
    with Desk({"inhibitions": [{"by": "power_failure", "spares": ["fault"]}]}) as desk:
        desk.device("power_failure")
        desk.device("fault", code="lock")
        desk.device("battery_low")
        desk.device("controller_offline")
        assert states(desk) == {
            "power_failure": "unacknowledged",
            "fault": "unacknowledged",
            "battery_low": "suppressed",
            "controller_offline": "suppressed",
        }


def test_a_suppressed_alert_can_be_acknowledged_and_is_not_told_of_afterwards(desk: Desk) -> None:
    desk.device("controller_offline")
    desk.door("door_held_open")
    desk.ask("alert_acknowledged", desk.last().alert_id)
    desk.device("controller_online")
    desk.wait(3600)
    assert not [one for one in desk.messages() if one.kind == "door_held_open" and one.notify is not None]


def test_an_inhibitor_whose_cause_comes_back_inhibits_again(desk: Desk) -> None:
    for event in ("controller_offline", "controller_online", "controller_offline"):
        desk.device(event)
    desk.door("door_held_open")
    assert states(desk) == {"controller_offline": "unacknowledged", "door_held_open": "suppressed"}


def held(desk: Desk, door: str = "front") -> list[tuple[str, bool]]:
    """What was told of a door that is held open, and whether anybody had to be."""
    found = [one for one in desk.messages() if one.kind == "door_held_open" and one.door_id == door]
    return [(one.type.removeprefix("alert_"), one.notify is not None) for one in found]


def test_when_a_controller_is_back_it_has_the_time_to_say_that_its_doors_have_closed(desk: Desk) -> None:
    desk.device("controller_offline")
    for door in ("front", "lab"):
        desk.door("door_held_open", door)
    desk.device("controller_online")
    desk.wait(SETTLE_S - 1)
    desk.door("door_closed", "front")
    desk.wait(1)
    assert held(desk, "front") == [
        ("raised", False), ("returned_to_normal", False), ("resolved", False), ("closed", False)
    ]  # fmt: skip
    assert held(desk, "lab") == [("raised", False), ("unsuppressed", True)]


def test_what_a_controller_that_is_just_back_tells_of_waits_too_and_is_told_of_once(desk: Desk) -> None:
    desk.device("controller_offline")
    desk.device("controller_online")
    for door in ("front", "lab"):
        desk.door("door_held_open", door)
    desk.door("door_forced_open", "front")
    assert states(desk)["door_forced_open"] == "unacknowledged"
    desk.door("door_closed", "front")
    desk.wait(SETTLE_S)
    assert ("closed", False) in held(desk, "front")
    assert held(desk, "lab") == [("raised", False), ("unsuppressed", True)]
    desk.door("door_held_open", "front")
    assert held(desk, "front")[-1][1]


@pytest.mark.parametrize("handled", [False, True])
def test_one_that_is_gone_again_before_that_goes_on_explaining(desk: Desk, handled: bool) -> None:
    desk.device("controller_offline")
    first = desk.last().alert_id
    desk.door("door_held_open")
    desk.device("controller_online")
    if handled:
        desk.ask("alert_resolved", first, result="the switch was changed")
    desk.wait(SETTLE_S - 1)
    desk.device("controller_offline")
    desk.wait(60)
    assert states(desk)["controller_offline"] == "unacknowledged"
    assert not any(notified for _, notified in held(desk))
    offline = [one.alert_id for one in desk.messages() if one.kind == "controller_offline"][-1]
    assert (offline != first) is handled
    last = [one for one in desk.messages() if one.kind == "door_held_open"][-1]
    assert last.suppressed_by == offline
    desk.device("controller_online")
    desk.wait(SETTLE_S)
    assert [notified for _, notified in held(desk)].count(True) == 1


def test_how_long_that_is_depends_on_its_heartbeat_and_the_policy() -> None:
    with Desk({"settle_s": 60}) as desk:
        desk.put(Device(device_id="c1", site_id="hq"))
        desk.device("controller_offline")
        desk.door("door_held_open")
        desk.device("controller_online")
        desk.wait(74)
        assert states(desk)["door_held_open"] == "suppressed"
        desk.wait(1)
        assert states(desk)["door_held_open"] == "unacknowledged"


def test_it_survives_that_the_worker_is_away_meanwhile(desk: Desk) -> None:
    desk.device("controller_offline")
    desk.door("door_held_open")
    desk.device("controller_online")
    desk.harness.crash()
    desk.harness.clock.move(300)
    desk.harness.start()
    desk.harness.run_until_idle()
    assert held(desk) == [("raised", False), ("unsuppressed", True)]
    assert not [key for key in desk.kept() if key.startswith("around/") and "c1" not in key]


MANY = [f"d{number:02}" for number in range(MOST_AROUND + 6)]


def test_however_many_alerts_a_controller_has_all_of_them_wait(desk: Desk) -> None:
    desk.device("controller_offline")
    for door in MANY:
        desk.door("door_held_open", door)
    assert {state for kind, state in states(desk).items() if kind == "door_held_open"} == {"suppressed"}
    told = [one for one in desk.messages() if one.kind == "door_held_open" and one.notify is not None]
    assert told == []
    desk.wait(3600)
    assert not [one for one in desk.messages() if one.kind == "door_held_open" and one.notify is not None]
    desk.device("controller_online")
    desk.door("door_closed", MANY[-1])
    desk.wait(SETTLE_S + RECHECK_MS / 1000)
    told = [one.door_id for one in desk.messages() if one.kind == "door_held_open" and one.notify is not None]
    assert sorted(told) == MANY[:-1]


def test_a_controller_with_very_many_alerts_that_falls_silent_still_explains_them(desk: Desk) -> None:
    for door in MANY:
        desk.door("door_held_open", door)
    desk.device("controller_offline")
    desk.wait(600)
    last = {one.door_id: one.state for one in desk.messages() if one.kind == "door_held_open"}
    assert set(last.values()) == {"suppressed"}
    assert "alert_escalated" not in {one.type for one in desk.messages() if one.kind == "door_held_open"}


def an_outage(desk: Desk, controllers: int = 8) -> None:
    """One controller after the other falls silent."""
    for number in range(controllers):
        desk.device("controller_offline", device=f"x{number}", site_offline=number + 1, site_devices=controllers)


def test_where_most_controllers_of_a_site_are_offline_it_is_one_alert(desk: Desk) -> None:
    an_outage(desk)
    assert [(one.kind, one.state) for one in desk.messages() if one.notify is not None] == [
        *[("controller_offline", "unacknowledged")] * 3, ("site_offline", "unacknowledged")
    ]  # fmt: skip
    desk.wait(600)
    told = [one for one in desk.messages() if one.notify is not None and one.kind == "controller_offline"]
    assert len(told) == 3
    desk.door("door_held_open", device_id="x7")
    assert desk.last().state == "suppressed"


def test_after_an_outage_what_is_still_silent_is_told_of(desk: Desk) -> None:
    an_outage(desk)
    for number in range(7):
        desk.device("controller_online", device=f"x{number}", site_offline=7 - number, site_devices=8)
    desk.wait(61)
    stands = {(one.kind, one.device_id): one.state for one in desk.messages()}
    assert stands["site_offline", None] == "returned_to_normal_unacknowledged"
    assert [stands["controller_offline", f"x{number}"] for number in (4, 5, 6, 7)] == [
        "closed", "closed", "closed", "unacknowledged"
    ]  # fmt: skip
    assert desk.last().type in {"alert_unsuppressed", "alert_closed"}
    desk.device("controller_offline", device="x5", site_offline=2, site_devices=8)
    assert (desk.last().type, desk.last().state) == ("alert_raised", "unacknowledged")
