"""Whatever breaks, recovers and is asked, and whatever befalls the workers: no case is there twice, and none is stuck.

The model follows each fault by itself from what was said and when; it knows nothing of conditions, ticks or probes but
when a device answered one.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.engine.options import MachineOptions
from tests.conftest import examples
from tests.core.test_repairs import Workshop

RECOVERY_MS, OBSERVE_MS = 300_000, 120_000
TIMES = {"probe_every_s": 0, "recovery_s": 300, "verify_within_s": 60, "observe_s": 120, "flapping_changes": 100}
CODES = {"odd": "recovering", "lock_jammed": "opened"}
code = st.sampled_from(sorted(CODES))


class AnyRepairs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        options = MachineOptions(checkpoint_interval_s=20, full_turn_s=100, session_timeout_s=1e9)
        self.shop = Workshop(monitoring=TIMES, options=options)
        self.on = dict.fromkeys(CODES, False)
        self.state: dict[str, str] = {}
        self.due: dict[str, int] = {}
        self.assigned: dict[str, str] = {}
        self.forced: set[str] = set()
        self.told: dict[str, list[str]] = {one: [] for one in CODES}

    @property
    def now_ms(self) -> int:
        return self.shop.harness.clock.now_ms()

    # -- the model --------------------------------------------------------------------------------------------------

    def tell(self, one: str, step: str, state: str, due_ms: int = 0) -> None:
        self.told[one].append(step)
        self.state[one], self.due[one] = state, due_ms

    def end(self, one: str, step: str) -> None:
        self.told[one].append(step)
        del self.state[one], self.due[one]
        self.assigned.pop(one, None)

    def pass_time(self) -> None:
        for one, due_ms in list(self.due.items()):
            if 0 < due_ms <= self.now_ms:
                if self.state[one] == "recovering":
                    self.tell(one, "opened", "opened")
                else:
                    self.end(one, "closed")

    def back(self, one: str) -> None:
        self.tell(one, "reopened", "assigned" if one in self.assigned else "opened")

    # -- what happens -----------------------------------------------------------------------------------------------

    @rule(one=code)
    def fail(self, one: str) -> None:
        self.pass_time()
        self.shop.tell("fault", code=one)
        if self.on[one]:
            return
        self.on[one] = True
        if one not in self.state:
            self.tell(one, "diagnosed", "recovering", self.now_ms + RECOVERY_MS)
            if CODES[one] == "opened":
                self.tell(one, "opened", "opened")
        elif self.state[one] == "verified":
            self.back(one)

    @rule(one=code)
    def clear(self, one: str) -> None:
        self.pass_time()
        self.shop.tell("fault_cleared", code=one)
        self.on[one] = False
        self.forced.discard(one)
        if self.state.get(one) == "recovering":
            self.end(one, "recovered")
        elif self.state.get(one) in {"opened", "assigned"}:
            self.tell(one, "repaired", "repaired")

    @rule()
    def answer(self) -> None:
        self.pass_time()
        self.shop.wait(0.001)
        if not self.shop.probes():
            return
        probe = self.shop.kept().probe_id
        self.shop.answer()
        for one, state in list(self.state.items()):
            if probe and state == "repaired":
                if self.on[one]:
                    self.back(one)
                else:
                    self.tell(one, "resynced", "repaired")
                    self.tell(one, "verified", "verified", self.now_ms + OBSERVE_MS)

    @rule(one=code, who=st.sampled_from(["ann", None]))
    def assign(self, one: str, who: str | None) -> None:
        self.pass_time()
        accepted = self.state.get(one, "recovering") != "recovering"
        assert (self.shop.ask("assign", self.case(one), assigned_to=who) is None) is accepted
        if accepted:
            if who:
                self.assigned[one] = who
            else:
                self.assigned.pop(one, None)
            state = self.state[one]
            if state in {"opened", "assigned"}:
                state = "assigned" if who else "opened"
            self.tell(one, "assigned", state, self.due[one])

    @rule(one=code)
    def repair(self, one: str) -> None:
        self.pass_time()
        accepted = self.state.get(one) in {"opened", "assigned"}
        assert (self.shop.ask("done", self.case(one), result="oiled") is None) is accepted
        if accepted:
            self.tell(one, "repaired", "repaired")

    @rule(one=code, force=st.booleans())
    def close(self, one: str, *, force: bool) -> None:
        self.pass_time()
        accepted = self.state.get(one, "recovering") != "recovering" and (force or not self.on[one])
        how: dict[str, Any] = {"operator": "op-1", "result": "swapped", "force": force}
        assert (self.shop.ask("close", self.case(one), **how) is None) is accepted
        if accepted:
            self.end(one, "closed")

    @rule(tens=st.integers(1, 5))
    def wait(self, tens: int) -> None:
        # Never less than a repaired device is asked again in, so that the model need not know when.
        for _ in range(tens):
            self.shop.say("heartbeat")
            self.shop.wait(13)
            self.pass_time()
            reopened = [one for one, state in self.state.items() if state == "repaired" and self.on[one]]
            for one in reopened:
                if self.shop.steps_of(one)[len(self.told[one]) :] == ["reopened"]:
                    self.back(one)

    @rule()
    def crash(self) -> None:
        self.shop.harness.restart()

    def case(self, one: str) -> str:
        found = [told.case_id for told in self.shop.exceptions() if told.cause == f"fault/{one}"]
        return str(found[-1]) if found else "none"

    @invariant()
    def what_was_told_is_what_the_model_says(self) -> None:
        self.shop.harness.run_until_idle()
        self.pass_time()
        for one, steps in self.told.items():
            assert self.shop.steps_of(one) == steps
        assert self.shop.watching.drifts == []
        assert self.shop.watching.halts == []

    @invariant()
    def nothing_is_there_twice(self) -> None:
        still: dict[str, Any] = {}
        for told in self.shop.exceptions():
            assert still.get(told.cause, told.case_id) == told.case_id
            if told.state in {"closed", "recovered"}:
                still.pop(told.cause, None)
            else:
                still[told.cause] = told.case_id

    def teardown(self) -> None:
        with self.shop:
            for one in CODES:
                self.clear(one)
            for _ in range(2):
                self.shop.wait(61)
                self.answer()
            self.shop.beat(150)
            self.pass_time()
            assert self.shop.kept().repairs == {}, "a case is stuck"
            self.what_was_told_is_what_the_model_says()


TestAnyRepairs = pytest.mark.timeout(3600)(pytest.mark.chaos(AnyRepairs.TestCase))
TestAnyRepairs.settings = settings(
    max_examples=examples(15),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
