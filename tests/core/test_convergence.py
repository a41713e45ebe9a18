"""A door's mode is sent until its controller has confirmed it, and put right where it is another one."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.envelope import type_of
from schemas.vocabulary import DoorMode
from tests.core.emergency import Site, commands
from tests.core.world import event, of_type


def blocked(site: Site) -> list[Any]:
    return site.request("door_mode_requested", door_id="front", mode="blocked")


def desired(found: list[Any]) -> Any:
    return of_type(found, "door_mode_desired")[-1]


def test_a_mode_is_one_command_with_an_epoch_and_the_next_sequence_of_its_door() -> None:
    site = Site()
    (opened,) = of_type(site.request("door_unlock_requested", door_id="front"), "access_door")
    found = blocked(site)
    (command,) = commands(found)
    assert (type_of(command), command.mode, command.sequence) == ("block_door", "blocked", opened.sequence + 1)
    told = desired(found)
    assert (told.mode, told.mode_epoch, told.rank, told.confirmed_at) == ("blocked", command.mode_epoch, 2, None)
    assert [(one.kind, one.mode) for one in told.causes] == [("operator", "blocked")]


@pytest.mark.branch("E2.08")
def test_what_is_not_confirmed_is_sent_again_with_another_sequence_less_and_less_often() -> None:
    site = Site()
    (first,) = commands(blocked(site))
    moments, sequences = [], [first.sequence]
    for second in range(1, 61):
        site.report()
        for command in commands(site.wait(1)):
            assert (command.mode, command.mode_epoch) == (first.mode, first.mode_epoch)
            moments.append(second)
            sequences.append(command.sequence)
    assert moments == [1, 3, 7, 15, 31]
    assert sequences == list(range(first.sequence, first.sequence + 6))


def test_a_confirmation_ends_it_and_is_told_also_that_of_an_earlier_attempt() -> None:
    site = Site()
    (first,) = commands(blocked(site))
    assert len(commands(site.wait(4))) == 2
    told = desired(site.send(event("command_confirmed", command_id=first.command_id)))
    assert told.confirmed_at is not None
    assert site.wait(120) == []


def test_a_heartbeat_that_reports_the_mode_confirms_it_too() -> None:
    site = Site()
    (command,) = commands(blocked(site))
    assert desired(site.report(front=("blocked", command.mode_epoch))).confirmed_at is not None
    assert commands(site.wait(120)) == []


@pytest.mark.parametrize("heard", [True, False])
def test_within_ten_seconds_somebody_is_told_which_door_is_unconfirmed_and_why(heard: bool) -> None:
    site = Site()
    if heard:
        site.report(front=("locked", 0))
    blocked(site)
    (told,) = of_type(site.wait(10), "door_mode_desired")
    assert told.unconfirmed == ("no_answer" if heard else "controller_offline")
    assert of_type(site.wait(60), "door_mode_desired") == []


def test_a_refusal_of_the_command_is_the_reason_that_is_told() -> None:
    site = Site()
    (command,) = commands(blocked(site))
    site.send(event("command_failed", command_id=command.command_id, reason="fault"))
    (told,) = of_type(site.wait(10), "door_mode_desired")
    assert (told.unconfirmed, told.detail) == ("command_failed", "fault")
    (again,) = commands(site.wait(20))
    assert desired(site.obey([again])).unconfirmed is None


@pytest.mark.parametrize("type_", ["announced", "controller_online", "heartbeat"])
def test_a_controller_that_comes_back_gets_the_modes_of_its_doors_first(type_: str) -> None:
    site = Site()
    (command,) = commands(blocked(site))
    site.wait(600)
    before = {"doors": [{"door_id": "front", "mode": "locked", "mode_epoch": 0}]} if type_ == "heartbeat" else {}
    found = commands(site.send(event(type_, boot=2, **before)))
    assert [(one.mode, one.mode_epoch) for one in found] == [(DoorMode.BLOCKED, command.mode_epoch)]


def test_a_mode_that_nobody_asked_for_is_told_and_put_right_above_its_epoch() -> None:
    site = Site()
    (command,) = commands(blocked(site))
    site.obey([command])
    found = site.report(front=("unlocked", command.mode_epoch + 5))
    assert (desired(found).reported, desired(found).mode) == ("unlocked", "blocked")
    assert commands(found)[0].mode_epoch == command.mode_epoch + 6


def test_a_door_that_nobody_ever_gave_a_mode_is_put_right_too() -> None:
    site = Site()
    (command,) = commands(site.report(front=("unlocked", 0)))
    assert (type_of(command), command.mode) == ("lock_door", "locked")
    assert site.report(lab=("accessed", 0)) == []


def test_a_heartbeat_that_was_overtaken_by_the_confirmation_is_no_drift() -> None:
    site = Site()
    (command,) = commands(blocked(site))
    site.send(event("command_confirmed", command_id=command.command_id, sequence=50))
    late = {"door_id": "front", "mode": "locked", "mode_epoch": 0}
    assert site.send(event("heartbeat", doors=[late], sequence=49)) == []


def test_a_grant_names_the_epoch_of_the_mode_and_nobody_enters_a_blocked_door() -> None:
    site = Site()
    (command,) = commands(blocked(site))
    assert site.ask().reason == "out_of_service"
    assert site.ask(at="front-out").type == "access_granted"
    site.request("door_mode_requested", door_id="front", mode=None)
    found = site.ask()
    assert (found.type, site.state["door/front"].mode_epoch) == ("access_granted", command.mode_epoch + 1)


def test_the_last_mode_that_an_operator_gave_counts_and_one_that_was_not_given_cannot_be_taken() -> None:
    site = Site()
    (refused,) = site.request("door_mode_requested", door_id="front", mode=None)
    assert refused.code == "not_possible"
    blocked(site)
    found = site.request("door_mode_requested", door_id="front", mode="unlocked")
    assert desired(found).mode == "unlocked"
    assert len(desired(found).causes) == 1


def test_a_controller_that_came_back_and_does_not_confirm_its_modes_again_is_unconfirmed() -> None:
    site = Site()
    site.obey(blocked(site))
    assert len(commands(site.send(event("controller_online")))) == 1
    (told,) = of_type(site.wait(10), "door_mode_desired")
    assert (told.unconfirmed, told.confirmed_at) == ("no_answer", None)
