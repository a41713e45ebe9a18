"""Permission verification (A2), driven by messages alone; schedules and security rules have their own files."""

from __future__ import annotations

import pytest

from schemas.base import Message
from schemas.rules import Schedule, SingleMethod
from schemas.topics import registry
from schemas.vocabulary import FactorKind
from tests.core.given import (
    ADA,
    BOB,
    DEVICE,
    DOOR,
    HALL,
    POINT,
    Database,
    House,
    Json,
    card,
    card_of,
    checks,
    permission_of,
    pin_of,
    policy,
    template_of,
)

NEVER = Schedule(schedule_id="never", name="Never", windows=())
ONLY_ADA = ADA[:2]
"""Ada and her card, without a permission."""


@pytest.mark.branch("A2.01")
def test_who_cannot_be_verified_is_denied_and_recorded_and_nothing_of_the_permission_is_judged() -> None:
    with House(*ADA, lookups=Database()) as house:
        decision = house.ask(card("stranger"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "unknown_credential")
    found = checks(decision)
    assert (found["credential"], found["permission"], found["schedule"]) == ("failed", "skipped", "skipped")


@pytest.mark.branch("A2.02", "A2.07", "A2.11", "A2.16")
def test_who_passes_every_check_is_granted_and_the_decision_names_person_permission_and_door() -> None:
    with House(*ADA) as house:
        decision = house.ask(card("ada"))
        commands = house.harness.outputs("device.commands")
    assert (decision["type"], decision["reason"], decision["failed_checks"]) == ("access_granted", None, [])
    assert (decision["cardholder_id"], decision["permission_id"]) == ("ada", "ada-may")
    assert (decision["access_point_id"], decision["door_id"], decision["actuated"]) == ("lobby-in", "lobby", True)
    found = checks(decision)
    assert {found[name] for name in ("permission", "validity", "schedule", "device-permission")} == {"passed"}
    assert len(commands) == 1


@pytest.mark.branch("A2.03")
def test_a_permission_at_hand_needs_no_database() -> None:
    database = Database()
    with House(*ADA, lookups=database) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], database.asked) == ("access_granted", [])


@pytest.mark.branch("A2.04")
def test_requests_that_miss_together_ask_the_database_once() -> None:
    database = Database(permission_of("ada"))
    with House(*ONLY_ADA, lookups=database) as house:
        for _ in range(5):
            house.request(card("ada"))
        decisions = house.decisions()
    assert [decision["type"] for decision in decisions] == ["access_granted"] * 5
    assert [(asked.entity, asked.value) for asked in database.asked] == [("permission", "ada")]


@pytest.mark.branch("A2.05")
def test_a_miss_that_was_served_is_a_hit_the_next_time() -> None:
    database = Database(permission_of("ada"))
    with House(*ONLY_ADA, lookups=database) as house:
        first = house.ask(card("ada"))
        asked = len(database.asked)
        second = house.ask(card("ada"))
    assert (first["type"], second["type"]) == ("access_granted", "access_granted")
    assert (asked, len(database.asked)) == (1, 1)


@pytest.mark.branch("A2.06")
def test_without_any_permission_the_permission_check_is_the_reason() -> None:
    with House(*ONLY_ADA, lookups=Database()) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "no_access_rights")
    assert checks(decision)["permission"] == "failed"


@pytest.mark.branch("A2.06")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "revoked"}, "no_access_rights"),
        ({"valid_until": "2026-03-02T09:00:00+08:00"}, "credential_expired"),
        ({"valid_from": "2026-03-02T09:00:01+08:00"}, "credential_not_yet_active"),
    ],
)
def test_a_permission_that_is_not_valid_is_denied_with_its_reason(change: Json, reason: str) -> None:
    with House(*ADA, permission_of("ada", **change)) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", reason)
    assert checks(decision)["validity"] == "failed"


@pytest.mark.branch("A2.06")
def test_a_permission_revoked_between_two_requests_counts_for_the_first_alone() -> None:
    with House(*ADA) as house:
        first = house.ask(card("ada"))
        house.learn(permission_of("ada", status="revoked"))
        second = house.ask(card("ada"))
    assert (first["type"], second["type"], second["reason"]) == ("access_granted", "access_denied", "no_access_rights")


@pytest.mark.branch("A2.06")
def test_a_single_use_permission_is_used_once() -> None:
    with House(*ADA, permission_of("ada", kind="single_use")) as house:
        first, second = house.ask(card("ada")), house.ask(card("ada"))
    assert (first["type"], second["type"], second["reason"]) == ("access_granted", "access_denied", "max_uses")


@pytest.mark.branch("A2.08")
def test_out_of_the_schedule_is_out_of_time() -> None:
    with House(*ADA, NEVER, permission_of("ada", schedule_id="never")) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "out_of_time_range")


