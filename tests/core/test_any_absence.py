"""Any order of modes, absences, lost commands and restarts: who is back has its mode, and silence costs little."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.vocabulary import DoorMode
from streams.core.convergence import SILENCE_MS
from tests.core.emergency import Site, commands
from tests.core.world import event, request

MODES = (None, DoorMode.UNLOCKED, DoorMode.LOCKED, DoorMode.BLOCKED)
SAYS = ("heartbeat", "announced", "door_closed", "fault", "asks", "recorded")
MOST_IN_SILENCE = 8
"""Commands to a door whose controller is silent, for each mode that was asked for meanwhile."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(MODES)),
        st.tuples(st.just("link"), st.booleans()),
        st.tuples(st.just("say"), st.sampled_from(SAYS)),
        st.tuples(st.just("wait"), st.sampled_from([0.2, 3, 20, 70, 4000])),
        st.tuples(st.just("restart"), st.booleans()),
    ),
    max_size=20,
)


class Controller:
    """The front door's controller and its line: what arrives is applied and confirmed, the rest is lost."""

    def __init__(self) -> None:
        self.site = Site()
        self.mode, self.epoch, self.boot = DoorMode.LOCKED, 0, 1
        self.up, self.knows, self.given = True, True, False
        self.lost, self.asked = 0, 0

    def take(self, found: list[Any]) -> None:
        """Commands are on the line; so are the answers, and what comes of them."""
        for command in commands(found):
            if not self.up:
                self.lost += 1
            elif command.mode_epoch >= self.epoch:
                self.mode, self.epoch = command.mode, command.mode_epoch
                self.take(self.site.send(event("command_confirmed", command_id=command.command_id, boot=self.boot)))

    def ask(self, mode: DoorMode | None) -> None:
        if mode is None and not self.given:
            return
        self.given = mode is not None
        self.asked += 1
        self.take(self.site.request("door_mode_requested", door_id="front", mode=mode))

    def link(self, up: bool) -> None:
        self.up = up
        self.lost = self.asked = 0

    def say(self, what: str) -> None:
        """A message of its own, if it gets through; a heartbeat tells the mode that it has."""
        if not self.up:
            return
        told = {"door_id": "front", "mode": self.mode.value, "mode_epoch": self.epoch}
        messages = {
            "heartbeat": event("heartbeat", boot=self.boot, doors=[told]),
            "asks": request(boot=self.boot),
            "recorded": request(boot=self.boot, outcome="denied", reason="unknown_credential"),
            "fault": event("fault", boot=self.boot, code="lock"),
        }
        self.knows |= what in {"heartbeat", "announced"}
        self.take(self.site.send(messages.get(what) or event(what, boot=self.boot)))
        self.wait(0.001)

    def wait(self, seconds: float) -> None:
        self.take(self.site.wait(seconds))

    def restart(self, forgets: bool) -> None:
        """It starts again, perhaps with nothing of what it knew; nobody can see that before it says so."""
        self.boot += 1
        if forgets:
            self.mode, self.epoch, self.knows = DoorMode.LOCKED, 0, False


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from(MODES), st.sampled_from([SILENCE_MS / 1000, 4000]), st.sampled_from(SAYS))
def test_whoever_is_back_has_the_desired_mode_at_once_and_silence_costs_a_few_commands(
    steps: list[tuple[str, Any]], meanwhile: DoorMode | None, away_s: float, first: str
) -> None:
    controller = Controller()
    for step, value in steps:
        getattr(controller, step)(value)
    controller.link(False)
    controller.ask(meanwhile)
    controller.wait(away_s)
    assert controller.lost <= MOST_IN_SILENCE * (controller.asked + 1)
    controller.link(True)
    controller.say(first if controller.knows else "heartbeat")
    modes, door = controller.site.state.get("mode/front"), controller.site.state.get("door/front")
    assert controller.mode is (door.mode if door is not None else DoorMode.LOCKED)
    assert "converging/c1" not in controller.site.state
    assert modes is None or not modes.epoch or modes.confirmed_ms
