"""Topics are read side by side: what a controller sent first may come last, and tells nothing new then."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.keys import DEVICE, derive_key
from streams.core.numbering import MessageNumber
from tests.core.emergency import Site, commands, incident_id
from tests.core.world import MASTER, event, of_type, request

HARD = {"group": "trap", "enforcement": "hard"}


def trap() -> Site:
    """The hall's and the lab's doors, of which one opens only while the other is shut."""
    site = Site()
    for door in ("front", "lab"):
        site.change("door", door, interlock=HARD)
    return site


def heartbeat(sequence: int, *, is_open: bool, door: str = "front") -> dict[str, Any]:
    told = {"door_id": door, "mode": "locked", "mode_epoch": 0, "open": is_open}
    return event("heartbeat", sequence=sequence, doors=[told])


def test_a_heartbeat_that_comes_after_an_opening_that_was_sent_later_shuts_no_door_of_an_interlock() -> None:
    site = trap()
    site.send(event("door_opened", sequence=10))
    site.send(heartbeat(9, is_open=False))
    decision = site.ask(at="lab-in", sequence=11)
    assert (decision.type, getattr(decision, "reason", None)) == ("access_denied", "interlock")
    site.send(heartbeat(12, is_open=False))
    assert site.ask(at="lab-in", sequence=13).type == "access_granted"


def test_a_heartbeat_that_comes_after_a_closing_that_was_sent_later_leaves_no_door_open() -> None:
    site = trap()
    site.send(event("door_opened", sequence=10))
    site.send(event("door_closed", sequence=12))
    site.send(heartbeat(11, is_open=True))
    assert site.ask(at="lab-in", sequence=13).type == "access_granted"


def test_an_opening_that_comes_after_a_heartbeat_that_was_sent_later_is_still_the_passage_and_opens_nothing() -> None:
    site = trap()
    (command,) = of_type(site.send(request(sequence=8)), "access_door")
    site.send(heartbeat(10, is_open=False))
    found = site.send(event("door_opened", sequence=9, command_id=command.command_id))
    assert [one.decision_id for one in of_type(found, "access_taken")] == [command.decision_id]
    assert site.ask(at="lab-in", sequence=13).type == "access_granted"


def test_a_heartbeat_with_an_open_door_leaves_its_opening_to_who_had_asked_to_leave() -> None:
    site = Site()
    site.send(request(sequence=7))
    site.send(event("request_to_exit", sequence=8))
    site.send(heartbeat(10, is_open=True))
    found = site.send(event("door_opened", sequence=9))
    assert of_type(found, "access_taken") == []
    assert of_type(site.send(event("door_opened", sequence=11)), "access_taken") != []


def test_a_heartbeat_that_was_sent_before_a_door_was_forced_ends_no_alarm() -> None:
    site = Site()
    site.send(event("door_forced_open", sequence=10))
    assert of_type(site.send(heartbeat(9, is_open=False)), "door_alarm") == []
    (over,) = of_type(site.send(heartbeat(11, is_open=False)), "door_alarm")
    assert over.ended == ("door_forced_open",)


def test_a_door_is_not_secured_by_what_was_sent_before_it_was_opened() -> None:
    site = Site()
    started = site.lock_down("lab", "low")
    (command,) = commands(started)
    site.obey(started)
    site.send(event("door_opened", sequence=100, door_id="lab"))
    told = {"door_id": "lab", "mode": "locked_down", "mode_epoch": command.mode_epoch, "open": False}
    site.send(event("heartbeat", sequence=99, doors=[told]))
    site.wait(0.5)
    assert site.state[f"lockdown/{incident_id(started)}"].secured == 0
    site.send(event("heartbeat", sequence=101, doors=[told]))
    site.wait(0.5)
    assert site.state[f"lockdown/{incident_id(started)}"].secured == 1


@pytest.mark.parametrize("boot", [1, 9])
def test_a_door_that_is_wired_to_another_controller_is_known_by_what_that_says_whatever_its_numbers(boot: int) -> None:
    site = trap()
    site.send(event("door_opened", boot=9, sequence=500))
    site.change("device", "c1", device_id="c2")
    site.change("door", "front", device_id="c2")
    key = derive_key(MASTER, DEVICE, "c2")
    shut = {**heartbeat(1, is_open=False), "device_id": "c2", "boot": boot}
    site.send(shut, key=key)
    assert site.ask(at="lab-in", boot=9, sequence=501).type == "access_granted"
    assert site.state["door/front"].told == MessageNumber("c2", 1, boot, 1)


def test_a_door_that_is_wired_to_another_controller_is_put_right_whatever_its_numbers() -> None:
    site = Site()
    (command,) = commands(site.request("door_mode_requested", door_id="front", mode="blocked"))
    site.send(event("command_confirmed", command_id=command.command_id, boot=9, sequence=500))
    site.change("device", "c1", device_id="c2")
    site.change("door", "front", device_id="c2")
    found = site.send({**heartbeat(1, is_open=False), "device_id": "c2"}, key=derive_key(MASTER, DEVICE, "c2"))
    assert [(one.device_id, one.mode) for one in commands(found)] == [("c2", "blocked")]


def announced(boot: int, **fields: Any) -> dict[str, Any]:
    return event("announced", boot=boot, **fields)


def test_what_a_controller_said_before_it_started_again_counts_although_its_new_start_was_read_first() -> None:
    site = Site()
    (command,) = of_type(site.send(request(sequence=7)), "access_door")
    site.send(announced(2, sequence=1), age_s=1)
    opened = event("door_opened", sequence=8, command_id=command.command_id)
    found = site.send(opened, age_s=3)
    assert [one.decision_id for one in of_type(found, "access_taken")] == [command.decision_id]
    assert site.send(opened, age_s=2) == [], "the same again"
    assert site.ask(sequence=9, age_s=2).type == "access_granted"
    assert site.ask(boot=2, sequence=2).type == "access_granted"


def test_what_is_appended_after_a_controller_started_again_and_is_of_before_is_a_replay() -> None:
    site = Site()
    site.send(announced(2, sequence=1), age_s=5)
    assert site.ask(sequence=9, age_s=4).reason == "replayed_request"
    (refused,) = of_type(site.send(event("door_opened", sequence=10)), "message_refused")
    assert refused.reason == "replayed_request"


def test_a_lower_boot_in_the_same_topic_is_a_replay_whenever_it_was_appended() -> None:
    site = Site()
    site.ask(boot=2, sequence=1)
    assert site.ask(boot=1, sequence=9, age_s=60).reason == "replayed_request"


def test_a_topic_that_is_far_behind_in_reading_is_heard_to_its_end() -> None:
    site = Site()
    site.send(event("heartbeat", sequence=5_000), age_s=1)
    for sequence in range(100, 300, 50):
        found = site.send(event("door_forced_open", sequence=sequence), age_s=3_000 - sequence)
        assert len(of_type(found, "door_alarm")) == 1, sequence
        site.send(event("door_closed", sequence=sequence + 1), age_s=2_999 - sequence)
    assert site.send(event("door_forced_open", sequence=250), age_s=2_000) == []
    (refused,) = of_type(site.send(event("door_forced_open", sequence=251)), "message_refused")
    assert refused.reason == "replayed_request", "appended after number 5,000"


def test_of_a_topic_that_is_behind_what_is_far_below_its_own_highest_number_is_a_replay() -> None:
    site = Site()
    site.send(event("heartbeat", sequence=5_000), age_s=1)
    site.send(event("door_opened", sequence=300), age_s=9)
    assert of_type(site.send(event("door_closed", sequence=299), age_s=8), "message_refused") == []
    (refused,) = of_type(site.send(event("door_closed", sequence=200), age_s=8), "message_refused")
    assert refused.reason == "replayed_request"
