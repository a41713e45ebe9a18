"""Permission snapshots (A5): published, signed, asked to be taken, and made again when what they say is out of date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.base import Message
from schemas.keys import DEVICE, derive_key
from schemas.people import Cardholder
from schemas.permission_snapshots import PermissionSnapshot, card_digest, cards_key
from schemas.places import AccessPoint, Accompaniment, Door, Zone
from schemas.rules import Holiday, HolidayCalendar, Policy, Schedule, SingleMethod, Window
from schemas.signing import verify
from schemas.vocabulary import Direction, Enforcement, FactorKind
from streams.core.snapshots import LARGEST_PART, Contents
from tests.core.given import card_of, permission_of, person
from tests.core.plant import Plant
from tests.core.world import MASTER

KEY = derive_key(MASTER, DEVICE, "c1")
HALL = Zone(zone_id="hall", site_id="hq", parent_id="hq", kind="building", name="Hall")
DOOR = Door(door_id="lobby", site_id="hq", device_id="c1", name="Lobby", degraded_mode="snapshot")
POINT = AccessPoint(
    access_point_id="lobby-in",
    site_id="hq",
    door_id="lobby",
    direction=Direction.ENTRY,
    zone_from="street",
    zone_to="hall",
)
PLACES: tuple[Message, ...] = (
    Zone(zone_id="hq", site_id="hq", kind="site", name="Headquarters"),
    Zone(zone_id="street", site_id="hq", parent_id="hq", kind="outside", name="Street"),
    HALL,
    DOOR,
    POINT,
)
WEEKDAYS = Schedule(
    schedule_id="office",
    name="Office",
    windows=(Window(days=("mon", "tue", "wed", "thu", "fri"), start="07:00", end="20:00"),),
)


def plant_with(*records: Message, **monitoring: int) -> Plant:
    plant = Plant(monitoring={"probe_every_s": 300, **monitoring})
    for record in (*PLACES, *person("ada"), *records):
        plant.put(record)
    plant.wait(16)
    plant.wait(1)
    return plant


def snapshots(plant: Plant) -> list[PermissionSnapshot]:
    """All that were published, each with the mac under its device's key."""
    found = []
    for record in plant.harness.outputs("device.snapshots"):
        mac = record.header("doorstream-mac")
        assert mac is not None
        assert verify(KEY, mac, record.topic, record.key, record.value, record.headers)
        snapshot = PermissionSnapshot.model_validate_json(record.value or b"")
        assert record.key == snapshot.snapshot_key.encode()
        found.append(snapshot)
    return found


def calls(plant: Plant) -> list[dict[str, Any]]:
    return [one for one in plant.probes("c1") if one["type"] == "sync_permissions"]


def digest(number: str) -> str:
    return card_digest(cards_key(KEY), number)


def people(snapshot: PermissionSnapshot) -> set[str]:
    names = {digest(f"{name}-no"): name for name in ("ada", "bob", "cas", "guest")}
    return {names[card[0]] for card in snapshot.cards}


@pytest.mark.branch("A5.15")
def test_a_controller_gets_a_signed_snapshot_of_who_may_pass_its_doors_without_a_name_or_a_card_number() -> None:
    with plant_with(WEEKDAYS, *person("bob")[:2], permission_of("bob", schedule_id="office")) as plant:
        (snapshot,) = snapshots(plant)
        assert [(one.access_point_id, one.card_alone) for one in snapshot.points] == [("lobby-in", True)]
        assert people(snapshot) == {"ada", "bob"}
        by_card = {card[0]: snapshot.grants[card[4][0]] for card in snapshot.cards}
        assert by_card[digest("ada-no")].schedule is None
        assert by_card[digest("bob-no")].schedule == 0
        assert snapshot.schedules[0].windows == WEEKDAYS.windows
        assert (snapshot.valid_until - snapshot.issued_at).total_seconds() == 86_400
        (record,) = plant.harness.outputs("device.snapshots")
        assert not any(word in (record.value or b"") for word in (b"ada", b"bob", b"-no"))


@pytest.mark.branch("A5.15")
@pytest.mark.parametrize(
    "records",
    [
        (Cardholder(cardholder_id="ada", name="ada", status="inactive"),),
        (card_of("ada", status="stolen"),),
        (card_of("ada", valid_until=datetime(2026, 3, 1, tzinfo=UTC)),),
        (permission_of("ada", status="revoked"),),
        (permission_of("ada", kind="single_use"),),
        (permission_of("ada", zone_ids=("elsewhere",)),),
        (permission_of("ada", schedule_id="unknown"),),
        (HALL.model_copy(update={"special": True}),),
        (HALL.model_copy(update={"clearance": 3}),),
        (HALL.model_copy(update={"two_person": Accompaniment(enforcement=Enforcement.HARD)}),),
        (
            HALL.model_copy(update={"escort": Accompaniment(enforcement=Enforcement.HARD)}),
            Cardholder(cardholder_id="ada", name="ada", needs_escort=True),
        ),
        (POINT.model_copy(update={"enabled": False}),),
        (
            POINT.model_copy(update={"policy_id": "pin"}),
            Policy(policy_id="pin", methods=(SingleMethod(factor=FactorKind.PIN),)),
        ),
        (card_of("eve").model_copy(update={"card_number": "ada-no"}),),
    ],
    ids=lambda records: type(records[-1]).__name__ if isinstance(records, tuple) else None,
)
def test_nobody_is_in_a_snapshot_whom_the_controller_alone_must_not_let_in(records: Sequence[Message]) -> None:
    with plant_with(*records) as plant:
        assert snapshots(plant)[-1].cards == ()