@pytest.mark.branch("A2.10")
def test_a_permission_for_other_doors_does_not_include_this_one() -> None:
    with House(*ADA, permission_of("ada", zone_ids=(), door_ids=("vault",))) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "point_no_access_rights")
    assert checks(decision)["device-permission"] == "failed"


@pytest.mark.branch("A2.11")
@pytest.mark.parametrize(
    "lists",
    [
        {"zone_ids": ("hall",)},
        {"zone_ids": ("hq",)},
        {"zone_ids": (), "door_ids": ("lobby",)},
        {"zone_ids": (), "access_point_ids": ("lobby-in",)},
    ],
    ids=["the zone", "a zone around it", "the door", "the access point"],
)
def test_a_door_is_included_by_its_zone_itself_or_its_side(lists: Json) -> None:
    with House(*ADA, permission_of("ada", **lists)) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], checks(decision)["device-permission"]) == ("access_granted", "passed")


@pytest.mark.branch("A2.10")
@pytest.mark.parametrize("zone", [{"special": True}, {"clearance": 3}])
def test_a_zone_that_asks_for_more_is_not_entered_with_a_plain_permission(zone: Json) -> None:
    with House(*ADA, HALL.model_copy(update=zone)) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "zone_no_access_rights")


@pytest.mark.branch("A2.17")
def test_all_that_fails_is_listed_and_the_first_in_order_is_the_reason() -> None:
    nothing_right = permission_of("ada", status="revoked", schedule_id="never", zone_ids=(), door_ids=("vault",))
    with House(*ADA, NEVER, card_of("ada", status="lost"), nothing_right) as house:
        decision = house.ask(card("ada"))
    expected = ["credential_lost", "no_access_rights", "out_of_time_range", "point_no_access_rights"]
    assert (decision["type"], decision["reason"]) == ("access_denied", "credential_lost")
    assert decision["failed_checks"] == expected
    assert [name for name, outcome in checks(decision).items() if outcome == "failed"] == [
        "credential",
        "validity",
        "schedule",
        "device-permission",
    ]


@pytest.mark.branch("A2.17")
def test_a_permission_that_nobody_can_look_up_is_unknown_and_denied() -> None:
    with House(*ONLY_ADA, lookups=Database(up=False)) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "authentication_unavailable")


@pytest.mark.branch("A2.17")
@pytest.mark.parametrize(
    "change", [POINT.model_copy(update={"enabled": False}), DEVICE.model_copy(update={"status": "inactive"})]
)
def test_what_is_out_of_service_grants_nothing(change: Message) -> None:
    with House(*ADA, change) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "out_of_service")


@pytest.mark.branch("A2.17")
def test_an_access_point_that_is_not_on_file_is_denied() -> None:
    with House(*ADA, *BOB) as house:
        decision = house.ask(card("ada"), point="nowhere")
    assert (decision["type"], decision["reason"]) == ("access_denied", "unknown_access_point")


def test_an_access_point_of_another_controller_is_unknown() -> None:
    other = DEVICE.model_copy(update={"device_id": "c2"})
    with House(*ADA, other, DOOR.model_copy(update={"device_id": "c2"})) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "unknown_access_point")


def test_no_secret_leaves_with_any_output() -> None:
    pin_and_face = (*pin_of("ada", "471188", "990022"), *template_of("ada", FactorKind.FACE, (1.0, 0.0)))
    methods = policy(*(SingleMethod(factor=kind) for kind in FactorKind))
    shown: tuple[Json, ...] = (
        {"kind": "pin", "pin": "471188", "cardholder_id": "ada"},
        {"kind": "pin", "pin": "990022", "cardholder_id": "ada"},
        {"kind": "pin", "pin": "830519", "cardholder_id": "ada"},
        {"kind": "face", "template": [0.123456789, 0.9], "model": "m1"},
    )
    with House(*ADA, *pin_and_face, methods) as house:
        told = [house.ask(factor)["type"] for factor in shown]
        house.harness.publish("access.requests", "hq", b'{"type": "access_requested", "factors": [{"pin": "830519"}]}')
        house.harness.run_until_idle()
        names = [name for name in registry() if not name.startswith("reference.")]
        sent = [record for name in names for record in house.harness.outputs(name, marked=False)]
        sent = [record for record in sent if record.topic != "access.requests"]
    assert told == ["access_granted", "access_granted", "access_denied", "access_denied"]
    topics = {record.topic for record in sent}
    assert topics >= {"access.decisions", "duress.events", "access.requests.dead", "doorstream.site.journal"}
    for record in sent:
        text = (record.value or b"") + repr(record.headers).encode()
        for secret in (b"471188", b"990022", b"830519", b"0.123456789", b"argon2"):
            assert secret not in text, record.topic
