"""What the state log says after full turns, removals and failures is what the state was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from schemas.record import Output
from streams.core.processor import Change, Outcome, State
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError
from streams.engine.state import StateStore
from streams.engine.statelog import StateBatch, StateLog
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import STATE, deposit
from tests.engine.toy import Account, Bank, message
from tests.engine.watching import kinds, watching

MANY = 50


class Closing(Bank):
    """Whose accounts are removed when their last money is withdrawn."""

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:
        for key, account in super().evolve(state, outcome):
            yield key, account if account is not None and account.balance else None


def order(harness: Harness, kind: str, account: str, amount: int = 1) -> None:
    harness.publish("requests", "x", message(kind, account, amount), partition=0)


def fill(harness: Harness) -> None:
    for at in range(MANY):
        order(harness, "deposit", f"s{at}")
    harness.run_until_idle()
    harness.advance(1.1)


def assert_all_are_there(harness: Harness) -> None:
    """Every account has its money after a crash, as the checkpoint alone tells."""
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (0, 0)
    before = len(kinds(harness))
    for at in range(MANY):
        order(harness, "withdraw", f"s{at}")
    harness.run_until_idle()
    assert kinds(harness)[before:] == ["withdrawn"] * MANY


def test_what_was_removed_does_not_rise_again(make: MakeHarness) -> None:
    harness = make(Closing())
    fill(harness)
    for at in range(MANY):
        order(harness, "withdraw", f"s{at}")
    harness.run_until_idle()
    harness.advance(1.1)
    harness.restart()
    order(harness, "withdraw", "s7")
    harness.run_until_idle()
    assert watching(harness).recoveries[-1] == (0, 0)
    assert kinds(harness)[-1] == "refused"


def test_what_was_removed_in_the_middle_of_a_full_turn_does_not_rise_again(make: MakeHarness) -> None:
    harness = make(Closing(), options=MachineOptions(full_turn_s=20))
    fill(harness)
    gone = 0
    for _ in range(50):
        deposit(harness)
        if gone < MANY:
            order(harness, "withdraw", f"s{gone}")
            gone += 1
        harness.advance(1.1)
    assert harness.broker.log(STATE, 0).start > 0
    harness.restart()
    for at in range(MANY):
        order(harness, "withdraw", f"s{at}")
    harness.run_until_idle()
    assert kinds(harness)[-MANY:] == ["refused"] * MANY
    partition = harness.worker.machine._slots[0].partition
    assert partition is not None
    assert len(partition.store) == 1


def test_a_turn_is_not_full_before_every_entity_had_its_turn(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(full_turn_s=100, session_timeout_s=1e9))
    fill(harness)
    harness.restart()
    for _ in range(3):
        deposit(harness)
        harness.advance(1.1)
        # Quiet for longer than a turn: nothing is written meanwhile.
        harness.advance(230)
    assert_all_are_there(harness)


def test_the_log_is_cut_where_the_last_full_turn_began(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(full_turn_s=20))
    fill(harness)
    for _ in range(60):
        deposit(harness)
        harness.advance(1.1)
    assert harness.broker.log(STATE, 0).start > 0
    assert_all_are_there(harness)


def test_a_slice_that_was_refused_is_due_again(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(full_turn_s=20))
    fill(harness)
    harness.restart()
    harness.run_until_idle()
    for round_ in range(48):
        deposit(harness)
        if round_ % 3 == 1:
            harness.broker.fault(STATE, TransientError("later"), written=False, times=1)
        harness.advance(1.1)
    harness.advance(2.2)
    assert harness.broker.log(STATE, 0).start > 0
    assert_all_are_there(harness)


def test_what_changed_before_a_refused_checkpoint_is_in_the_next(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(full_turn_s=100_000))
    harness.run_until_idle()
    harness.broker.fault(STATE, TransientError("later"), written=False, times=1)
    fill(harness)
    harness.advance(2.2)
    assert_all_are_there(harness)


def test_a_hole_in_the_state_log_halts_and_is_told(make: MakeHarness) -> None:
    harness = make()
    fill(harness)
    harness.crash()
    log = harness.broker.log(STATE, 0)
    log.delete_before(log.end)
    harness.start()
    harness.run_until_idle()
    assert "lacks 1 records" in harness.health()[0].reason


def test_inputs_that_are_gone_before_they_could_be_decided_again_halt_and_are_told(make: MakeHarness) -> None:
    harness = make(options=MachineOptions(checkpoint_interval_s=10_000))
    for _ in range(3):
        deposit(harness)
    harness.run_until_idle()
    harness.crash()
    harness.broker.log("requests", 0).delete_before(2)
    harness.start()
    harness.run_until_idle()
    assert "has offsets 2 to 3, the journal needs 0 to 3" in harness.health()[0].reason


class Slow:
    """A writer that notes what it is given, and between two records of which the state changes."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes | None] = {}
        self.records = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def close(self) -> None:
        """Nothing is open."""

    async def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> int:
        """Note it."""
        assert (topic, partition) == (STATE, 0)
        self.records += len(outputs)
        for output in outputs:
            rows = msgspec.msgpack.decode(output.value or b"", type=StateBatch).rows
            self.rows.update((key, data) for key, _, data in rows)
        self.meanwhile()
        return self.records - 1


def accounts(store: StateStore, balance: int) -> None:
    for at in range(3_000):
        store.put(f"account/{at:0100}", Account(balance))
    store.commit()


async def checkpoint(writer: Slow, store: StateStore) -> StateLog:
    log = StateLog(writer, STATE, 0, store, [], MachineOptions())
    accounts(store, 1)
    log.begin(1, 1, 0.0, asyncio.Event())
    return log


async def test_a_checkpoint_that_takes_several_turns_holds_the_state_as_it_was_at_its_beginning() -> None:
    writer, store = Slow(), StateStore(Bank())
    log = await checkpoint(writer, store)
    writer.meanwhile = lambda: accounts(store, 2)
    turns = 0
    while not log.written():
        await asyncio.sleep(0)
        turns += 1
    assert writer.records > 3
    assert turns >= writer.records, "others had their turn between two of its records"
    assert len(writer.rows) == 3_000
    assert {Bank().decode_entity(key, data or b"").balance for key, data in writer.rows.items()} == {1}
    assert len(store.changed) == 3_000, "what has changed since is for the next one"


async def test_a_checkpoint_of_a_partition_that_was_given_up_is_written_no_further() -> None:
    writer, store = Slow(), StateStore(Bank())
    log = await checkpoint(writer, store)
    for _ in range(3):
        await asyncio.sleep(0)
    assert 0 < writer.records < 3
    log.close()
    before = writer.records
    for _ in range(20):
        await asyncio.sleep(0)
    assert writer.records <= before + 1
