"""What is worked out once of the reference records is worked out anew as soon as one of them changes."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import Message
from schemas.rules import SingleMethod
from schemas.vocabulary import Enforcement, FactorKind
from tests.core.given import ADA, DEVICE, DOOR, HALL, POINT, POLICY, SITE, House, card

HOLDER, CREDENTIAL, PERMISSION = ADA


@pytest.mark.parametrize(
    ("record", "changes", "reason"),
    [
        (HOLDER, {"status": "inactive"}, "credential_disabled"),
        (CREDENTIAL, {"status": "lost"}, "credential_lost"),
        (CREDENTIAL, {"card_number": "another"}, "authentication_unavailable"),
        (PERMISSION, {"zone_ids": ("elsewhere",), "door_ids": (), "access_point_ids": ()}, "point_no_access_rights"),
        (PERMISSION, {"site_id": "elsewhere"}, "no_access_rights"),
        (POINT, {"enabled": False}, "out_of_service"),
        (DEVICE, {"status": "inactive"}, "out_of_service"),
        (DOOR, {"device_id": "c2"}, "unknown_access_point"),
        (
            HALL,
            {"two_person": HALL.two_person.model_copy(update={"enforcement": Enforcement.HARD})},
            "no_accompaniment",
        ),
        (POLICY, {"methods": (SingleMethod(factor=FactorKind.PIN),)}, "authentication_factor_timeout"),
        (SITE, {"message_authentication": "required"}, "invalid_signature"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_changed_record_holds_from_the_next_request_on(record: Message, changes: dict[str, Any], reason: str) -> None:
    with House(*ADA) as house:
        before = [house.ask(card("ada")) for _ in range(2)]
        house.learn(record.model_copy(update=changes))
        after = house.ask(card("ada"))
        house.learn(record)
        again = house.ask(card("ada"))
    assert [one["type"] for one in (*before, again)] == ["access_granted"] * 3
    assert (after["type"], after["reason"]) == ("access_denied", reason)
