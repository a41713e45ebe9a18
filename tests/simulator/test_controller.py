from __future__ import annotations

import json
from datetime import timedelta

import pytest

from schemas.access import AccessRecorded, AccessRequested
from schemas.keys import DEVICE, derive_key
from schemas.sealing import Opener
from schemas.signing import verify
from schemas.vocabulary import DoorMode, Reason
from streams.simulator.factors import CardShown, PinTyped
from streams.simulator.wire import Outgoing
from tests.simulator.small import MASTER, NOON, Bench, Seen, types

CARD = CardShown("1", "21")


def test_a_request_is_numbered_and_signed_under_the_devices_key_and_its_pin_is_sealed() -> None:
    bench = Bench()
    number, seen = bench.ask("lab-in", CARD, PinTyped("4711"))
    (out,) = seen.effects
    assert isinstance(out, Outgoing)
    assert isinstance(out.message, AccessRequested)
    assert (out.topic, out.key) == ("access.requests", b"s")
    assert (out.message.boot, out.message.sequence) == number == (7, 1)
    header = dict(out.headers)["doorstream-mac"]
    others = [one for one in out.headers if one[0] != "doorstream-mac"]
    assert verify(derive_key(MASTER, DEVICE, "c1"), header, out.topic, out.key, out.value, others)
    assert b"4711" not in out.value
    pin = json.loads(out.value)["factors"][1]
    assert json.loads(Opener(MASTER).open(pin["sealed"])) == {"pin": "4711"}


def test_a_command_for_a_pending_request_opens_once_and_is_delivered_and_confirmed() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    seen = bench.tell(bench.open(number, 1))
    assert seen.types == ["command_delivered", "command_confirmed"]
    assert [(one.door_id, one.cause, one.number) for one in seen.released] == [("main", "command", number)]
    assert seen.answers == ["granted"]
    assert not seen.messages[1].repeated


def test_a_repeated_command_is_confirmed_again_and_not_acted_on() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    command = bench.open(number, 1)
    bench.tell(command)
    again = bench.tell(command)
    assert again.released == []
    assert again.messages[-1].repeated


def test_a_number_not_above_the_doors_last_one_is_confirmed_again_and_not_acted_on() -> None:
    bench = Bench()
    first, _ = bench.ask("main-in", CARD)
    bench.tell(bench.open(first, 5))
    second, _ = bench.ask("main-in", CARD)
    seen = bench.tell(bench.open(second, 5, command_id="another"))
    assert seen.released == []
    assert seen.messages[-1].type == "command_confirmed"
    assert seen.messages[-1].repeated


def test_after_a_restart_requests_are_forgotten_the_boot_has_risen_and_the_doors_numbers_are_known() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    command = bench.open(number, 5)
    bench.tell(command)
    lost, _ = bench.ask("main-in", CARD)
    announced = Seen(bench.controller.restart(bench.clock.now))
    assert announced.types == ["announced", "heartbeat"]
    assert {message.boot for message in announced.messages} == {8}
    assert bench.tell(command).released == []
    assert bench.tell(bench.open(lost, 6)).messages[-1].reason == "not_pending"
    fresh, _ = bench.ask("main-in", CARD)
    assert fresh[0] == 8
    assert len(bench.tell(bench.open(fresh, 7)).released) == 1


def test_a_command_with_a_wrong_mac_is_reported_and_the_true_one_still_opens() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    command = bench.open(number, 1)
    forged = bench.tell(command, secret=bytes(32))
    assert (forged.types, forged.released) == (["command_failed"], [])
    assert forged.messages[0].reason == "invalid_signature"
    assert len(bench.tell(command).released) == 1


def test_a_command_for_another_device_is_not_obeyed() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    record = bench.record(bench.open(number, 1))._replace(key=b"c2")
    assert types(bench.controller.command(record, bench.clock.now)) == ["command_failed"]


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[]", b'{"command_id": 7}', b"\xff"])
def test_what_is_no_command_is_ignored(value: bytes | None) -> None:
    bench = Bench()
    record = bench.record(bench.open(None, 1))._replace(value=value)
    assert bench.controller.command(record, bench.clock.now) == []


