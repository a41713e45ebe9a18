"""What the state log says after full turns, removals and failures is what the state was."""

from __future__ import annotations

from collections.abc import Iterable

from streams.core.processor import Change, Outcome, State
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError
from tests.engine.conftest import MakeHarness
from tests.engine.test_recovery import STATE, deposit
from tests.engine.toy import Bank, message
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
