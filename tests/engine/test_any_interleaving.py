"""Whatever happens to the workers, a reader with marks sees what it would have seen had nothing happened."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streams.core.processor import Arrival, Context, Tick
from streams.engine.harness import Harness
from streams.engine.journal import Entry, Fold, decode_record
from streams.engine.memory import Fault, ManualClock
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError, UnknownOutcome
from streams.engine.references import ReferenceTables
from streams.engine.virtual import Worker
from tests.conftest import examples
from tests.engine.toy import Bank, message
from tests.engine.watching import Watching

ACCOUNTS = st.sampled_from("abc")
TOPICS = st.sampled_from(["orders", "requests"])
JOURNAL = "doorstream.bank.journal"
STATE = "doorstream.bank.state"


def entries(harness: Harness) -> list[Entry]:
    """The valid entries of the whole journal, by the rules and without any recovery's help."""
    every: list[Entry] = []
    fold = Fold(1, 0)
    for record in harness.broker.log(JOURNAL, 0).records:
        known = fold.number
        fold.feed([record])
        item = decode_record(record)
        if isinstance(item, Entry) and fold.number != known and fold.number == item.number:
            every.append(item)
    return every


class AnyInterleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        options = MachineOptions(checkpoint_interval_s=1, full_turn_s=5, cycle_records=8, smallest_share=1)
        self.watching = Watching()
        self.harness = Harness(Bank(), options=options, observer=self.watching)
        self.sleepers: list[Worker] = []
        self.faults: list[Fault] = []
        self.sent = 0

    @initialize()
    def begin(self) -> None:
        self.harness.run_until_idle()

    @rule(
        topic=TOPICS,
        account=ACCOUNTS,
        kind=st.sampled_from(["deposit", "withdraw", "half", "odd"]),
        many=st.integers(1, 20),
    )
    def publish(self, topic: str, account: str, kind: str, many: int) -> None:
        for _ in range(many):
            self.sent += 1
            self.harness.publish(topic, account, message(kind, account, self.sent % 7 + 1, id=self.sent))

    @rule(account=ACCOUNTS, due_ms=st.integers(1, 3_000))
    def lend(self, account: str, due_ms: int) -> None:
        self.harness.publish("requests", account, message("lend", account, due_ms))

    @rule()
    def bad(self) -> None:
        self.harness.publish("requests", "a", b"{bad")

    @rule(seconds=st.floats(0.001, 0.1))
    def step(self, seconds: float) -> None:
        self.harness.worker.step(seconds)

    @rule(seconds=st.floats(0.1, 4))
    def advance(self, seconds: float) -> None:
        self.harness.clock.move(seconds)
        self.harness.worker.step(0.3)

    @rule()
    def stall(self) -> None:
        self.harness.clock.move(11)
        self.harness.worker.step(0.3)

    @rule()
    def crash(self) -> None:
        self.harness.restart()

    @rule()
    def stop(self) -> None:
        self.release()
        self.harness.stop()
        self.harness.start()

    @rule()
    def fall_asleep(self) -> None:
        sleeper = self.harness.worker
        sleeper.paused = True
        self.sleepers.append(sleeper)
        self.harness.start()

    @rule(topic=st.sampled_from([JOURNAL, STATE, "ledger", "requests.dead"]))
    def hold(self, topic: str) -> None:
        self.faults.append(self.harness.broker.fault(topic, written=self.sent % 2 == 0, times=2))

    @rule()
    def release(self) -> None:
        for fault in self.faults:
            fault.release()
        self.faults.clear()

    @rule(topic=st.sampled_from([JOURNAL, STATE, "ledger"]), written=st.booleans())
    def lose_track(self, topic: str, *, written: bool) -> None:
        self.harness.broker.fault(topic, UnknownOutcome("time-out"), written=written, times=1)

    @rule(topic=st.sampled_from([JOURNAL, STATE, "ledger"]))
    def stumble(self, topic: str) -> None:
        self.harness.broker.fault(topic, TransientError("later"), written=False, times=2)

    @rule()
    def wake_up(self) -> None:
        if self.sleepers:
            sleeper = self.sleepers.pop()
            sleeper.step(0.05)
            sleeper.lose([0])
            self.harness.crash(sleeper)

    @invariant()
    def no_partition_has_stopped_or_drifted(self) -> None:
        assert self.watching.drifts == []
        assert self.watching.halts == []

    def teardown(self) -> None:
        with contextlib.closing(self.harness):
            while self.sleepers:
                self.wake_up()
            self.release()
            self.harness.broker.faults.clear()
            assert self.harness.run_until_idle()
            self.harness.advance(5, 1)
            self.check()

    def check(self) -> None:
        assert self.watching.drifts == []
        journalled = entries(self.harness)
        assert [entry.number for entry in journalled] == list(range(1, len(journalled) + 1))
        for topic in ("orders", "requests"):
            taken = [
                offset for e in journalled for c in e.chunks if c.topic == topic for offset in range(c.start, c.stop)
            ]
            assert taken == list(range(self.harness.broker.log(topic, 0).end))
        expected = self.undisturbed(journalled)
        seen = [json.loads(record.value or b"") for record in self.harness.outputs("ledger")]
        assert seen == expected["ledger"]
        assert len(self.harness.outputs("requests.dead")) == expected["requests.dead"]
        assert len(self.harness.outputs("orders.dead")) == expected["orders.dead"]
        every = self.harness.outputs("ledger", marked=False)
        by_position: dict[Any, set[Any]] = {}
        for record in every:
            by_position.setdefault(record.header("doorstream-position"), set()).add(record.value)
        assert all(len(values) == 1 for values in by_position.values())

    def undisturbed(self, journalled: list[Entry]) -> dict[str, Any]:
        """Decide the same causes in plain Python: no engine code but the journal's record types."""
        bank = Bank()
        state: dict[str, Any] = {}
        ledger: list[Any] = []
        dead = {"requests": 0, "orders": 0}
        for entry in journalled:
            for cause, now_ms, topic in self.causes(entry, bank, state):
                decide_plainly(bank, state, cause, now_ms, ledger, dead, topic)
        return {"ledger": ledger, "requests.dead": dead["requests"], "orders.dead": dead["orders"]}

    def causes(self, entry: Entry, bank: Bank, state: dict[str, Any]) -> Any:
        log = self.harness.broker.log
        first = [c for c in entry.chunks if c.topic == bank.inputs[0]]
        rest = [c for c in entry.chunks if c.topic != bank.inputs[0]]
        for chunk in first:
            for record in log(chunk.topic, 0).slice(chunk.start, chunk.stop):
                yield record, entry.now_ms, chunk.topic
        for tick in entry.ticks:
            account = state.get(tick.key)
            if account is not None and account.loan_due_ms == tick.deadline_ms:
                yield tick, entry.now_ms, ""
        for chunk in rest:
            for record in log(chunk.topic, 0).slice(chunk.start, chunk.stop):
                yield record, entry.now_ms, chunk.topic


def decide_plainly(
    bank: Bank, state: dict[str, Any], cause: Any, now_ms: int, ledger: list[Any], dead: dict[str, int], topic: str
) -> None:

    context = Context(now_ms, ReferenceTables([], ManualClock()).views([]).live(), {}, 0, 0, 1)
    if topic:
        try:
            cause = Arrival(cause, bank.decode(cause))
        except ValueError:
            dead[topic] += 1
            return
    else:
        cause = Tick(cause.key, cause.deadline_ms)
    changed = dict(state)

    class View:
        get = staticmethod(changed.get)

    outcomes: Any
    try:
        outcomes = bank.decide(View, cause, context)
        for outcome in outcomes:
            changed.update(bank.evolve(View, outcome))
        state.update(changed)
    except RuntimeError:
        outcomes = bank.refuse(cause, context, "")
        dead[topic] += 1
    for outcome in outcomes:
        output = bank.publish(outcome, cause, context)
        if output is not None:
            ledger.append(json.loads(output.value or b""))


TestAnyInterleaving = pytest.mark.timeout(3600)(pytest.mark.chaos(AnyInterleaving.TestCase))
TestAnyInterleaving.settings = settings(
    max_examples=examples(30), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