def test_a_request_stays_pending_for_ten_seconds_of_the_controllers_own_timer() -> None:
    bench = Bench()
    number, _ = bench.ask("lab-in", CARD)
    bench.wait(9.5)
    assert len(bench.tell(bench.open(number, 1, "lab")).released) == 1
    late, _ = bench.ask("lab-in", CARD)
    bench.clock.seconds += 10.0
    seen = bench.tell(bench.open(late, 2, "lab"))
    assert seen.released == []
    assert seen.messages[-1].reason == "not_pending"


def test_a_failed_command_fails_again_and_never_opens_later() -> None:
    bench = Bench()
    command = bench.open((7, 1), 1)
    assert bench.tell(command).messages[-1].reason == "not_pending"
    bench.ask("main-in", CARD)  # takes the number that the command names
    again = bench.tell(command)
    assert (again.types[-1], again.released) == ("command_failed", [])


def test_a_command_opens_only_the_door_at_which_the_request_was_made() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    assert bench.tell(bench.open(number, 1, "lab")).messages[-1].reason == "not_pending"
    assert bench.tell(bench.open(number, 1, "vault", command_id="x")).messages[-1].reason == "fault"


def test_an_unsolicited_command_opens_until_its_end_and_not_without_one() -> None:
    bench = Bench()
    end = bench.clock.now.clock
    assert bench.tell(bench.open(None, 1, not_after=end)).released[0].cause == "unsolicited"
    expired = bench.open(None, 2, not_after=end - timedelta(milliseconds=1))
    assert bench.tell(expired).messages[-1].reason == "expired"
    assert bench.tell(bench.open(None, 3)).messages[-1].reason == "expired"


def test_a_command_of_an_older_mode_epoch_is_void() -> None:
    bench = Bench()
    bench.controller.locks["main"].set_mode(DoorMode.LOCKED, 4)
    number, _ = bench.ask("main-in", CARD)
    assert bench.tell(bench.open(number, 1, mode_epoch=3)).messages[-1].reason == "stale_epoch"
    assert len(bench.tell(bench.open(number, 2, mode_epoch=4)).released) == 1


def test_a_higher_epoch_sets_any_mode_from_any_mode_and_no_other_does() -> None:
    lock = Bench().controller.locks["main"]
    assert lock.set_mode(DoorMode.LOCKED_DOWN, 3)
    assert not lock.set_mode(DoorMode.LOCKED, 3)
    assert not lock.set_mode(DoorMode.LOCKED, 2)
    assert (lock.memory.mode, lock.memory.mode_epoch) == (DoorMode.LOCKED_DOWN, 3)
    assert lock.set_mode(DoorMode.LOCKED_OPEN, 4)
    assert (lock.memory.mode, lock.memory.mode_epoch) == (DoorMode.LOCKED_OPEN, 4)


def test_a_locked_down_door_obeys_only_an_override_of_the_current_epoch() -> None:
    bench = Bench()
    bench.controller.locks["main"].set_mode(DoorMode.LOCKED_DOWN, 4)
    number, _ = bench.ask("main-in", CARD)
    assert bench.tell(bench.open(number, 1, mode_epoch=4)).messages[-1].reason == "locked_down"
    assert bench.tell(bench.open(number, 2, mode_epoch=5, override=True)).messages[-1].reason == "locked_down"
    assert len(bench.tell(bench.open(number, 3, mode_epoch=4, override=True)).released) == 1


def test_a_locked_down_door_lets_everybody_out() -> None:
    bench = Bench()
    bench.controller.locks["main"].set_mode(DoorMode.LOCKED_DOWN, 4)
    assert bench.ask("main-out", CARD)[1].released[0].cause == "exit"
    assert [one for one in bench.controller.exit("main", bench.clock.now) if not isinstance(one, Outgoing)]


def test_a_denial_at_the_reader_ends_the_request() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    seen = bench.tell(bench.deny(number))
    assert (seen.answers, seen.types) == (["denied"], ["command_delivered", "command_confirmed"])
    assert bench.tell(bench.open(number, 1)).messages[-1].reason == "not_pending"


