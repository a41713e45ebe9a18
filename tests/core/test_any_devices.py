"""Whatever devices say or leave unsaid, and whatever befalls the workers: nothing is told twice, nothing is stuck.

The model knows only when each message was appended. From that it says what was so and when; the processor may tell no
more than that, in that order, and in the end must have told it.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.engine.options import MachineOptions
from tests.conftest import examples
from tests.core.plant import EVENTS, Plant
from tests.core.world import MASTER

DEVICES = ("c1", "c2")
OFFLINE_MS = 45_000
CHANGES, WINDOW_S = 4, 120
WORDS = {
    "connection": ("controller_offline", "controller_online"),
    "tamper": ("tamper", "tamper_restored"),
    "power": ("power_failure", "power_restored"),
    "battery": ("battery_low", "battery_restored"),
    "fault/a": ("fault", "fault_cleared"),
    "fault/b": ("fault", "fault_cleared"),
}
_ON = {words[0] for words in WORDS.values()}
who = st.sampled_from(DEVICES)


class Said(NamedTuple):
    at_ms: int
    said: dict[str, bool]
    decided: int
    """How often everything had been decided by then."""


class AnyDevices(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        options = MachineOptions(checkpoint_interval_s=20, full_turn_s=100, session_timeout_s=1e9)
        monitoring = {"probe_every_s": 70, "flapping_changes": CHANGES, "flapping_window_s": WINDOW_S}
        self.plant = Plant(devices=2, monitoring=monitoring, options=options)
        self.began_ms = self.plant.harness.clock.now_ms()
        self.said: dict[str, list[Said]] = {device: [] for device in DEVICES}
        self.sent: list[Any] = []
        self.decided_ms: list[int] = []

    def now_ms(self) -> int:
        return self.plant.harness.clock.now_ms()

    def say(self, device: str, said: dict[str, bool], type_: str = "heartbeat", **fields: Any) -> None:
        self.sent.append(self.plant.say(type_, device, **fields))
        self.said[device].append(Said(self.now_ms(), said, len(self.decided_ms)))

    @rule(device=who)
    def beat(self, device: str) -> None:
        self.say(device, {})

    @rule(device=who, tamper=st.booleans(), power=st.booleans())
    def tell_all(self, device: str, *, tamper: bool, power: bool) -> None:
        self.say(device, {"tamper": tamper, "power": power}, tamper=tamper, power_failure=power)

    @rule(device=who, codes=st.sets(st.sampled_from("ab")))
    def list_faults(self, device: str, codes: set[str]) -> None:
        said = {f"fault/{code}": code in codes for code in "ab"}
        self.say(device, said, faults=[{"code": code} for code in sorted(codes)])

    @rule(device=who, name=st.sampled_from(["tamper", "power", "battery"]), on=st.booleans())
    def change(self, device: str, name: str, *, on: bool) -> None:
        self.say(device, {name: on}, WORDS[name][0 if on else 1])

    @rule(device=who, times=st.integers(3, 11))
    def chatter(self, device: str, times: int) -> None:
        for number in range(times):
            self.change(device, "tamper", on=number % 2 == 0)

    @rule(device=who, code=st.sampled_from("ab"), on=st.booleans())
    def fail(self, device: str, code: str, *, on: bool) -> None:
        self.say(device, {f"fault/{code}": on}, "fault" if on else "fault_cleared", code=code)

    @rule(device=who)
    def answer(self, device: str) -> None:
        probes = self.plant.probes(device)
        if probes:
            self.say(device, {}, probe_id=probes[-1]["command_id"])

    @rule(back=st.integers(1, 30))
    def repeat(self, back: int) -> None:
        if len(self.sent) >= back:
            record = self.sent[-back]
            self.plant.harness.publish(EVENTS, record.key, record.value, record.headers)

    @rule(device=who)
    def forge(self, device: str) -> None:
        value = self.plant.make("tamper", device)
        self.plant.send(value, MASTER, device)

    @rule()
    def junk(self) -> None:
        self.plant.harness.publish(EVENTS, "hq", b"{")

    @rule(tens=st.integers(1, 12))
    def wait(self, tens: int) -> None:
        # Never just 45 s: which of two things of the same millisecond came first is nobody's business.
        self.decide()
        for _ in range(tens * 2):
            self.plant.harness.clock.move(5)
            self.decide()

    @rule()
    def decide(self) -> None:
        assert self.plant.harness.run_until_idle()
        self.decided_ms.append(self.now_ms())

    @rule()
    def crash(self) -> None:
        self.plant.harness.restart()

    @rule()
    def stop(self) -> None:
        self.plant.harness.stop()
        self.plant.harness.start()

    @rule(tens=st.integers(1, 15), device=who)
    def work_stands_still_while_a_device_goes_on(self, tens: int, device: str) -> None:
        self.plant.harness.crash()
        for _ in range(tens):
            self.plant.harness.clock.move(10)
            self.say(device, {})
        self.plant.harness.start()

    @invariant()
    def it_replays_the_same(self) -> None:
        assert self.plant.watching.drifts == []
        assert self.plant.watching.halts == []

    def teardown(self) -> None:
        with self.plant:
            self.wait((WINDOW_S + 100) // 10)
            assert self.plant.watching.ticks == []
            for device in DEVICES:
                for name in WORDS:
                    self.check(device, name)
            assert all(0 <= state["site_offline"] <= state["site_devices"] == 2 for state in self.plant.states())
            last = self.plant.states()[-1]
            assert (last["site_offline"], last["site_devices"]) == (2, 2)

    def check(self, device: str, name: str) -> None:
        certain, possible = self.changes(device, name, every=False), self.changes(device, name, every=True)
        told = [state for state in self.plant.states(device) if name_of(state) == name]
        words = [state["event"] for state in told]
        plain = [state for state in told if state["event"] in WORDS[name]]
        if name == "connection" and "flapping" not in words and plain and plain[0]["event"] not in _ON:
            # That a device that has just begun is there is told, and is no change.
            plain = plain[1:]
        assert all(one["event"] != other["event"] for one, other in pairwise(plain)), "told twice"
        quiet = False
        for word in words:
            assert not (quiet and word in (*WORDS[name], "flapping")), "told while it flaps"
            quiet = word == "flapping" if word in {"flapping", "settled"} else quiet
        assert not quiet, "stuck in flapping"
        last = plain[-1]["event"] in _ON if plain else "flapping" in words and certain[-1][1]
        assert last == (certain[-1][1] if certain else False), "the last word is wrong"
        if crowded(certain):
            assert "flapping" in words
        if not crowded(possible):
            assert "flapping" not in words
            if certain == possible:
                assert [state["event"] in _ON for state in plain] == [on for _, on in certain]
            gone = [moment(state) for state in plain if state["event"] in _ON and name == "connection"]
            assert set(gone) <= {at_ms for at_ms, on in possible if on}
            assert name != "connection" or set(gone) >= {at_ms for at_ms, on in certain if on}

    def changes(self, device: str, name: str, *, every: bool) -> list[tuple[int, bool]]:
        """When what was so changed, by the messages alone.

        An outage that was over before anybody could decide is told only where the backlog was read in parts with its
        end in a later one: `every` takes it in. To a worker without the broker's stamps its own outage looks the same.
        """
        said = self.said[device]
        found: list[tuple[int, bool]] = []
        if name == "connection":
            heard = [Said(self.began_ms, {}, 0), *said]
            for one, following in zip(heard, [*heard[1:], None], strict=True):
                if found and found[-1][1]:
                    found.append((one.at_ms, False))
                decided = self.decided_ms[one.decided : following.decided if following is not None else None]
                seen = any(at_ms >= one.at_ms + OFFLINE_MS for at_ms in decided)
                if seen or (every and following is not None and following.at_ms - one.at_ms > OFFLINE_MS):
                    found.append((one.at_ms + OFFLINE_MS, True))
            return found
        now = False
        for one in said:
            if one.said.get(name, now) is not now:
                now = not now
                found.append((one.at_ms, now))
        return found


def moment(state: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(state["since"]).timestamp() * 1000)


def name_of(state: dict[str, Any]) -> str:
    return f"fault/{state['code']}" if state["condition"] == "fault" else str(state["condition"])


def crowded(changes: list[tuple[int, bool]]) -> bool:
    """Whether more changes than are told one by one fall into one window."""
    moments = [at_ms for at_ms, _ in changes]
    return any(later - earlier < WINDOW_S * 1000 for earlier, later in zip(moments, moments[CHANGES:], strict=False))


TestAnyDevices = pytest.mark.timeout(3600)(pytest.mark.chaos(AnyDevices.TestCase))
TestAnyDevices.settings = settings(
    max_examples=examples(25),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a long story of small steps takes an hour to make shorter
)
