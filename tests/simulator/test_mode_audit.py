"""The auditor finds every kind of wrong mode command, of wrong opening at a door that is shut, and who is kept in."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.commands import AccessDoor, LockDownDoor, LockDownReleaseDoor, ModeCommand
from schemas.vocabulary import DoorMode
from streams.simulator.audit import Auditor
from streams.simulator.effects import ModeSet, Released
from streams.simulator.factors import CardShown
from streams.simulator.mode_audit import ModeAudit
from tests.simulator.small import NOON, Bench

CARD = CardShown("1", "21")


def lock_down(sequence: int = 1, epoch: int = 4, **fields: Any) -> ModeCommand:
    named = {"command_id": f"mode-{sequence}", "site_id": "s", "device_id": "c1", "door_id": "main", "issued_at": NOON}
    given = {**named, "sequence": sequence, "mode_epoch": epoch, "mode": DoorMode.LOCKED_DOWN, **fields}
    return (LockDownDoor if given["mode"] is DoorMode.LOCKED_DOWN else LockDownReleaseDoor).model_validate(given)


def locked(sequence: int, epoch: int) -> ModeCommand:
    return lock_down(sequence, epoch, mode=DoorMode.LOCKED)


def mode_set(command: ModeCommand, **fields: Any) -> ModeSet:
    given = {"mode": command.mode, "mode_epoch": command.mode_epoch, "command_id": command.command_id, **fields}
    return ModeSet("c1", "main", **given)


def test_a_mode_that_is_sent_again_and_a_release_with_a_higher_epoch_are_in_order() -> None:
    audit = ModeAudit()
    first, again, release = lock_down(1), lock_down(2), locked(3, 5)
    for command in (first, again, release):
        audit.commanded(command, signed=True)
    audit.applied(mode_set(again))
    assert audit.shut("main")
    audit.applied(mode_set(release))
    assert (audit.violations, audit.set, audit.shut("main")) == ([], 2, False)


@pytest.mark.parametrize(
    ("second", "signed", "why"),
    [
        (lock_down(2), False, "is not signed"),
        (lock_down(1, 5), True, "its sequence 1 is not above 1"),
        (lock_down(2, 3), True, "its epoch 3 is below 4"),
        (locked(2, 4), True, "its epoch 4 was that of locked_down before"),
    ],
)
def test_a_command_that_no_site_may_send_is_found(second: ModeCommand, signed: bool, why: str) -> None:
    audit = ModeAudit()
    audit.commanded(lock_down(1), signed=True)
    audit.commanded(second, signed=signed)
    assert len(audit.violations) == 1
    assert why in audit.violations[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"command_id": "never-sent"}, "no such command"),
        ({"mode": DoorMode.UNLOCKED}, "the command said locked_down 4"),
        ({"mode_epoch": 5}, "the command said locked_down 4"),
    ],
)
def test_a_mode_that_no_command_gave_is_found(change: dict[str, Any], why: str) -> None:
    audit, command = ModeAudit(), lock_down()
    audit.commanded(command, signed=True)
    audit.applied(mode_set(command, **change))
    assert len(audit.violations) == 1
    assert why in audit.violations[0]


def test_a_controller_that_goes_back_to_an_older_epoch_or_obeys_a_command_for_another_door_is_found() -> None:
    audit, first, second = ModeAudit(), lock_down(1), locked(2, 5)
    for command in (first, second):
        audit.commanded(command, signed=True)
        audit.applied(mode_set(command))
    audit.applied(mode_set(first))
    assert audit.violations == ["main set to locked_down 4: it had locked 5"]
    audit.applied(ModeSet("c1", "side", DoorMode.LOCKED_DOWN, 4, first.command_id))
    assert "the command is for another door" in audit.violations[1]


def at_a_door_that_is_locked_down(bench: Bench, **fields: Any) -> Auditor:
    auditor, command = Auditor(), lock_down()
    auditor.commanded(command)
    auditor.modes.applied(mode_set(command))
    auditor.presented("c1", (7, 1), "main", bench.clock.now, online=True, **fields)
    return auditor


def opened(cause: Any = "command") -> Released:
    return Released("c1", "main", cause, "open-9" if cause == "command" else None, (7, 1))


@pytest.mark.parametrize(
    ("fields", "leaves", "well"),
    [
        ({"mode_epoch": 4}, False, False),
        ({"mode_epoch": 3}, False, False),
        ({"mode_epoch": 5, "override": True}, False, False),
        ({"mode_epoch": 4, "override": True}, False, True),
        ({"mode_epoch": 4, "override": True}, True, True),
        ({"mode_epoch": 3, "override": True}, True, False),
    ],
)
def test_a_door_that_is_locked_down_may_open_for_an_override_of_its_epoch_and_for_who_leaves(
    fields: dict[str, Any], leaves: bool, well: bool
) -> None:
    bench = Bench()
    auditor = at_a_door_that_is_locked_down(bench, leaves=leaves)
    command: AccessDoor = bench.open((7, 1), 9, **fields)
    auditor.commanded(command)
    auditor.released(opened(), bench.clock.now)
    assert (auditor.stale == []) is well


@pytest.mark.parametrize("leaves", [False, True])
def test_a_controller_alone_lets_nobody_into_a_door_that_is_locked_down_and_everybody_out(leaves: bool) -> None:
    bench = Bench()
    auditor = at_a_door_that_is_locked_down(bench, leaves=leaves, free=leaves)
    bench.clock.seconds += 2.5
    auditor.released(opened("degraded"), bench.clock.now)
    assert (auditor.stale == []) is leaves


def test_whoever_is_kept_in_is_found_once_they_have_waited_too_long() -> None:
    bench = Bench()
    auditor = at_a_door_that_is_locked_down(bench, leaves=True, free=True)
    auditor.presented("c1", (7, 2), "main", bench.clock.now, online=True, leaves=True)
    assert auditor.kept_in(bench.clock.now) == []
    bench.clock.seconds += 3.5
    assert auditor.kept_in(bench.clock.now) == ["main: c1 (7, 1) wanted to leave, and was not let out"]
    auditor.released(opened("exit"), bench.clock.now)
    assert (auditor.kept_in(bench.clock.now), auditor.stale, auditor.ways_out) == ([], [], 1)
    auditor.pressed("lab", bench.clock.now)
    assert auditor.kept_in(bench.clock.now) == ["lab: the exit button was pressed, and nothing happened"]


@pytest.mark.parametrize("wait_s", [0.1, 2.0])
def test_whoever_leaves_a_door_that_is_locked_down_is_let_out_at_once_and_once(wait_s: float) -> None:
    bench = Bench()
    bench.tell(lock_down())
    number, seen = bench.ask("main-out", CARD)
    assert [one.cause for one in seen.released] == ["exit"]
    after = bench.wait(wait_s)
    if wait_s < 2:
        after = bench.tell(bench.open(number, 2, mode_epoch=4, override=True))
        assert after.types[-1] == "command_confirmed"
    assert (after.released, after.answers) == ([], ["granted"])