def test_without_an_answer_in_two_seconds_the_snapshot_decides_and_a_late_command_finds_nothing_to_open() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    assert bench.wait(1.9).effects == []
    seen = bench.wait(0.1)
    (recorded,) = seen.messages
    assert isinstance(recorded, AccessRecorded)
    assert (recorded.outcome, recorded.mode, recorded.sequence) == ("granted", "snapshot", 1)
    assert [one.cause for one in seen.released] == ["degraded"]
    assert bench.tell(bench.open(number, 1)).messages[-1].reason == "not_pending"


def test_a_snapshot_that_denies_is_recorded_with_its_reason_when_no_answer_came() -> None:
    bench = Bench(snapshot=Reason.OUT_OF_TIME_RANGE)
    bench.ask("main-in", CARD)
    assert bench.wait(2.0).effects == []
    seen = bench.wait(8.0)
    assert (seen.messages[0].outcome, seen.messages[0].reason) == ("denied", "out_of_time_range")
    assert seen.answers == ["none"]


def test_a_door_that_denies_alone_still_opens_for_an_answer_that_comes_in_time() -> None:
    bench = Bench()
    number, _ = bench.ask("lab-in", CARD)
    assert bench.wait(5.0).effects == []
    assert len(bench.tell(bench.open(number, 1, "lab")).released) == 1
    assert "access_recorded" not in bench.wait(10.0).types


def test_a_facility_code_opens_alone_only_to_its_cards() -> None:
    bench = Bench()
    bench.controller.disconnect(bench.clock.now)
    assert bench.ask("side-in", CardShown("99", "21"))[1].answers == ["granted"]
    assert bench.ask("side-in", CardShown("99", "22"))[1].answers == ["none"]
    assert bench.ask("side-in", CardShown("99"))[1].answers == ["none"]


def test_who_is_inside_gets_out_alone_whatever_the_degraded_mode_says() -> None:
    bench = Bench()
    bench.controller.disconnect(bench.clock.now)
    assert bench.ask("lab-in", CARD)[1].answers == ["none"]
    assert bench.ask("lab-out", CardShown("nobody's"))[1].answers == ["granted"]


def test_offline_nothing_is_published_and_on_return_everything_in_its_order_under_rising_numbers() -> None:
    bench = Bench()
    bench.controller.disconnect(bench.clock.now)
    _, seen = bench.ask("main-in", CARD)
    assert (seen.types, seen.answers) == ([], ["granted"])
    assert bench.controller.opened("main", bench.clock.now) == []
    assert bench.controller.closed("main", bench.clock.now) == []
    bench.ask("lab-in", CARD)
    back = Seen(bench.controller.reconnect(bench.clock.now))
    assert back.types == [
        "controller_offline",
        "access_recorded",
        "door_opened",
        "door_closed",
        "access_recorded",
        "controller_online",
        "heartbeat",
    ]
    assert [one.sequence for one in back.messages if one.type == "access_recorded"] == [1, 2]
    live = [one.sequence for one in back.messages if one.type != "access_recorded"]
    assert live == sorted(set(live))


def test_a_backlog_number_rises_through_restarts() -> None:
    bench = Bench()
    bench.controller.disconnect(bench.clock.now)
    bench.ask("main-in", CARD)
    bench.controller.restart(bench.clock.now)
    bench.ask("main-in", CARD)
    recorded = [m for m in Seen(bench.controller.reconnect(bench.clock.now)).messages if m.type == "access_recorded"]
    assert [(one.boot, one.sequence) for one in recorded] == [(7, 1), (8, 2)]


def test_a_door_that_opens_after_a_grant_names_the_command_and_one_that_opens_without_is_forced() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    bench.tell(bench.open(number, 1))
    opened = Seen(bench.controller.opened("main", bench.clock.now))
    assert (opened.types, opened.messages[0].command_id) == (["door_opened"], "open-1")
    bench.controller.closed("main", bench.clock.now)
    assert types(bench.controller.opened("main", bench.clock.now)) == ["door_forced_open"]


