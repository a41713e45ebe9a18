"""The auditor finds every kind of stale opening; and good controllers make none, whatever reaches them in any order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.commands import AccessDoor
from streams.simulator.audit import Auditor
from streams.simulator.effects import Effect, Released
from streams.simulator.factors import CardShown
from tests.simulator.small import Bench, Seen

CARD = CardShown("1", "21")


def prepared(bench: Bench, *commands: AccessDoor) -> Auditor:
    auditor = Auditor()
    auditor.presented("c1", (7, 1), "main", bench.clock.now, online=True)
    for command in commands:
        auditor.commanded(command)
    return auditor


def release(**fields: Any) -> Released:
    values = {"device_id": "c1", "door_id": "main", "cause": "command", "command_id": "open-1", "number": (7, 1)}
    return Released(**{**values, **fields})


def test_a_release_for_a_pending_request_is_in_order() -> None:
    bench = Bench()
    auditor = prepared(bench, bench.open((7, 1), 1))
    auditor.released(release(), bench.clock.now)
    auditor.granted("c1", (7, 1))
    assert (auditor.stale, auditor.undecided_releases(), auditor.releases) == ([], [], 1)


def test_a_release_for_a_request_that_was_never_granted_is_found() -> None:
    bench = Bench()
    auditor = prepared(bench, bench.open((7, 1), 1))
    auditor.released(release(), bench.clock.now)
    assert len(auditor.undecided_releases()) == 1


@pytest.mark.parametrize(
    ("fields", "command", "wait_s"),
    [
        ({"command_id": "never-sent"}, {}, 0.0),
        ({"door_id": "lab"}, {}, 0.0),
        ({"device_id": "c2"}, {}, 0.0),
        ({}, {"request": None}, 0.0),
        ({}, {"request": {"boot": 7, "sequence": 2}}, 0.0),
        ({}, {}, 10.1),
        ({"cause": "exit", "number": None}, {}, 0.0),
        ({"cause": "degraded"}, {}, 1.5),
        ({"cause": "degraded", "number": (7, 2)}, {}, 3.0),
        ({"cause": "degraded"}, {}, 20.0),
    ],
)
def test_a_release_that_nothing_accounts_for_is_found(
    fields: dict[str, Any], command: dict[str, Any], wait_s: float
) -> None:
    bench = Bench()
    opening = AccessDoor.model_validate({**bench.open((7, 1), 1).model_dump(), **command})
    auditor = prepared(bench, opening)
    bench.clock.seconds += wait_s
    auditor.released(release(**fields), bench.clock.now)
    assert len(auditor.stale) == 1


def test_a_second_release_for_the_same_command_or_request_is_found() -> None:
    bench = Bench()
    auditor = prepared(bench, bench.open((7, 1), 1), bench.open((7, 1), 2))
    auditor.released(release(), bench.clock.now)
    auditor.released(release(), bench.clock.now)
    auditor.released(release(command_id="open-2"), bench.clock.now)
    assert len(auditor.stale) == 2


def test_a_release_for_a_command_older_than_the_last_is_found() -> None:
    bench = Bench()
    auditor = prepared(bench, bench.open((7, 1), 1), bench.open((7, 2), 2))
    auditor.presented("c1", (7, 2), "main", bench.clock.now, online=True)
    auditor.released(release(command_id="open-2", number=(7, 2)), bench.clock.now)
    auditor.released(release(), bench.clock.now)
    assert len(auditor.stale) == 1


STEP = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(["main-in", "side-in", "lab-in", "main-out"])),
    st.tuples(st.just("tell"), st.integers(0, 30)),
    st.tuples(st.just("forge"), st.integers(0, 30)),
    st.tuples(st.just("unlock"), st.integers(-5, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 2.0, 5.0, 10.0])),
    st.tuples(st.sampled_from(["restart", "disconnect", "reconnect", "exit"]), st.just(0)),
)


class _Run:
    """A controller, the commands that a good site would have issued, and an auditor of both."""

    def __init__(self) -> None:
        self.bench, self.auditor = Bench(), Auditor()
        self.commands: list[AccessDoor] = []
        self.released: list[Released] = []

    def ask(self, point: str) -> None:
        bench = self.bench
        online, door = bench.controller.online, point.partition("-")[0]
        number, effects = bench.controller.present(point, [CARD], bench.clock.now)
        self.auditor.presented("c1", number, door, bench.clock.now, online=online)
        self.auditor.granted("c1", number)
        self.issue(bench.open(number, len(self.commands) + 1, door))
        self.saw(effects)

    def issue(self, command: AccessDoor) -> None:
        self.commands.append(command)
        self.auditor.commanded(command)

    def tell(self, which: int, secret: bytes | None = None) -> None:
        if self.commands:
            command = self.commands[which % len(self.commands)]
            self.saw(self.bench.controller.command(self.bench.record(command, secret), self.bench.clock.now))

    def unlock(self, seconds: int) -> None:
        end = self.bench.clock.now.clock + timedelta(seconds=seconds)
        self.issue(self.bench.open(None, len(self.commands) + 1, "lab", not_after=end))

    def do(self, what: str, with_: Any) -> None:
        now, controller = self.bench.clock.now, self.bench.controller
        match what:
            case "ask":
                self.ask(with_)
            case "tell":
                self.tell(with_)
            case "forge":
                self.tell(with_, bytes(32))
            case "unlock":
                self.unlock(with_)
            case "wait":
                self.saw(self.bench.wait(with_).effects)
            case "restart":
                self.saw(controller.restart(now))
            case "disconnect":
                controller.disconnect(now)
            case "reconnect":
                self.saw(controller.reconnect(now))
            case "exit":
                self.auditor.pressed("main", now)
                self.saw(controller.exit("main", now))

    def saw(self, effects: list[Effect]) -> None:
        for one in Seen(effects).released:
            self.released.append(one)
            self.auditor.released(one, self.bench.clock.now)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_no_order_loss_or_repeat_of_commands_opens_a_door_twice_or_without_a_pending_request(
    steps: list[tuple[str, Any]],
) -> None:
    run = _Run()
    for what, with_ in steps:
        run.do(what, with_)
    assert run.auditor.stale == []
    assert run.auditor.undecided_releases() == []
    commands = [one.command_id for one in run.released if one.command_id is not None]
    requests = [one.number for one in run.released if one.number is not None]
    assert len(commands) == len(set(commands))
    assert len(requests) == len(set(requests))
