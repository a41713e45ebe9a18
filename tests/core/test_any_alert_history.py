"""Whatever happens, is asked, crashes or waits: every alert takes the course that a plain model of M3 gives it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.registry import decode
from streams.engine.options import MachineOptions
from tests.conftest import examples
from tests.core.alert_model import NEVER, Model, One, Told
from tests.core.desk import Desk

DOORS = st.sampled_from(["front", "lab"])
ALARMS = st.sampled_from(["door_forced_open", "door_held_open", "door_pre_alarm"])
WHICH = st.integers(0, 9)
OPTIONS = MachineOptions(checkpoint_interval_s=1, full_turn_s=5, cycle_records=8, smallest_share=1)


class AnyAlertHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(options=OPTIONS)
        self.model = Model()
        self.ids: dict[str, list[str]] = {}
        self.told: list[Told] = []

    @initialize(alarm=ALARMS)
    def begin(self, alarm: str) -> None:
        self.desk.harness.run_until_idle()
        self.model.passes(self.now())
        self.door_alarm(alarm, "front")

    def now(self) -> float:
        return self.desk.harness.clock.now_ms() / 1000

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(alarm=ALARMS, door=DOORS)
    def door_alarm(self, alarm: str, door: str) -> None:
        self.desk.door(alarm, door=door)
        self.model.happens(f"{alarm}/{door}")

    @rule(door=DOORS)
    def door_closed(self, door: str) -> None:
        self.desk.door("door_closed", door=door)
        for alarm in ("door_forced_open", "door_held_open"):
            self.model.ends(f"{alarm}/{door}")

    @rule()
    def silence(self) -> None:
        self.desk.device("controller_offline")
        self.model.happens("controller_offline/c1")

    @rule()
    def a_sign_of_life(self) -> None:
        self.desk.device("controller_online")
        self.model.ends("controller_offline/c1")

    @rule(code=st.sampled_from(["lock", "reader"]), over=st.booleans())
    def fault(self, code: str, *, over: bool) -> None:
        self.desk.device("fault_cleared" if over else "fault", code=code)
        (self.model.ends if over else self.model.happens)(f"fault/c1/{code}")

    # -- what is done ---------------------------------------------------------------------------------------------

    def kept(self) -> list[One]:
        """The alerts that somebody could do something about."""
        return [one for one in self.model.alerts if not one.closed]

    def chosen(self, which: int) -> tuple[One, str]:
        """One of them, and its id."""
        one = self.kept()[which % len(self.kept())]
        return one, self.ids[one.trouble][one.nth - 1]

    @precondition(lambda self: bool(self.kept()))
    @rule(which=WHICH)
    def acknowledge(self, which: int) -> None:
        one, id_ = self.chosen(which)
        self.desk.ask("alert_acknowledged", id_)
        self.model.acknowledge(one)

    @precondition(lambda self: bool(self.kept()))
    @rule(which=WHICH, seconds=st.sampled_from([0, 60, 1800]))
    def shelve(self, which: int, seconds: int) -> None:
        one, id_ = self.chosen(which)
        self.desk.ask("alert_shelved", id_, shelve_s=seconds)
        self.model.shelve(one, seconds)

    @precondition(lambda self: bool(self.kept()))
    @rule(which=WHICH)
    def resolve(self, which: int) -> None:
        one, id_ = self.chosen(which)
        self.desk.ask("alert_resolved", id_, result="handled")
        self.model.finish(one)

    @precondition(lambda self: bool(self.kept()))
    @rule(which=WHICH, force=st.booleans())
    def close(self, which: int, *, force: bool) -> None:
        one, id_ = self.chosen(which)
        self.desk.ask("alert_closed", id_, result="handled", force=force, operator="op-1")
        self.model.end(one, force=force)

    # -- what time and bad luck do --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([10, 30, 90, 300, 600, 3600]), steps=st.integers(1, 3))
    def wait(self, seconds: int, steps: int) -> None:
        for _ in range(steps):
            self.desk.harness.clock.move(seconds / steps)
            self.desk.harness.run_until_idle()
            self.model.passes(self.now())

    @rule(seconds=st.sampled_from([0, 5, 700]))
    def crash(self, seconds: int) -> None:
        self.desk.harness.crash()
        self.desk.harness.clock.move(seconds)
        self.desk.harness.start()
        self.desk.harness.run_until_idle()
        self.model.passes(self.now())

    @rule()
    def stop(self) -> None:
        self.desk.harness.stop()
        self.desk.harness.start()
        self.desk.harness.run_until_idle()
        self.model.passes(self.now())

    # -- what holds -----------------------------------------------------------------------------------------------

    def seen(self) -> list[Told]:
        """What a reader of the topic has been told."""
        found = self.told
        for record in self.desk.records("alerts")[len(found) :]:
            one = decode("alerts", record.value)
            trouble = one.dedup_key.removeprefix("hq/")
            ids = self.ids.setdefault(trouble, [])
            if one.alert_id not in ids:
                ids.append(one.alert_id)
            what, step = one.type.removeprefix("alert_"), one.notify.step if one.notify is not None else 0
            nth = ids.index(one.alert_id) + 1
            found.append((what, trouble, nth, one.severity.value, one.state, step, one.count))
        return found

    @invariant()
    def every_alert_takes_the_course_of_the_model(self) -> None:
        seen = self.seen()
        # Those that are due at the same moment come in the order of their ids, which the model does not know.
        assert sorted(seen) == sorted(self.model.log)
        for alert in {one[1:3] for one in seen}:
            mine = [one for one in seen if one[1:3] == alert]
            assert mine == [one for one in self.model.log if one[1:3] == alert]

    @invariant()
    def every_step_of_an_alert_is_demanded_once(self) -> None:
        steps = Counter((one[1], one[2], one[5]) for one in self.seen() if one[5])
        assert set(steps.values()) <= {1}

    @invariant()
    def no_alert_is_stuck(self) -> None:
        for one in self.model.alerts:
            waiting = one.deadline() < NEVER
            assert waiting or one.state in {"acknowledged", "suppressed", "closed"}

    def teardown(self) -> None:
        self.desk.harness.close()


TestAnyAlertHistory = pytest.mark.timeout(3600)(pytest.mark.chaos(AnyAlertHistory.TestCase))
TestAnyAlertHistory.settings = settings(
    max_examples=examples(40), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
