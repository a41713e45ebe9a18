"""A controller that is long away is sent nothing, and everything at once when it is heard again, whatever it says."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.commands import ModeCommand
from schemas.keys import DEVICE, derive_key
from streams.core.convergence import SILENCE_MS
from streams.core.numbering import MessageNumber
from tests.core.emergency import Site, commands
from tests.core.world import event, of_type, request

HOURS = 6 * 3600
LOCKED = {"door_id": "front", "mode": "locked", "mode_epoch": 0}


def away() -> tuple[Site, ModeCommand]:
    """The front door is blocked while its controller is away for hours."""
    site = Site()
    site.report(front=("locked", 0))
    site.wait(HOURS)
    (command,) = commands(site.request("door_mode_requested", door_id="front", mode="blocked"))
    site.wait(HOURS)
    return site, command


FIRST: dict[str, dict[str, Any]] = {
    "announced": event("announced", boot=2),
    "controller_online": event("controller_online", boot=2),
    "a heartbeat that tells the doors' modes": event("heartbeat", boot=2, doors=[LOCKED]),
    "a heartbeat that tells nothing of doors": event("heartbeat", boot=2),
    "a heartbeat of before its restart": event("heartbeat", doors=[LOCKED]),
    "a door event": event("door_closed"),
    "a fault": event("fault", code="lock"),
    "a request for access": request(),
    "a request to leave": request(at="front-out"),
    "a record of what it decided alone": request(outcome="denied", reason="unknown_credential"),
    "the failure of an old command": event("command_failed", command_id="old", reason="fault"),
}


def test_a_controller_that_is_away_is_sent_no_more_commands_once_that_was_told() -> None:
    site = Site()
    site.report(front=("locked", 0))
    site.wait(HOURS)
    found = site.request("door_mode_requested", door_id="front", mode="blocked")
    found += site.wait(10)
    assert [one.unconfirmed for one in of_type(found, "door_mode_desired")][-1] == "controller_offline"
    sent = len(commands(found + site.wait(60)))
    assert sent <= 5
    assert site.wait(HOURS) == []


def test_one_that_falls_silent_while_it_is_awaited_is_sent_no_more_commands_either() -> None:
    site = Site()
    site.report(front=("locked", 0))
    site.request("door_mode_requested", door_id="front", mode="blocked")
    assert len(commands(site.wait(40))) > 3
    site.wait(60)
    assert commands(site.wait(HOURS)) == []


@pytest.mark.branch("E2.08")
@pytest.mark.parametrize("first", FIRST)
def test_whatever_it_says_first_its_doors_modes_are_sent_at_once(first: str) -> None:
    site, command = away()
    found = site.send(FIRST[first]) + site.wait(0.001)
    (again,) = commands(found)
    assert (again.mode, again.mode_epoch) == ("blocked", command.mode_epoch)
    assert again.sequence > command.sequence
    confirmed = event("command_confirmed", command_id=again.command_id, boot=FIRST[first]["boot"])
    assert of_type(site.send(confirmed), "door_mode_desired")[-1].confirmed_at is not None
    assert commands(site.wait(HOURS)) == []


@pytest.mark.parametrize("first", ["a door event", "a request for access"])
def test_also_after_a_silence_that_is_too_short_to_count_as_offline(first: str) -> None:
    site = Site()
    site.report(front=("locked", 0))
    site.request("door_mode_requested", door_id="front", mode="blocked")
    site.wait(20)
    assert len(commands(site.send(FIRST[first]) + site.wait(0.001))) == 1


@pytest.mark.parametrize(("boot", "sent"), [(1, 0), (2, 1)])
def test_also_after_a_restart_that_took_no_time_to_speak_of(boot: int, sent: int) -> None:
    """Its power was away for less than counts as a silence, while the next attempt was half a minute off."""
    site = Site()
    site.report(front=("locked", 0))
    site.request("door_mode_requested", door_id="front", mode="blocked")
    site.wait(16)
    site.send(event("door_closed"))
    site.wait(2)
    assert len(commands(site.send(event("door_closed", boot=boot)) + site.wait(0.001))) == sent


def test_one_that_is_heard_all_the_time_and_confirms_nothing_is_not_flooded() -> None:
    site = Site()
    site.report(front=("locked", 0))
    site.request("door_mode_requested", door_id="front", mode="blocked")
    sent = 0
    for _ in range(120):
        sent += len(commands(site.send(event("door_closed")) + site.wait(SILENCE_MS / 1000 / 5)))
    assert sent < 10


def test_what_a_stranger_sends_in_its_name_wakes_nothing() -> None:
    site, _ = away()
    strangers = derive_key(bytes(32), DEVICE, "c1")
    found: list[Any] = []
    for _ in range(60):
        found += site.send(event("door_closed"), key=strangers) + site.wait(10)
    assert commands(found) == []
    site.request("door_mode_requested", door_id="front", mode="unlocked")
    site.send(event("door_closed"), key=strangers)
    assert of_type(site.wait(10), "door_mode_desired")[-1].unconfirmed == "controller_offline"


def test_if_it_falls_silent_again_before_it_confirms_it_is_left_alone_again() -> None:
    site, _ = away()
    site.send(event("door_closed"))
    site.wait(120)
    assert commands(site.wait(HOURS)) == []
    assert len(commands(site.send(event("door_closed")) + site.wait(0.001))) == 1


def test_a_new_mode_is_tried_and_told_also_while_it_is_away() -> None:
    site, command = away()
    (other,) = commands(site.request("door_mode_requested", door_id="front", mode="unlocked"))
    assert other.mode_epoch > command.mode_epoch
    assert of_type(site.wait(10), "door_mode_desired")[-1].unconfirmed == "controller_offline"


def test_one_that_has_confirmed_and_lost_its_modes_since_has_them_put_right_by_its_first_heartbeat() -> None:
    """Nothing of it was awaited any more."""
    site = Site()
    (command,) = commands(site.request("door_mode_requested", door_id="front", mode="blocked"))
    site.obey([command])
    assert "converging/c1" not in site.state
    (again,) = commands(site.send(event("heartbeat", boot=2, doors=[LOCKED])))
    assert (again.mode, again.mode_epoch) == ("blocked", command.mode_epoch + 1)


def test_a_swapped_controller_whose_numbers_begin_anew_has_its_modes_put_right_by_its_first_heartbeat() -> None:
    site = Site()
    (command,) = commands(site.request("door_mode_requested", door_id="front", mode="blocked"))
    site.send(event("command_confirmed", command_id=command.command_id, boot=7, sequence=900))
    site.change("device", "c1", key_version=2)
    key = derive_key(bytes(range(32)), DEVICE, "c1", 2)
    found = site.send(event("heartbeat", boot=0, sequence=1, doors=[LOCKED]), key=key, version=2)
    (again,) = commands(found)
    assert again.mode == "blocked"
    site.send(event("command_confirmed", command_id=again.command_id, boot=0, sequence=2), key=key, version=2)
    assert site.state["mode/front"].confirmed_by == MessageNumber("c1", 2, 0, 2)
