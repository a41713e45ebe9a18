"""What is wrong with a device (M1): faults, tampering, power, its clock; told once, and damped where it flaps."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.device_conditions import MORE_FAULTS, MOST_FAULTS
from tests.core.plant import Plant

PAIRS = [
    ("tamper", "tamper_restored", "tamper"),
    ("power_failure", "power_restored", "power_failure"),
    ("battery_low", "battery_restored", "battery_low"),
]


def steady(**monitoring: object) -> Plant:
    """One controller, online."""
    plant = Plant(monitoring={"probe_every_s": 0, **monitoring})
    plant.tell()
    return plant


@pytest.mark.parametrize(("trouble", "over", "field"), PAIRS)
def test_a_trouble_is_told_once_and_so_is_its_end(trouble: str, over: str, field: str) -> None:
    with steady() as plant:
        assert plant.tell(trouble) == [trouble]
        assert plant.state()[field] is True
        assert plant.state()["cause_id"] is not None
        assert plant.tell(trouble) == []
        assert plant.tell(over) == [over]
        assert plant.state()[field] is False
        assert plant.tell(over) == []


@pytest.mark.parametrize(("trouble", "over", "field"), PAIRS)
def test_a_heartbeat_tells_what_its_message_did_not(trouble: str, over: str, field: str) -> None:
    with steady() as plant:
        wrong: dict[str, Any] = {field: True}
        assert plant.tell(**wrong) == [trouble]
        assert plant.tell() == []
        wrong[field] = False
        assert plant.tell(**wrong) == [over]


@pytest.mark.branch("M1.08", "M1.09")
def test_a_reported_fault_is_told_with_its_details() -> None:
    with steady() as plant:
        assert plant.tell("fault", code="reader_lost", detail="reader 1") == ["fault"]
        told = plant.state()
        assert (told["condition"], told["code"], told["detail"]) == ("fault", "reader_lost", "reader 1")
        assert told["faults"] == [{"code": "reader_lost", "detail": "reader 1", "since": told["decided_at"]}]
        assert plant.tell("fault", code="lock_jammed") == ["fault"]
        assert [fault["code"] for fault in plant.state()["faults"]] == ["lock_jammed", "reader_lost"]
        assert plant.tell("fault_cleared", code="reader_lost") == ["fault_cleared"]
        assert [fault["code"] for fault in plant.state()["faults"]] == ["lock_jammed"]


@pytest.mark.branch("M1.08")
def test_a_fault_of_an_offline_device_is_told_too_and_stays_while_it_is_offline() -> None:
    with steady() as plant:
        plant.wait(100)
        assert plant.tell("fault", code="reader_lost") == ["controller_online", "fault"]
        plant.wait(100)
        told = plant.state()
        assert (told["event"], told["connection"]) == ("controller_offline", "offline")
        assert [fault["code"] for fault in told["faults"]] == ["reader_lost"]


def test_a_list_of_faults_in_a_heartbeat_is_all_that_there_are() -> None:
    with steady() as plant:
        plant.tell("fault", code="a")
        assert plant.tell(faults=[{"code": "b"}, {"code": "c"}]) == ["fault", "fault", "fault_cleared"]
        assert plant.tell(faults=[]) == ["fault_cleared", "fault_cleared"]
        assert plant.state()["faults"] == []


def test_an_older_message_that_comes_late_does_not_undo_a_newer_one() -> None:
    with steady() as plant:
        fault = plant.make("fault", "c1", code="a")
        tamper = plant.make("tamper", "c1")
        assert plant.tell("fault", code="a") == ["fault"]
        assert plant.tell("tamper") == ["tamper"]
        assert plant.tell("fault_cleared", code="a") == ["fault_cleared"]
        assert plant.tell("tamper_restored") == ["tamper_restored"]
        assert plant.tell(faults=[]) == []
        plant.send(fault)
        plant.send(tamper)
        plant.wait(1)
        assert plant.events()[-1] == "tamper_restored"


def test_more_faults_than_are_kept_apart_are_one_and_end_together() -> None:
    with steady() as plant:
        codes = [f"f{number:02}" for number in range(MOST_FAULTS + 9)]
        plant.tell(faults=[{"code": code} for code in codes])
        told = [fault["code"] for fault in plant.state()["faults"]]
        assert told == [*codes[:MOST_FAULTS], MORE_FAULTS]
        assert plant.tell("fault_cleared", code=codes[-1]) == ["fault_cleared"]
        assert plant.tell(faults=[{"code": "f00"}]).count("fault_cleared") == MOST_FAULTS - 1
        assert len(plant.kept().conditions) <= MOST_FAULTS + 1


def test_ever_other_codes_take_no_more_room() -> None:
    with steady() as plant:
        for number in range(200):
            plant.tell("fault", code=f"f{number}")
            plant.tell("fault_cleared", code=f"f{number}")
        assert len(plant.kept().conditions) <= MOST_FAULTS + 1
        plant.beat(1_300)
        assert plant.tell("fault", code="new") == ["fault"]
        assert plant.state()["flapping"] == []


# -- flapping ---------------------------------------------------------------------------------------------------------


def test_what_changes_too_often_is_told_as_flapping_once_and_then_as_it_settles() -> None:
    with steady(flapping_changes=4, flapping_window_s=300) as plant:
        told = []
        for _ in range(10):
            told += plant.tell("power_failure") + plant.tell("power_restored")
            plant.harness.clock.move(5)
        assert told == ["power_failure", "power_restored"] * 2 + ["flapping"]
        assert plant.state()["condition"] == "power"
        assert plant.state()["flapping"] == ["power"]
        assert plant.tell("power_failure") == []
        plant.beat(330)
        assert plant.events()[-2:] == ["settled", "power_failure"]
        assert (plant.state()["power_failure"], plant.state()["flapping"]) == (True, [])
        assert plant.tell("power_restored") == ["power_restored"]


def test_what_settles_as_it_was_last_told_is_only_told_to_have_settled() -> None:
    with steady(flapping_changes=4, flapping_window_s=300) as plant:
        for _ in range(10):
            plant.tell("tamper")
            plant.tell("tamper_restored")
        plant.beat(330)
        assert plant.events()[-2:] == ["flapping", "settled"]
        assert plant.state()["tamper"] is False


def test_a_flapping_connection_hides_no_tampering() -> None:
    with steady(flapping_changes=4, flapping_window_s=3600) as plant:
        for _ in range(6):
            plant.wait(60)
            plant.tell()
        assert plant.state()["event"] == "flapping"
        assert plant.tell("tamper") == ["tamper"]


@pytest.mark.branch("M1.05", "M1.10")
def test_a_connection_that_flaps_and_then_stays_away_is_told_offline_when_it_has_settled() -> None:
    with steady(flapping_changes=4, flapping_window_s=600) as plant:
        for _ in range(5):
            plant.wait(60)
            plant.tell()
        assert plant.events().count("flapping") == 1
        assert plant.state()["connection"] == "offline"
        before = len(plant.events())
        plant.wait(1300)
        assert plant.events()[before:] == ["settled", "controller_offline"]
        assert plant.state()["connection"] == "offline"
        assert plant.tell() == ["controller_online"]


def test_what_settled_while_the_workers_stood_still_is_told_to_have_settled() -> None:
    with steady(flapping_changes=4, flapping_window_s=300) as plant:
        for _ in range(5):
            plant.tell("tamper")
            plant.tell("tamper_restored")
        plant.harness.worker.paused = True
        plant.beat(600)
        plant.say("tamper")
        plant.harness.worker.paused = False
        plant.wait(1)
        assert plant.events()[-3:] == ["flapping", "settled", "tamper"]


def test_a_connection_that_flaps_is_counted_as_it_is() -> None:
    with steady(flapping_changes=2, flapping_window_s=3600) as plant:
        for _ in range(5):
            plant.wait(60)
            plant.tell()
        assert plant.state()["event"] == "flapping"
        assert plant.tell("tamper") == ["tamper"]
        assert (plant.state()["site_offline"], plant.state()["site_devices"]) == (0, 1)


def test_changes_that_are_far_apart_are_no_flapping() -> None:
    with steady(flapping_changes=2, flapping_window_s=60) as plant:
        for _ in range(10):
            assert plant.tell("tamper") == ["tamper"]
            plant.beat(60)
            assert plant.tell("tamper_restored") == ["tamper_restored"]
            plant.beat(60)


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_runs_ahead_is_measured_flagged_and_decides_nothing() -> None:
    with steady() as plant:
        plant.beat(60, off_s=2)
        assert plant.events() == ["controller_online"]
        plant.beat(15, off_s=3600)
        assert plant.events()[-1] == "clock_wrong"
        assert (plant.state()["clock_wrong"], plant.state()["clock_offset_ms"]) == (True, 3_600_000)
        assert plant.state()["last_seen"] == plant.state()["decided_at"]
        plant.beat(300, off_s=3600)
        assert plant.state()["event"] == "clock_wrong"
        plant.beat(150, off_s=1)
        assert plant.events()[-1] == "clock_right"
        assert plant.state()["connection"] == "online"


def test_a_clock_that_runs_behind_is_flagged_when_no_message_says_otherwise() -> None:
    with steady() as plant:
        plant.beat(300, off_s=-60)
        assert plant.events() == ["controller_online", "clock_wrong"]
        assert plant.state()["clock_offset_ms"] == -60_000
        plant.beat(15)
        assert plant.events()[-1] == "clock_right"


def test_a_clock_just_below_the_bound_does_not_flicker() -> None:
    with steady() as plant:
        plant.beat(150, off_s=6)
        for off_s in (4, 5.5, 4, 6) * 4:
            plant.beat(15, off_s=off_s)
        assert plant.events() == ["controller_online", "clock_wrong"]


def test_messages_that_queued_up_on_their_way_make_no_clock_wrong() -> None:
    with steady() as plant:
        plant.beat(300)
        late = [plant.make("heartbeat", "c1", off_s=age_s) for age_s in range(-600, 0, 15)]
        for value in late:
            plant.send(value)
        plant.beat(300)
        assert plant.events() == ["controller_online"]


@pytest.mark.parametrize("off_s", [2_000_000_000, -1_700_000_000])
def test_a_clock_may_be_decades_off(off_s: float) -> None:
    with steady() as plant:
        plant.beat(300, off_s=off_s)
        assert (plant.state()["clock_wrong"], plant.state()["connection"]) == (True, "online")
