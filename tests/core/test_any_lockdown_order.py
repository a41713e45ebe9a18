"""One order (E2), with a worker killed between any two steps: who asks after the request is refused, all of it once."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from schemas.rules import OperatorRights
from streams.engine.memory import Fault
from streams.engine.ports import TransientError, UnknownOutcome
from tests.core.given import ADA, NINE, POLICY, House, card

RIGHTS = OperatorRights(operator_id="op-7", rights=("start_lockdown", "release_lockdown"))
OUTPUTS = ("doorstream.site.journal", "doorstream.site.state", "access.decisions", "device.commands", "incidents")
TOPICS = st.sampled_from(OUTPUTS)
HEALED_AFTER_S = 90.0
"""Longer than a controller ever waits for the next attempt."""


class AnyLockdownOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.site = House(*ADA, POLICY.model_copy(update={"operators": (RIGHTS,)}))
        self.harness = self.site.harness
        self.faults: list[Fault] = []
        self.asked = 0
        self.asked_before: int | None = None
        """How many had asked when the lockdown was requested."""
        self.free_from: int | None = None
        """How many had asked when its end was requested."""

    @initialize()
    def begin(self) -> None:
        self.harness.run_until_idle()

    @rule(many=st.integers(1, 3))
    def somebody_asks(self, many: int) -> None:
        for _ in range(many):
            self.asked += 1
            self.site.request(card("ada"))

    @precondition(lambda self: self.asked_before is None)
    @rule()
    def lock_down(self) -> None:
        self.asked_before = self.asked
        self._operator("lockdown_requested", zone_id="hall", threat_level="high")

    @precondition(lambda self: self.free_from is None and self._told("incidents"))
    @rule()
    def give_the_all_clear(self) -> None:
        self.free_from = self.asked
        self._operator("lockdown_release_requested", incident_id=self._told("incidents")[0]["incident_id"])

    @rule()
    def obey(self) -> None:
        for one in self._modes()[-1:]:
            self.site.send("command.results", "command_confirmed", command_id=one["command_id"])

    @rule(seconds=st.floats(0.001, 0.05))
    def step(self, seconds: float) -> None:
        self.harness.worker.step(seconds)

    @rule(seconds=st.floats(0.1, 3))
    def advance(self, seconds: float) -> None:
        self.harness.clock.move(seconds)
        self.harness.worker.step(0.3)

    @rule()
    def kill(self) -> None:
        self.harness.restart()

    @rule(topic=TOPICS, written=st.booleans())
    def lose_track(self, topic: str, *, written: bool) -> None:
        self.faults.append(self.harness.broker.fault(topic, UnknownOutcome("time-out"), written=written, times=1))

    @rule(topic=TOPICS)
    def stumble(self, topic: str) -> None:
        self.faults.append(self.harness.broker.fault(topic, TransientError("later"), written=False, times=2))

    @rule(topic=TOPICS, written=st.booleans())
    def hold_and_kill(self, topic: str, *, written: bool) -> None:
        """What is on its way is written or not, and nobody learns of it."""
        fault = self.harness.broker.fault(topic, written=written, times=2)
        self.harness.worker.step(0.05)
        self.harness.restart()
        fault.release()

    def teardown(self) -> None:
        with contextlib.closing(self.harness):
            for fault in self.faults:
                fault.release()
            self.harness.broker.faults.clear()
            assert self.harness.run_until_idle()
            self.harness.advance(HEALED_AFTER_S)
            self.obey()
            self.harness.advance(1.0, 0.1)
            self.check()

    def check(self) -> None:
        incidents = self._told("incidents")
        steps = Counter(one["type"] for one in incidents)
        assert steps["lockdown_started"] == (self.asked_before is not None)
        assert steps["lockdown_releasing"] == (self.free_from is not None)
        assert [one["transition"] for one in incidents] == list(range(1, len(incidents) + 1))
        decisions = [one for one in self._told("access.decisions") if "failed_checks" in one]
        assert [one["sequence"] for one in decisions] == sorted({one["sequence"] for one in decisions})
        assert len(decisions) == self.asked
        self._check_order(decisions, incidents)
        self._check_commands()
        if steps["lockdown_releasing"]:
            assert steps["lockdown_released"] == 1

    def _check_order(self, decisions: list[Any], incidents: list[Any]) -> None:
        """By the journal, whoever is decided in or after the entry of the start is refused, until that of the end."""
        first = {one["type"]: one["journal"]["number"] for one in reversed(incidents)}
        start, end = first.get("lockdown_started", float("inf")), first.get("lockdown_releasing", float("inf"))
        for number, one in enumerate(decisions):
            refused = "lockdown" in one["failed_checks"]
            assert refused is (start <= one["journal"]["number"] < end), one
            after = self.asked_before is not None and number >= self.asked_before
            over = self.free_from is not None and number >= self.free_from
            if after and self.free_from is None:
                assert refused, "whoever asks after the lockdown was requested is refused"
            assert not (refused and over), "whoever asks after its end was requested is not refused for it"

    def _check_commands(self) -> None:
        """Each attempt once and under its own number, and no epoch goes back."""
        modes = self._modes()
        assert len({one["command_id"] for one in modes}) == len(modes)
        assert [one["sequence"] for one in modes] == sorted({one["sequence"] for one in modes})
        assert [one["mode_epoch"] for one in modes] == sorted(one["mode_epoch"] for one in modes)
        by_epoch = {one["mode_epoch"]: one["mode"] for one in modes}
        assert all(one["mode"] == by_epoch[one["mode_epoch"]] for one in modes)
        wanted = [
            mode for mode, so in (("locked_down", self.asked_before), ("locked", self.free_from)) if so is not None
        ]
        assert list(by_epoch.values()) == wanted

    def _operator(self, type_: str, **fields: Any) -> None:
        given = {"type": type_, "request_id": type_, "site_id": "hq", "operator_id": "op-7", "occurred_at": NINE}
        value = json.dumps({**given, "reason": "an intruder", **fields}).encode()
        self.harness.publish("operator.requests", "hq", value)

    def _told(self, topic: str) -> list[Any]:
        return [json.loads(value or b"null") for value in self.harness.values(topic)]

    def _modes(self) -> list[Any]:
        return [one for one in self._told("device.commands") if "mode" in one]


TestAnyLockdownOrder = AnyLockdownOrder.TestCase
TestAnyLockdownOrder.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
