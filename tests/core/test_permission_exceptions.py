"""Denials as exceptions (A5): their kind, the state of the permission, one retry, and the update of what has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from streams.core.processor import Found, Lookup
from tests.core.desk import Desk
from tests.core.given import ADA, BOB, DEVICE, Database, House, Json, card, card_of, permission_of
from tests.core.telling import Tellings

ENDED = "2026-03-02T08:00:00+08:00"
NEWER = 1_000
"""A position that the house's view has not reached."""


class Ahead(Database):
    """A database that has read further than the view."""

    async def fetch(self, lookups: Sequence[Lookup]) -> Mapping[Lookup, Sequence[Found]]:
        """Rows that the view has not seen."""
        found = await super().fetch(lookups)
        return {lookup: [Found(row.id, NEWER, row.value) for row in rows] for lookup, rows in found.items()}


def updates(house: House) -> list[Json]:
    """What was told of permissions."""
    return [json.loads(one.value or b"") for one in house.harness.outputs("exceptions")]


@pytest.mark.branch("A5.01")
def test_a_denial_for_who_somebody_is_is_an_authentication_exception_and_is_counted() -> None:
    with House(*ADA, card_of("bob", cardholder_id=None), lookups=Database()) as house:
        unknown, unassigned = house.ask(card("stranger")), house.ask(card("bob"))
        counted = [house.ask(card("stranger")) for _ in range(3)]
    kinds = [one["exception"] for one in (unknown, unassigned, counted[-1])]
    assert kinds == [{"kind": "authentication", "permission_state": None, "retried": False}] * 3


@pytest.mark.branch("A5.01")
def test_other_denials_are_exceptions_of_the_device_or_the_network_and_a_grant_is_none() -> None:
    with House(*ADA, DEVICE.model_copy(update={"status": "inactive"})) as house:
        assert house.ask(card("ada"))["exception"]["kind"] == "device"
    with House(*ADA[:2], lookups=Database(up=False)) as house:
        assert house.ask(card("ada"))["exception"]["kind"] == "network"
    with House(*ADA) as house:
        assert house.ask(card("ada"))["exception"] is None


@pytest.mark.branch("A5.02")
@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"status": "revoked"}, "revoked"),
        ({"valid_from": "2026-03-02T09:00:01+08:00"}, "not_yet_valid"),
        ({"valid_until": ENDED}, "expired"),
        ({"zone_ids": ("street",)}, "normal"),
    ],
)
def test_a_denial_for_lack_of_permission_has_the_state_that_the_permission_was_found_in(
    change: Json, state: str
) -> None:
    with House(*ADA, permission_of("ada", **change), lookups=Database()) as house:
        decision = house.ask(card("ada"))
    assert decision["type"] == "access_denied"
    assert decision["exception"] == {"kind": "permission", "permission_state": state, "retried": True}


@pytest.mark.branch("A5.03")
@pytest.mark.parametrize("stale", [{"valid_until": ENDED}, {"zone_ids": ("street",)}, {"status": "revoked"}])
def test_a_permission_that_the_database_has_in_order_is_verified_again_once_and_lets_in(stale: Json) -> None:
    database = Ahead(permission_of("ada"))
    with House(*ADA, permission_of("ada", **stale), lookups=database) as house:
        decision = house.ask(card("ada"))
        commands = house.harness.outputs("device.commands")
        assert updates(house) == []
    assert decision["type"] == "access_granted"
    assert decision["exception"] == {"kind": "permission", "permission_state": "normal", "retried": True}
    assert [(one.entity, one.value) for one in database.asked] == [("permission", "ada")]
    assert len(commands) == 1


@pytest.mark.branch("A5.03")
def test_a_retry_that_fails_leaves_the_denial_and_a_database_that_is_down_delays_nobody_further() -> None:
    with House(*ADA, permission_of("ada", zone_ids=("street",)), lookups=Ahead(permission_of("bob"))) as house:
        decision = house.ask(card("ada"))
    assert (decision["reason"], decision["exception"]["retried"]) == ("point_no_access_rights", True)
    with House(*ADA, permission_of("ada", zone_ids=("street",)), lookups=Database(up=False)) as house:
        decision = house.ask(card("ada"))
    assert (decision["reason"], decision["exception"]["retried"]) == ("point_no_access_rights", False)


def test_what_the_view_has_overtaken_lets_nobody_in() -> None:
    with House(*ADA, *BOB, permission_of("ada", status="revoked"), lookups=Database(permission_of("ada"))) as house:
        decision = house.ask(card("ada"))
    assert (decision["type"], decision["exception"]["permission_state"]) == ("access_denied", "revoked")


@pytest.mark.branch("A5.04", "A5.06")
def test_a_permission_that_has_ended_is_updated_once_for_each_version_and_verified_again() -> None:
    with House(*ADA, permission_of("ada", valid_until=ENDED), lookups=Database()) as house:
        first = house.ask(card("ada"))
        house.harness.restart()
        second = house.ask(card("ada"))
        (told,) = updates(house)
    assert (told["permission_id"], told["state"], told["cardholder_id"]) == ("ada-may", "expired", "ada")
    assert (told["decision_id"], told["result"], told["reason"]) == (
        first["decision_id"], "denied", "credential_expired",
    )  # fmt: skip
    assert second["exception"]["permission_state"] == "expired"


@pytest.mark.branch("A5.04", "A5.06")
def test_a_permission_that_was_used_up_is_updated_as_exhausted() -> None:
    once = permission_of("ada", kind="single_use")
    with House(*ADA, once, lookups=Database()) as house:
        assert house.ask(card("ada"))["type"] == "access_granted"
        decision = house.ask(card("ada"))
        (told,) = updates(house)
    assert (decision["reason"], told["state"]) == ("max_uses", "exhausted")


def test_a_schedule_that_says_no_is_no_exception_and_asks_nobody() -> None:
    database = Database()
    never = {"schedule_id": "never"}
    with House(*ADA, permission_of("ada", **never), lookups=database) as house:
        decision = house.ask(card("ada"))
    assert (decision["reason"], decision["exception"], database.asked) == ("out_of_time_range", None, [])


@pytest.mark.branch("A5.05")
def test_of_an_updated_permission_somebody_is_told_once_and_nobody_is_called_up() -> None:
    with House(*ADA, permission_of("ada", valid_until=ENDED), lookups=Database()) as house:
        house.ask(card("ada"))
        told = house.harness.outputs("exceptions")
    people: tuple[dict[str, Any], ...] = (
        {"recipient_id": "room", "email": "room@example.org", "groups": ["control-room"]},
    )
    with Desk() as desk, Tellings(people) as tellings:
        for one in told:
            desk.harness.publish(one.topic, one.key, one.value, one.headers)
        desk.harness.run_until_idle()
        desk.wait(3600)
        raised, *later = desk.messages()
        assert (raised.kind, raised.severity.value, raised.cardholder_id) == ("permission_updated", "medium", "ada")
        assert [one.type for one in later] == ["alert_resolved", "alert_closed"]
        for record in desk.harness.outputs("alerts"):
            tellings.harness.publish(record.topic, record.key, record.value, record.headers)
        tellings.settle()
        assert tellings.told() == [("sent", "room", "email")]