def test_a_lock_falls_again_after_the_access_time_and_says_that_nobody_went_in() -> None:
    bench = Bench()
    number, _ = bench.ask("main-in", CARD)
    bench.tell(bench.open(number, 1))
    assert bench.wait(5.0).types == []
    seen = bench.wait(0.1)
    assert (seen.types, seen.messages[0].command_id) == (["no_entry_after_granted"], "open-1")
    assert types(bench.controller.opened("main", bench.clock.now)) == ["door_forced_open"]


def test_a_propped_door_warns_is_held_open_and_cleared_each_once() -> None:
    bench = Bench()
    bench.controller.exit("main", bench.clock.now)
    bench.controller.opened("main", bench.clock.now)
    kept = ("door_pre_alarm", "door_held_open")
    seen = [one for _ in range(30) for one in bench.wait(1.0).types if one in kept]
    assert seen == list(kept)
    assert types(bench.controller.closed("main", bench.clock.now)) == ["door_closed", "door_held_open_cleared"]


def test_a_door_without_a_position_switch_says_nothing_of_passages() -> None:
    bench = Bench("c2")
    number, _ = bench.ask("gate-in", CARD)
    bench.tell(bench.open(number, 1, "gate"))
    assert bench.controller.opened("gate", bench.clock.now) == []
    assert bench.controller.closed("gate", bench.clock.now) == []


def test_a_heartbeat_every_fifteen_seconds_tells_each_doors_mode_and_position() -> None:
    bench = Bench()
    bench.controller.start(bench.clock.now)
    bench.controller.exit("main", bench.clock.now)
    bench.controller.opened("main", bench.clock.now)
    assert "heartbeat" not in bench.wait(14.9).types
    heartbeat = next(one for one in bench.wait(0.2).messages if one.type == "heartbeat")
    assert {one.door_id: one.open for one in heartbeat.doors} == {"main": True, "side": False, "lab": False}
    assert "heartbeat" not in bench.wait(1.0).types


def test_the_exit_button_opens_and_tells() -> None:
    bench = Bench()
    seen = Seen(bench.controller.exit("lab", bench.clock.now))
    assert (seen.types, seen.released[0].cause) == (["request_to_exit"], "exit")
    opened = Seen(bench.controller.opened("lab", bench.clock.now))
    assert (opened.types, opened.messages[0].command_id) == (["door_opened"], None)
    assert opened.messages[0].occurred_at >= NOON


def test_a_probe_is_answered_with_a_heartbeat_that_has_its_id_and_the_whole_state() -> None:
    bench = Bench()
    Seen(bench.controller.fail("reader_lost", "reader 1", bench.clock.now))
    seen = bench.tell(bench.probe("p-1"))
    assert seen.types == ["heartbeat"]
    (answer,) = seen.messages
    assert (answer.probe_id, answer.tamper, answer.power_failure, answer.battery_low) == ("p-1", False, False, False)
    assert [(fault.code, fault.detail) for fault in answer.faults] == [("reader_lost", "reader 1")]
    assert Seen(bench.controller.mend("reader_lost", bench.clock.now)).types == ["fault_cleared"]
    assert bench.tell(bench.probe("p-2")).messages[0].faults == ()


def test_the_end_of_an_unsolicited_command_is_in_the_time_of_the_last_probe() -> None:
    bench = Bench()
    ahead = NOON + timedelta(hours=3)
    assert bench.tell(bench.open(None, 1, not_after=ahead - timedelta(minutes=1))).released
    bench.tell(bench.probe("p-1", issued_at=ahead))
    late = bench.tell(bench.open(None, 2, not_after=ahead - timedelta(minutes=1)))
    assert (late.released, late.messages[-1].reason) == ([], "expired")
    bench.wait(30)
    bench.tell(bench.probe("p-0", issued_at=NOON))
    assert bench.tell(bench.open(None, 3, not_after=ahead + timedelta(seconds=31))).released
    assert not bench.tell(bench.open(None, 4, not_after=ahead + timedelta(seconds=29))).released
