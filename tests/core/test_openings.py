"""Whose opening it was: the grant that the controller names, somebody who leaves by the button, or the best guess."""

from __future__ import annotations

from typing import Any

from schemas.registry import decode
from schemas.vocabulary import Reason
from streams.core.passage import EXIT_GRACE_S
from tests.core.world import World, card, event


def commands(world: World) -> list[Any]:
    return [decode(one.topic, one.value) for one in world.sent if one.topic == "device.commands"]


def test_an_opening_that_nobody_explains_is_guessed_to_be_the_oldest_grants() -> None:
    world = World()
    world.person("bob", "200")
    first = world.ask()
    world.ask(card("200"))
    (taken,) = world.send(event("door_opened"))
    assert taken.decision_id == first.decision_id


def test_who_leaves_by_the_exit_button_uses_up_nobodys_grant() -> None:
    world = World()
    world.change("zone", "hall", passback={"enforcement": "hard"})
    world.person("bob", "200", kind="single_use")
    granted = world.ask(card("200"))
    assert world.send(event("request_to_exit")) == []
    world.wait(3)
    assert world.send(event("door_opened")) == []
    world.send(event("door_closed"))
    (taken,) = world.send(event("door_opened"))
    assert taken.decision_id == granted.decision_id, "the button is good for one opening"
    assert world.ask(card("200")).failed_checks == (Reason.MAX_USES, Reason.PASSBACK)


def test_the_exit_button_explains_no_opening_that_its_controller_explains() -> None:
    world = World()
    granted = world.ask()
    world.send(event("request_to_exit"))
    (taken,) = world.send(event("door_opened", command_id=commands(world)[0].command_id))
    assert taken.decision_id == granted.decision_id


def test_the_exit_button_is_forgotten_when_the_lock_has_fallen_again() -> None:
    world = World()
    world.send(event("request_to_exit"))
    world.wait(5 + EXIT_GRACE_S + 0.001)
    granted = world.ask()
    (taken,) = world.send(event("door_opened"))
    assert taken.decision_id == granted.decision_id


def test_of_several_grants_the_exit_button_is_pressed_for_the_one_that_leaves() -> None:
    world = World()
    world.person("bob", "200")
    world.ask()
    leaving = world.ask(card("200"), at="front-out")
    world.send(event("request_to_exit"))
    (taken,) = world.send(event("door_opened"))
    assert taken.decision_id == leaving.decision_id


def test_the_exit_button_of_one_door_explains_nothing_at_another() -> None:
    world = World()
    granted = world.ask(at="lab-in")
    world.send(event("request_to_exit", door_id="front"))
    (taken,) = world.send(event("door_opened", door_id="lab"))
    assert taken.decision_id == granted.decision_id


def test_a_grant_whose_command_failed_is_not_taken_whatever_opens_afterwards() -> None:
    world = World()
    world.person("bob", "200", kind="single_use")
    granted = world.ask(card("200"))
    failed = event("command_failed", command_id=commands(world)[0].command_id, reason="not_pending")
    (not_taken,) = world.send(failed)
    assert (not_taken.type, not_taken.decision_id) == ("access_not_taken", granted.decision_id)
    assert world.send(event("door_opened")) == []
    assert world.ask(card("200")).type == "access_granted"
    assert world.send(event("command_failed", command_id="of nobody", reason="not_pending")) == []


def test_a_forged_command_that_its_controller_refused_takes_no_passage_away() -> None:
    world = World()
    granted = world.ask()
    command_id = commands(world)[0].command_id
    assert world.send(event("command_failed", command_id=command_id, reason="invalid_signature")) == []
    (taken,) = world.send(event("door_opened", command_id=command_id))
    assert taken.decision_id == granted.decision_id
