"""From a request to an open door or a shut one (A3): driven by messages alone, on the machine in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bench.world import MASTER, Shape, references
from schemas.keys import DEVICE, derive_key
from schemas.people import Permission
from schemas.places import Door
from schemas.rules import Policy
from schemas.signing import MAC_HEADER, sign, verify
from streams.core.alerts import AlertsProcessor
from streams.core.site import SiteProcessor
from streams.engine.harness import Harness

SHAPE = Shape(sites=1, devices=1, doors=2, people=3)
DOOR, READER, DEVICE_ID = "s0-c0-d0", "s0-c0-d0-in", "s0-c0"
BURST = 50


class Site:
    """One site with two doors; p0 and p1 may pass, p2 has no permission. Doors have a position switch."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.sequence = 0
        for topic, key, message in references(SHAPE):
            if isinstance(message, Door):
                message = message.model_copy(update={"has_dps": True})  # noqa: PLW2901
            if isinstance(message, Policy):
                changed = {"device_burst": BURST, "device_rate_per_s": 1, "online_s": 5, "grace_s": 30}
                message = message.model_copy(update=changed)  # noqa: PLW2901
            if isinstance(message, Permission) and message.cardholder_id == "s0-p2":
                continue
            harness.publish(topic, key, message.to_json())
        harness.start()

    def send(self, topic: str, *, key: bytes | None = None, **fields: Any) -> None:
        """A message of the controller, under its own key or another one."""
        self.sequence += 1
        given = {"site_id": "s0", "device_id": DEVICE_ID, "boot": 1, "sequence": self.sequence}
        when = {"occurred_at": "2026-03-02T08:59:58.120+08:00"}
        value = json.dumps({**given, **when, **fields}).encode()
        mac = sign(key or derive_key(MASTER, DEVICE, DEVICE_ID), 1, topic, b"s0", value)
        self.harness.publish(topic, "s0", value, (mac,))

    def ask(self, card: str, *, key: bytes | None = None) -> None:
        """Somebody presents a card at the reader."""
        factors = [{"kind": "card", "card_number": card}]
        self.send("access.requests", key=key, type="access_requested", access_point_id=READER, factors=factors)

    def decide(self) -> None:
        """Let everything be decided."""
        self.harness.run_until_idle()

    def seen(self, topic: str, type_: str) -> list[dict[str, Any]]:
        """The messages of a type that a topic has."""
        found = [json.loads(value or b"null") for value in self.harness.values(topic)]
        return [message for message in found if message["type"] == type_]


@pytest.fixture
def site() -> Iterator[Site]:
    with Harness(SiteProcessor(MASTER), start=False) as harness:
        yield Site(harness)


@pytest.mark.branch("A3.01", "A3.02", "A3.03")
def test_a_permitted_card_gets_one_decision_and_one_signed_command_for_its_pending_request(site: Site) -> None:
    site.ask("s0-p0-n")
    site.decide()
    (granted,) = site.seen("access.decisions", "access_granted")
    assert (granted["device_id"], granted["boot"], granted["sequence"]) == (DEVICE_ID, 1, 1)
    checks = {name: outcome for name, outcome, _inputs in granted["checks"]}
    assert (checks["credential"], checks["permission"], checks["device-permission"]) == ("passed", "passed", "passed")
    (command,) = site.seen("device.commands", "access_door")
    assert command["decision_id"] == granted["decision_id"]
    assert command["request"] == {"boot": 1, "sequence": 1}
    (record,) = site.harness.outputs("device.commands")
    mac = record.header(MAC_HEADER) or b""
    assert verify(derive_key(MASTER, DEVICE, DEVICE_ID), mac, record.topic, record.key, record.value, record.headers)


