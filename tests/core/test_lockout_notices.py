"""A lockout is an alert, of which the administrator and the cardholder are told (A4)."""

from __future__ import annotations

import pytest

from tests.core.desk import Desk
from tests.core.guessing import guarded, guess
from tests.core.telling import Tellings

PEOPLE = (
    {"recipient_id": "room", "email": "room@example.org", "groups": ["control-room"]},
    {"recipient_id": "ann", "email": "ann@example.org"},
    {"recipient_id": "bob", "email": "bob@example.org"},
)


@pytest.mark.branch("A4.04")
def test_a_lockout_raises_an_alert_and_the_cardholder_and_the_administrator_are_told() -> None:
    world = guarded(credential={"failures": 10})
    for _ in range(3):
        guess(world)
    with Desk() as desk, Tellings(PEOPLE) as tellings:
        for output in world.sent:
            if output.topic == "lockouts":
                desk.harness.publish(output.topic, output.key, output.value, output.headers)
        desk.harness.run_until_idle()
        (raised,) = desk.messages()
        assert (raised.kind, raised.cardholder_id, raised.severity) == ("cardholder_lockout", "ann", "medium")
        assert "3 failed attempts" in raised.summary
        for record in desk.harness.outputs("alerts"):
            tellings.harness.publish(record.topic, record.key, record.value, record.headers)
        tellings.settle()
        assert sorted(tellings.told()) == [("sent", "ann", "email"), ("sent", "room", "email")]


def test_of_other_alerts_the_cardholder_is_not_told() -> None:
    with Tellings(PEOPLE) as tellings:
        tellings.alert("a1", "room", channels=("email",), kind="passback_violation", cardholder_id="ann")
        tellings.alert("a2", "room", channels=("email",), kind="cardholder_lockout", cardholder_id="nobody on file")
        assert sorted(tellings.told()) == [("sent", "room", "email")] * 2
