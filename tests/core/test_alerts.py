"""What somebody should know of (M3): raised once per window, and duress never grouped nor told to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.alerting import AlertRules
from schemas.keys import DEVICE, derive_key
from schemas.registry import decode
from schemas.vocabulary import FactorKind
from streams.core.alerts import AlertsProcessor
from streams.engine.harness import Harness
from tests.core.world import World, card, event, pin, request

WINDOW_S = AlertRules().kind("authentication_failed").window_s


class Watch:
    """The alerts processor behind a site, which is told of everything but threats (`test_threat_alerts`)."""

    def __init__(self, world: World, harness: Harness) -> None:
        self.world = world
        self.harness = harness
        self._read = 0

    def under_duress(self) -> None:
        """A card and a PIN are needed, and Ann has a duress PIN."""
        self.world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "pin"]}])
        self.world.enrol("ann", FactorKind.PIN, pin="4711", duress_pin="9021")

    def alerts(self, type_: str = "alert_raised", topic: str = "alerts") -> list[Any]:
        """The alerts of a type so far."""
        for output in self.world.sent[self._read :]:
            if output.topic in AlertsProcessor.inputs and output.topic != "threats":
                self.harness.publish(output.topic, output.key, output.value, output.headers)
        self._read = len(self.world.sent)
        self.harness.run_until_idle()
        records = self.harness.outputs(topic)
        found = [decode(topic, record.value) for record in records]
        # Alerts are made without being checked; checked, they are the same.
        assert [alert.to_json() for alert in found] == [record.value for record in records]
        return [alert for alert in found if alert.type == type_]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Harness(AlertsProcessor()) as harness:
        yield Watch(World(), harness)


@pytest.mark.branch("A3.13")
def test_failed_authentication_is_a_low_alert_raised_once_while_its_window_lasts(watch: Watch) -> None:
    for _ in range(3):
        watch.world.ask(card("999"))
    (raised,) = watch.alerts()
    assert (raised.kind, raised.severity, raised.access_point_id) == ("authentication_failed", "low", "front-in")
    (closed,) = watch.alerts("alert_closed")
    assert (closed.alert_id, closed.count, closed.state) == (raised.alert_id, 1, "closed")
    watch.harness.advance(WINDOW_S + 1, step_s=60)
    (counted,) = watch.alerts("alert_seen_again")
    assert (counted.alert_id, counted.count, counted.state) == (raised.alert_id, 3, "closed")
    watch.world.ask(card("999"))
    assert len(watch.alerts()) == 2


@pytest.mark.branch("A3.13")
@pytest.mark.parametrize("status", ["lost", "stolen", "disabled"])
def test_a_card_that_was_reported_raises_one_too(watch: Watch, status: str) -> None:
    watch.world.change("credential", "card-100", status=status)
    watch.world.ask()
    assert [alert.kind for alert in watch.alerts()] == ["authentication_failed"]


@pytest.mark.parametrize("changes", [{"status": "revoked"}, {"zone_ids": ["lab"]}])
def test_a_denial_for_what_somebody_may_do_raises_none(watch: Watch, changes: dict[str, Any]) -> None:
    watch.world.change("permission", "of-ann", **changes)
    watch.world.ask()
    assert watch.alerts() == []


def test_a_usual_grant_and_its_passage_raise_none(watch: Watch) -> None:
    watch.world.ask()
    watch.world.send(event("door_opened"))
    assert watch.alerts() == []


@pytest.mark.branch("A2.13")
def test_a_soft_breach_raises_one(watch: Watch) -> None:
    watch.world.change("zone", "hall", occupancy={"enforcement": "soft", "limit": 0})
    watch.world.ask()
    assert [alert.summary for alert in watch.alerts()] == ["Passed front-in although: occupancy_limit"]


def test_a_forged_message_raises_one_for_each_device(watch: Watch) -> None:
    for _ in range(2):
        watch.world.send(request(), key=b"x" * 32)
        watch.world.send(event("door_opened"), key=derive_key(b"y" * 32, DEVICE, "c1"))
    assert [(alert.kind, alert.device_id) for alert in watch.alerts()] == [("invalid_signature", "c1")]


def test_every_duress_is_a_critical_alert_of_its_own(watch: Watch) -> None:
    watch.under_duress()
    for _ in range(3):
        watch.world.ask(card(), pin("9021"))
    found = watch.alerts(topic="duress.alerts")
    assert [(alert.kind, alert.severity, alert.count) for alert in found] == [("duress", "critical", 1)] * 3


def test_nobody_but_monitoring_learns_of_duress(watch: Watch) -> None:
    watch.under_duress()
    watch.world.ask(card(), pin("9021"))
    (raised,) = watch.alerts(topic="duress.alerts")
    assert (raised.access_point_id, raised.door_id, raised.cardholder_id) == ("front-in", "front", "ann")
    watch.harness.advance(WINDOW_S + 1, step_s=60)
    assert watch.harness.outputs("alerts") == []


def test_a_calm_pin_raises_none(watch: Watch) -> None:
    watch.under_duress()
    watch.world.ask(card(), pin("4711"))
    assert watch.alerts() == []


def test_two_troubles_with_long_names_stay_two(watch: Watch) -> None:
    for end in ("a", "b"):
        point = watch.world.references.get("access-point", "front-in")
        assert point is not None
        watch.world.references.put(point.model_copy(update={"access_point_id": "x" * 127 + end}))
        watch.world.ask(card("999"), at="x" * 127 + end)
    assert len(watch.alerts()) == 2