def test_a_device_without_a_door_that_decides_by_snapshot_gets_none() -> None:
    with plant_with(DOOR.model_copy(update={"degraded_mode": "deny"})) as plant:
        assert snapshots(plant) == []


@pytest.mark.branch("A5.15")
def test_a_revocation_is_in_a_new_version_within_seconds_and_what_concerns_nobody_here_is_in_none() -> None:
    with plant_with() as plant:
        (first,) = snapshots(plant)
        plant.put(permission_of("ada", status="revoked"))
        plant.wait(16)
        plant.wait(1)
        second = snapshots(plant)[-1]
        assert (second.version > first.version, people(second)) == (True, set())
        plant.put(HolidayCalendar(holiday_calendar_id="far", name="Far", days=(Holiday(date="2026-05-01"),)))
        plant.wait(60)
        assert len(snapshots(plant)) == 2


def test_a_snapshot_is_made_again_when_half_of_its_validity_is_over() -> None:
    with plant_with(heartbeat_s=600, offline_after_s=1800) as plant:
        (first,) = snapshots(plant)
        for _ in range(72):
            plant.say()
            plant.harness.advance(600, 60)
        plant.wait(60)
        second = snapshots(plant)[-1]
        assert second.valid_until > first.valid_until
        assert second.cards == first.cards


@pytest.mark.branch("A5.15")
def test_a_controller_that_keeps_snapshots_is_asked_to_take_the_new_one_and_tells_that_it_has() -> None:
    with plant_with() as plant:
        (snapshot,) = snapshots(plant)
        assert plant.tell(snapshot_version="none") == ["controller_online"]
        (call,) = calls(plant)
        assert call["version"] == snapshot.version
        assert plant.tell(snapshot_version=str(snapshot.version)) == ["snapshot_taken"]
        assert plant.state()["snapshot_version"] == str(snapshot.version)
        plant.beat(60, snapshot_version=str(snapshot.version))
        assert len(calls(plant)) == 1
        assert "network_exception" not in plant.events()


def test_a_controller_that_never_told_of_snapshots_is_asked_for_nothing() -> None:
    with plant_with() as plant:
        plant.beat(120)
        assert calls(plant) == []


@pytest.mark.branch("A5.12", "A5.13")
def test_a_call_without_an_answer_is_made_again_when_the_probe_is_answered_and_then_succeeds() -> None:
    with plant_with() as plant:
        (snapshot,) = snapshots(plant)
        plant.tell(snapshot_version="none")
        plant.wait(11)
        assert plant.state()["event"] == "network_exception"
        assert (plant.state()["code"], plant.state()["network"]) == ("sync_permissions", "checking")
        probe = [one for one in plant.probes("c1") if one["type"] == "probe"][-1]
        told = plant.tell(snapshot_version="none", probe_id=probe["command_id"])
        assert told == ["probe_answered", "service_retried"]
        first, second = calls(plant)
        assert first["command_id"] == second["command_id"]
        assert plant.tell(snapshot_version=str(snapshot.version)) == ["snapshot_taken"]
        assert plant.state()["network"] == "ok"


@pytest.mark.branch("A5.14")
def test_a_controller_that_speaks_but_hears_nothing_is_in_offline_mode_until_it_answers_a_probe() -> None:
    with plant_with() as plant:
        plant.tell(snapshot_version="none")
        plant.beat(30, snapshot_version="none", every_s=10)
        told = plant.state()
        assert (told["event"], told["connection"], told["offline_doors"]) == (
            "offline_mode_started",
            "online",
            ["lobby"],
        )
        plant.beat(300, snapshot_version="none")
        probe = [one for one in plant.probes("c1") if one["type"] == "probe"][-1]
        told_now = plant.tell(snapshot_version="none", probe_id=probe["command_id"])
        assert told_now == ["probe_answered", "offline_mode_ended", "service_retried"]


def test_a_call_is_made_three_times_at_most_and_then_told_to_have_failed() -> None:
    with plant_with() as plant:
        plant.tell(snapshot_version="none")
        for _ in range(5):
            plant.wait(11)
            probe = [one for one in plant.probes("c1") if one["type"] == "probe"][-1]
            plant.tell(snapshot_version="none", probe_id=probe["command_id"])
        assert len(calls(plant)) == 3
        assert plant.events().count("service_failed") == 1


def test_a_worker_that_dies_publishes_no_version_twice_with_other_content() -> None:
    with plant_with() as plant:
        for number in range(3):
            plant.put(permission_of("ada", status="revoked" if number % 2 == 0 else "active"))
            plant.wait(16)
            plant.harness.restart()
            plant.wait(1)
        versions = [one.version for one in snapshots(plant)]
        assert versions == sorted(set(versions))
        assert len(versions) == 4


def test_a_large_snapshot_is_cut_into_parts_that_together_say_the_same() -> None:
    cards = tuple((f"{number:032x}", "2101", None, None, (0,)) for number in range(9_000))
    whole = Contents(cards=cards)
    parts = whole.parts()
    assert len(parts) > 2
    assert tuple(card for part in parts for card in part.cards) == cards
    assert all(sum(len(json.dumps(card)) for card in part.cards) < LARGEST_PART * 1.2 for part in parts)
    assert Contents().parts() == [Contents()]