def test_commands_to_a_door_are_numbered_upwards(site: Site) -> None:
    for person in (0, 1, 0, 1):
        site.ask(f"s0-p{person}-n")
    site.decide()
    numbers = [command["sequence"] for command in site.seen("device.commands", "access_door")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4


@pytest.mark.branch("A3.04", "A3.06")
def test_a_door_that_opens_for_the_command_means_that_somebody_passed(site: Site) -> None:
    site.ask("s0-p0-n")
    site.decide()
    (command,) = site.seen("device.commands", "access_door")
    site.send("command.results", type="command_confirmed", command_id=command["command_id"])
    site.send("door.events", type="door_opened", door_id=DOOR, command_id=command["command_id"])
    site.decide()
    (taken,) = site.seen("access.decisions", "access_taken")
    assert (taken["decision_id"], taken["evidence"]) == (command["decision_id"], "door_opened")
    assert taken["cardholder_id"] == "s0-p0"
    site.harness.advance(30)
    assert site.seen("access.decisions", "access_not_taken") == []


def test_a_door_that_stays_shut_means_that_nobody_passed(site: Site) -> None:
    site.ask("s0-p0-n")
    site.decide()
    site.harness.advance(9)
    assert site.seen("access.decisions", "access_not_taken") == []
    site.harness.advance(2)
    (not_taken,) = site.seen("access.decisions", "access_not_taken")
    assert not_taken["cardholder_id"] == "s0-p0"


@pytest.mark.branch("A3.02", "A3.07", "A3.08", "A3.09")
def test_without_a_permission_the_door_stays_shut_and_the_reader_says_so(site: Site) -> None:
    site.ask("s0-p2-n")
    site.decide()
    (denied,) = site.seen("access.decisions", "access_denied")
    assert denied["reason"] in {"no_access_rights", "authentication_unavailable"}
    assert denied["cardholder_id"] == "s0-p2"
    assert site.seen("device.commands", "access_door") == []
    (shown,) = site.seen("device.commands", "display")
    assert (shown["access_point_id"], shown["request"]) == (READER, {"boot": 1, "sequence": 1})
    assert shown["code"] == denied["display"]


@pytest.mark.branch("A3.10", "A3.11", "A3.12", "A3.13")
def test_an_unknown_card_is_denied_shown_and_told_to_monitoring(site: Site) -> None:
    site.ask("nobody's")
    site.decide()
    (denied,) = site.seen("access.decisions", "access_denied")
    assert denied["classification"] == "abnormal"
    assert site.seen("device.commands", "access_door") == []
    (shown,) = site.seen("device.commands", "display")
    assert shown["code"] == denied["display"] in {"not_recognised", "try_again"}
    with Harness(AlertsProcessor()) as monitoring:
        for record in site.harness.outputs("access.decisions"):
            monitoring.publish(record.topic, record.key, record.value, record.headers)
        monitoring.run_until_idle()
        alert, closed = (json.loads(value or b"null") for value in monitoring.values("alerts"))
        assert closed["type"] == "alert_closed"
        assert (alert["type"], alert["kind"], alert["severity"]) == ("alert_raised", "authentication_failed", "low")
        assert alert["cause_id"] == denied["decision_id"]


@pytest.mark.parametrize(
    ("late_s", "timeliness", "commands"),
    [(0, "online", 1), (4.9, "online", 1), (6, "grace", 1), (29, "grace", 1), (31, "late", 0), (3600, "late", 0)],
)
def test_a_request_that_waited_too_long_is_decided_and_opens_nothing(
    late_s: float, timeliness: str, commands: int
) -> None:
    with Harness(SiteProcessor(MASTER), start=False) as harness:
        site = Site(harness)
        site.decide()
        harness.crash()
        site.ask("s0-p0-n")
        harness.clock.move(late_s)
        harness.start()
        site.decide()
        (granted,) = site.seen("access.decisions", "access_granted")
        assert (granted["timeliness"], granted["actuated"]) == (timeliness, bool(commands))
        assert len(site.seen("device.commands", "access_door")) == commands


def test_what_a_controller_decided_alone_is_judged_and_opens_nothing(site: Site) -> None:
    factors = [{"kind": "card", "card_number": "s0-p2-n"}]
    alone: dict[str, Any] = {
        "outcome": "granted",
        "mode": "facility_code",
        "access_point_id": READER,
        "factors": factors,
    }
    site.send("access.backlog", type="access_recorded", **alone)
    site.decide()
    (denied,) = site.seen("access.decisions", "access_denied")
    assert (denied["timeliness"], denied["recorded_outcome"], denied["difference"]) == ("offline", "granted", True)
    assert site.harness.outputs("device.commands") == []


def test_who_has_no_key_can_not_use_up_what_the_controller_may_send(site: Site) -> None:
    for _ in range(BURST * 3):
        site.ask("s0-p0-n", key=bytes(32))
    site.ask("s0-p0-n")
    site.decide()
    (granted,) = site.seen("access.decisions", "access_granted")
    assert granted["sequence"] == BURST * 3 + 1
    refused = site.seen("access.decisions", "access_denied")
    assert {each["reason"] for each in refused} <= {"invalid_signature", "out_of_service"}
    assert len(refused) <= BURST + 1, "what is recorded of a stranger's flood is bounded"


def test_a_controller_that_floods_is_refused_and_told_of_once(site: Site) -> None:
    for _ in range(BURST * 2):
        site.ask("s0-p0-n")
    site.decide()
    assert len(site.seen("access.decisions", "access_granted")) == BURST
    assert [each["reason"] for each in site.seen("access.decisions", "access_denied")] == ["out_of_service"]


def test_a_days_backlog_passes_at_once(site: Site) -> None:
    factors = [{"kind": "card", "card_number": "s0-p0-n"}]
    alone: dict[str, Any] = {"outcome": "granted", "mode": "snapshot", "access_point_id": READER, "factors": factors}
    for _ in range(BURST * 4):
        site.send("access.backlog", type="access_recorded", **alone)
    site.decide()
    assert len(site.seen("access.decisions", "access_granted")) == BURST * 4
