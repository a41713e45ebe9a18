"""May this person pass here, now (A2)? Driven by messages on the machine in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, Device, Door, Occupancy, Passback, Site, Zone
from schemas.rules import Holiday, HolidayCalendar, HolidayWindow, OperatorRights, Policy, Schedule, Window
from schemas.vocabulary import Direction, Enforcement
from streams.core.alerts import AlertsProcessor
from streams.core.entities import Risk, risk_key
from streams.engine.harness import Harness
from tests.core.gate import CARD, CARD_AND_PIN, SINGLES, Gate, Rows, card, checks, face, pin

MakeGate = Callable[..., Gate]
BERLIN = ZoneInfo("Europe/Berlin")
PERMISSION = Permission(
    permission_id="ann-perm", site_id="hq", cardholder_id="ann", zone_ids=("in",), schedule_id="always"
)
OPERATED = Policy(
    policy_id="p",
    methods=SINGLES,
    operators=(OperatorRights(operator_id="op-7", rights=("forgive_passback",)),),
)
INSIDE = Zone(zone_id="in", site_id="hq", parent_id="hq", kind="building", name="in")


@pytest.fixture
def make() -> Iterator[MakeGate]:
    gates: list[Gate] = []

    def build(*changes: Any, **options: Any) -> Gate:
        gates.append(Gate(*changes, **options))
        return gates[-1]

    yield build
    for gate in gates:
        gate.close()


@pytest.mark.branch("A2.02", "A2.03", "A2.07", "A2.09", "A2.11", "A2.13", "A2.16")
def test_who_passes_every_check_is_granted_from_what_is_at_hand(make: MakeGate) -> None:
    rows = Rows({})
    decision = make(lookups=rows).ask(card("ann"))
    assert (decision["type"], decision["cardholder_id"], decision["permission_id"]) == (
        "access_granted",
        "ann",
        "ann-perm",
    )
    passed = {name for name, outcome in checks(decision).items() if outcome == "passed"}
    assert {"in-service", "credential", "permission", "validity", "schedule", "device-permission"} <= passed
    assert decision["failed_checks"] == []
    assert rows.asked == []


@pytest.mark.branch("A2.01")
def test_an_identity_that_can_not_be_verified_is_recorded_and_denied(make: MakeGate) -> None:
    decision = make(lookups=Rows({})).ask(card("nobody"))
    assert (decision["type"], decision["reason"], decision["cardholder_id"]) == (
        "access_denied",
        "unknown_credential",
        None,
    )


@pytest.mark.branch("A2.04", "A2.05")
def test_a_permission_that_is_not_at_hand_is_asked_for_once_and_serves_whoever_comes(make: MakeGate) -> None:
    rows = Rows({("permission", "cid"): [PERMISSION.model_copy(update={"permission_id": "x", "cardholder_id": "cid"})]})
    gate = make(lookups=rows)
    gate.harness.publish("access.requests", "hq", request(901))
    gate.harness.publish("access.requests", "hq", request(902))
    gate.harness.run_until_idle()
    assert [one["type"] for one in gate.decisions()] == ["access_granted", "access_granted"]
    assert [(one.entity, one.value) for one in rows.asked] == [("permission", "cid")]
    gate.publish(PERMISSION.model_copy(update={"permission_id": "x", "cardholder_id": "cid"}))
    gate.sequence = 902
    assert gate.ask(card("cid"))["type"] == "access_granted"
    assert len(rows.asked) == 1


def request(sequence: int) -> bytes:
    return json.dumps(
        {
            "type": "access_requested",
            "site_id": "hq",
            "device_id": "c",
            "boot": 1,
            "sequence": sequence,
            "access_point_id": "d-in",
            "occurred_at": "2026-03-02T08:00:00Z",
            "factors": [card("cid")],
        }
    ).encode()


@pytest.mark.branch("A2.06")
def test_without_a_permission_the_check_of_it_is_the_reason(make: MakeGate) -> None:
    decision = make(lookups=Rows({})).ask(card("cid"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "no_access_rights")
    assert checks(decision)["permission"] == "failed"


@pytest.mark.branch("A2.06")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "revoked"}, "no_access_rights"),
        ({"valid_until": datetime(2001, 1, 1, tzinfo=UTC)}, "credential_expired"),
        ({"valid_from": datetime(2099, 1, 1, tzinfo=UTC)}, "credential_not_yet_active"),
    ],
)
def test_a_permission_that_does_not_hold_now_is_denied(make: MakeGate, changes: Any, reason: str) -> None:
    decision = make(PERMISSION.model_copy(update=changes)).ask(card("ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", reason)


NIGHT = Schedule(
    schedule_id="always",
    name="Night",
    windows=(Window(days=("fri",), start="22:00", end="06:00"),),
    holidays=(HolidayWindow(kind="holiday", start="10:00", end="12:00"),),
)
DAY_OFF = HolidayCalendar(
    holiday_calendar_id="de", name="Germany", days=(Holiday(date=date(2026, 3, 6), name="A Friday off"),)
)


@pytest.mark.branch("A2.08", "A2.09")
@pytest.mark.parametrize(
    ("local", "allowed"),
    [
        (datetime(2026, 3, 13, 21, 59, tzinfo=BERLIN), False),
        (datetime(2026, 3, 13, 22, 0, tzinfo=BERLIN), True),
        (datetime(2026, 3, 14, 5, 59, tzinfo=BERLIN), True),
        (datetime(2026, 3, 14, 6, 0, tzinfo=BERLIN), False),
        (datetime(2026, 3, 14, 22, 30, tzinfo=BERLIN), False),
        (datetime(2026, 3, 6, 22, 30, tzinfo=BERLIN), False),
        (datetime(2026, 3, 6, 10, 30, tzinfo=BERLIN), True),
        (datetime(2026, 3, 7, 3, 0, tzinfo=BERLIN), False),
        # The night when the clocks go forward: 03:30 is a Saturday's, not a Friday's.
        (datetime(2026, 3, 28, 3, 30, tzinfo=BERLIN), True),
        (datetime(2026, 3, 29, 3, 30, tzinfo=BERLIN), False),
    ],
)
def test_schedules_go_by_the_sites_own_clock_over_midnight_and_on_holidays(
    make: MakeGate, local: datetime, allowed: bool
) -> None:
    site = Site(
        site_id="hq", name="hq", time_zone="Europe/Berlin", policy_id="p", message_authentication="off",
        plain_secrets=True, holiday_calendar_ids=("de",),
    )  # fmt: skip
    decision = make(NIGHT, DAY_OFF, site, now=local).ask(card("ann"))
    if allowed:
        assert (decision["type"], checks(decision)["schedule"]) == ("access_granted", "passed")
    else:
        assert (decision["type"], decision["reason"]) == ("access_denied", "out_of_time_range")


@pytest.mark.branch("A2.10")
def test_a_permission_for_elsewhere_does_not_open_this_door(make: MakeGate) -> None:
    decision = make(PERMISSION.model_copy(update={"zone_ids": (), "door_ids": ("other",)})).ask(card("ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "point_no_access_rights")


@pytest.mark.branch("A2.11")
@pytest.mark.parametrize("target", [{"door_ids": ("d",)}, {"access_point_ids": ("d-in",)}, {"zone_ids": ("hq",)}])
def test_a_permission_may_name_the_door_the_reader_or_a_zone_around_it(make: MakeGate, target: Any) -> None:
    decision = make(PERMISSION.model_copy(update={"zone_ids": (), **target})).ask(card("ann"))
    assert (decision["type"], checks(decision)["device-permission"]) == ("access_granted", "passed")


@pytest.mark.branch("A2.12")
def test_a_hard_rule_that_is_broken_denies_and_is_named(make: MakeGate) -> None:
    gate = make(INSIDE.model_copy(update={"passback": Passback(enforcement=Enforcement.HARD)}))
    assert gate.ask(card("ann"))["type"] == "access_granted"
    again = gate.ask(card("ann"))
    assert (again["type"], again["reason"]) == ("access_denied", "passback")
    assert gate.ask(card("ann"), at="d-out")["type"] == "access_granted"
    assert gate.ask(card("ann"))["type"] == "access_granted", "who left may come back"


@pytest.mark.parametrize("forgiven", ["ann", None])
def test_forgiving_one_or_everybody_lets_them_in_again(make: MakeGate, forgiven: str | None) -> None:
    gate = make(INSIDE.model_copy(update={"passback": Passback(enforcement=Enforcement.HARD)}), OPERATED)
    gate.ask(card("ann"))
    assert gate.ask(card("ann"))["reason"] == "passback"
    fields = {
        "type": "passback_forgiven", "request_id": "r1", "site_id": "hq", "operator_id": "op-7",
        "occurred_at": "2026-03-02T08:00:00Z", "cardholder_id": forgiven,
    }  # fmt: skip
    gate.harness.publish("operator.requests", "hq", json.dumps(fields).encode())
    gate.harness.run_until_idle()
    gate.harness.advance(1)
    assert gate.ask(card("ann"))["type"] == "access_granted"
    assert gate.ask(card("ann"))["reason"] == "passback", "from then on it counts again"


@pytest.mark.branch("A2.12")
def test_a_full_zone_takes_nobody_more(make: MakeGate) -> None:
    gate = make(INSIDE.model_copy(update={"occupancy": Occupancy(enforcement=Enforcement.HARD, limit=1)}))
    assert gate.ask(card("ann"))["type"] == "access_granted"
    full = gate.ask(card("bob"))
    assert (full["type"], full["reason"]) == ("access_denied", "occupancy_limit")
    gate.ask(card("ann"), at="d-out")
    assert gate.ask(card("bob"))["type"] == "access_granted"


@pytest.mark.branch("A2.13")
def test_a_soft_rule_that_is_broken_grants_and_raises_an_alert(make: MakeGate) -> None:
    gate = make(INSIDE.model_copy(update={"passback": Passback(enforcement=Enforcement.SOFT)}))
    gate.ask(card("ann"))
    again = gate.ask(card("ann"))
    assert (again["type"], again["soft_breaches"]) == ("access_granted", ["passback"])
    with Harness(AlertsProcessor()) as monitoring:
        for record in gate.harness.outputs("access.decisions"):
            monitoring.publish(record.topic, record.key, record.value, record.headers)
        monitoring.run_until_idle()
        assert any(b'"soft_breach"' in (value or b"") for value in monitoring.values("alerts"))


@pytest.mark.branch("A2.17")
def test_every_failed_check_is_listed_and_the_first_in_order_is_the_reason(make: MakeGate) -> None:
    decision = make(
        Device(device_id="c", site_id="hq", status="inactive"),
        Credential(credential_id="ann-card", kind=CARD, cardholder_id="ann", card_number="ann", status="lost"),
        Schedule(schedule_id="always", name="Never", windows=(Window(days=("mon",), start="03:00", end="03:01"),)),
        PERMISSION.model_copy(update={"zone_ids": (), "door_ids": ("other",)}),
    ).ask(card("ann"))
    assert decision["type"] == "access_denied"
    listed = ["out_of_service", "credential_lost", "out_of_time_range", "point_no_access_rights"]
    assert [reason for reason in decision["failed_checks"] if reason in listed] == listed
    assert decision["reason"] == "out_of_service"


@pytest.mark.branch("A2.17")
@pytest.mark.parametrize("lost", ["hq", "p", "in", "always", "d", "ann", "ann-perm", "ann-card"])
def test_whatever_is_not_on_file_unknown_means_denied(make: MakeGate, lost: str) -> None:
    assert make(without=[lost]).ask(card("ann"))["type"] == "access_denied"


@pytest.mark.parametrize("lost", ["ann", "ann-perm", "ann-card", "always", "in"])
def test_the_way_out_is_free_whatever_the_checks_say(make: MakeGate, lost: str) -> None:
    gate = make(without=[lost])
    decision = gate.ask(card("ann"), at="d-out")
    assert decision["type"] == "access_granted"
    assert gate.ask(card("a stranger's"), at="d-out")["type"] == "access_granted"


def test_a_door_with_controlled_egress_asks_on_the_way_out_too(make: MakeGate) -> None:
    door = Door(
        door_id="d", site_id="hq", device_id="c", name="d", has_dps=False, egress="controlled",
        delayed_egress={"delay_s": 15},
    )  # fmt: skip
    assert make(door).ask(card("a stranger's"), at="d-out")["type"] == "access_denied"


@pytest.mark.branch("A2.18")
def test_a_risk_over_its_limit_denies(make: MakeGate) -> None:
    gate = make(Cardholder(cardholder_id="ann", name="Ann"))
    gate.harness.run_until_idle()
    store = gate.harness.worker.machine._slots[0].partition
    assert store is not None
    store.store.put(risk_key("hq", "ann"), Risk(score=0.9, limit=0.8))
    store.store.commit()
    decision = gate.ask(card("ann"))
    assert (decision["type"], decision["reason"]) == ("access_denied", "risk")
    store.store.put(risk_key("hq", "ann"), Risk(score=0.7, limit=0.8))
    store.store.commit()
    assert gate.ask(card("ann"))["type"] == "access_granted"


def test_an_access_point_of_another_device_is_unknown(make: MakeGate) -> None:
    elsewhere = AccessPoint(
        access_point_id="e-in", site_id="hq", door_id="e", zone_from="out", zone_to="in", direction=Direction.ENTRY
    )
    other = Door(door_id="e", site_id="hq", device_id="c2", name="e")
    decision = make(elsewhere, other, Device(device_id="c2", site_id="hq")).ask(card("ann"), at="e-in")
    assert (decision["type"], decision["reason"]) == ("access_denied", "unknown_access_point")


def test_no_secret_leaves_with_any_output(make: MakeGate) -> None:
    gate = make(methods=(*SINGLES, CARD_AND_PIN))
    gate.ask(card("ann"), pin("4711", of=None))
    gate.ask(pin("8305"))
    gate.ask(face((0.123456789, 0.9, 0.1, 0.1)))
    for topic in (
        "access.decisions",
        "device.commands",
        "duress.events",
        "access.requests.dead",
        "doorstream.site.journal",
    ):
        for record in gate.harness.outputs(topic, marked=False):
            text = (record.value or b"") + repr(record.headers).encode()
            assert not any(secret in text for secret in (b'"4711"', b"8305", b"0.123456789", b"argon2"))
