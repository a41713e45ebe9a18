"""A controller and its permission snapshot: which one counts, and whom it lets in when nobody answers (A5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from schemas.access import AccessRecorded
from schemas.commands import SyncPermissions
from schemas.permission_snapshots import SnapshotGrant, SnapshotSchedule, card_digest, cards_key
from schemas.rules import Holiday, HolidayWindow, Window
from streams.simulator.factors import CardShown, PinTyped, Shown
from tests.simulator.small import MASTER, NOON, Bench, Seen

CARD = CardShown("1", "21")
EVENING = SnapshotSchedule(
    windows=(Window(days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), start="22:00", end="02:00"),)
)


def alone(bench: Bench, *shown: Shown, point: str = "main-in") -> AccessRecorded:
    """What the controller records while it can't reach the server, as it sends it later."""
    bench.controller.disconnect(bench.clock.now)
    bench.ask(point, *shown)
    sent = Seen(bench.controller.reconnect(bench.clock.now)).messages
    (recorded,) = [message for message in sent if message.type == "access_recorded"]
    assert isinstance(recorded, AccessRecorded)
    return recorded


@pytest.mark.branch("A5.15")
def test_offline_the_controller_decides_from_its_snapshot_and_its_records_say_so() -> None:
    bench = Bench()
    recorded = alone(bench, CARD)
    assert (recorded.outcome, recorded.mode, recorded.snapshot_version) == ("granted", "snapshot", "1")
    denied = alone(bench, CardShown("2", "21"))
    assert (denied.outcome, denied.reason, denied.snapshot_version) == ("denied", "no_access_rights", "1")


@pytest.mark.branch("A5.15")
def test_only_a_newer_snapshot_that_is_signed_for_this_controller_counts() -> None:
    bench = Bench()
    nobody: dict[str, Any] = {"cards": ()}
    assert bench.sync(bench.snapshot(9, **nobody), secret=MASTER).effects == []
    foreign = bench.snapshot(9, **nobody).model_copy(update={"device_id": "c2"})
    assert bench.sync(foreign).effects == []
    assert alone(bench, CARD).outcome == "granted"
    assert bench.sync(bench.snapshot(2, **nobody)).messages[0].snapshot_version == "2"
    assert bench.sync(bench.snapshot(1)).effects == []
    assert alone(bench, CARD).outcome == "denied"
    bench.controller.restart(bench.clock.now)
    assert alone(bench, CARD).snapshot_version == "2"


def test_a_snapshot_in_parts_counts_when_all_of_one_version_have_come_in_whatever_order() -> None:
    bench = Bench()
    card = (card_digest(cards_key(bench.key), "2"), "21", None, None, (0,))
    first = bench.snapshot(5, part=1, parts=2)
    second = bench.snapshot(5, part=2, parts=2, points=(), grants=(), cards=(card,))
    stale = bench.snapshot(4, part=1, parts=2)
    assert [bench.sync(one).types for one in (stale, second, stale)] == [[], [], []]
    assert alone(bench, CardShown("2", "21")).outcome == "denied"
    assert bench.sync(first).types == ["heartbeat"]
    assert alone(bench, CardShown("2", "21")).outcome == "granted"


@pytest.mark.branch("A5.15")
def test_after_its_end_a_snapshot_decides_nothing_and_the_door_stays_shut() -> None:
    bench = Bench()
    bench.clock.seconds = timedelta(days=1).total_seconds()
    recorded = alone(bench, CARD)
    assert (recorded.outcome, recorded.mode, recorded.reason) == ("denied", "deny", "authentication_unavailable")
    assert recorded.snapshot_version == "1"


@pytest.mark.branch("A5.13")
def test_a_call_to_take_a_snapshot_is_confirmed_when_it_is_held_and_each_time_it_is_made_again() -> None:
    bench = Bench()
    call = SyncPermissions(command_id="sync", site_id="s", device_id="c1", issued_at=NOON, version=2)
    assert bench.tell(call).types == ["command_delivered"]
    assert bench.sync(bench.snapshot(2)).types == ["heartbeat", "heartbeat", "command_confirmed"]
    assert bench.tell(call).messages[-1].repeated


@pytest.mark.parametrize(
    ("hours", "fields", "outcome"),
    [
        (0, {"schedules": (EVENING,)}, "denied"),
        (10, {"schedules": (EVENING,)}, "granted"),
        (13.5, {"schedules": (EVENING,)}, "granted"),
        (14, {"schedules": (EVENING,)}, "denied"),
        (10, {"schedules": (EVENING,), "holidays": (Holiday(date=NOON.date()),)}, "denied"),
        (
            0,
            {
                "schedules": (SnapshotSchedule(holidays=(HolidayWindow(kind="holiday", start="11:00", end="13:00"),)),),
                "holidays": (Holiday(date=NOON.date()),),
            },
            "granted",
        ),
        (0, {"grants": (SnapshotGrant(points=(0,), valid_from=NOON),)}, "granted"),
        (0, {"grants": (SnapshotGrant(points=(0,), valid_until=NOON),)}, "denied"),
        (0, {"grants": (SnapshotGrant(points=()),)}, "denied"),
    ],
)
def test_schedules_holidays_and_validity_are_kept_in_the_sites_time(
    hours: float, fields: dict[str, Any], outcome: str
) -> None:
    bench = Bench()
    grants = (SnapshotGrant(points=(0,), schedule=0),)
    bench.sync(bench.snapshot(2, **{"grants": grants, **fields}, days=3))
    bench.clock.seconds = hours * 3600
    assert alone(bench, CARD).outcome == outcome


def test_a_card_of_another_facility_and_a_pin_alone_open_nothing() -> None:
    assert alone(Bench(), CardShown("1", "22")).outcome == "denied"
    assert alone(Bench(), PinTyped("4711", "ann")).reason == "authentication_unavailable"
