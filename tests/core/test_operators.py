"""Operators' requests: signed, in time, once, and only with the right."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.commands import AccessDoor
from schemas.keys import OPERATOR, derive_key
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign
from tests.core.world import MASTER, NOW, World, event, of_type

UNLOCK = {"type": "door_unlock_requested", "door_id": "front"}
FORGIVE = {"type": "passback_forgiven", "cardholder_id": "ann"}


def code(found: list[Any]) -> str | None:
    answers = [one for one in found if one.type.startswith("operator_request")]
    assert len(answers) == 1
    return answers[0].code if answers[0].type == "operator_request_refused" else None


def raw(world: World, end: str | None, **fields: Any) -> list[Any]:
    """A request with any text for its end."""
    given = {"site_id": "hq", "operator_id": "op-7", "occurred_at": NOW.isoformat(), "request_id": "r-1", **UNLOCK}
    value = msgspec.json.encode(given | fields)
    own = ((NONCE_HEADER, b"n"),) if end is None else ((NOT_AFTER_HEADER, end.encode()), (NONCE_HEADER, b"n"))
    mac = sign(derive_key(MASTER, OPERATOR, "op-7"), 1, "operator.requests", b"hq", value, own)
    return world.decide(world.record("operator.requests", value, (*own, mac)))


def test_a_remote_unlock_is_answered_and_is_one_command_with_an_end_and_without_an_override() -> None:
    answer, command = World().operator(UNLOCK)
    assert (answer.type, answer.command_id) == ("operator_request_accepted", command.command_id)
    assert isinstance(command, AccessDoor)
    assert (command.door_id, command.request, command.override) == ("front", None, False)
    assert command.not_after is not None
    assert (command.not_after - command.issued_at).total_seconds() == 10


def test_an_unlock_takes_the_next_number_of_its_door() -> None:
    world = World()
    _, first = world.operator(UNLOCK)
    world.ask()
    _, third = world.operator({**UNLOCK, "request_id": "r-2"}, nonce="n-2")
    assert third.sequence == first.sequence + 2


def test_a_door_that_an_operator_opened_is_nobodys_passage() -> None:
    world = World()
    _, command = world.operator(UNLOCK)
    assert world.send(event("door_opened", command_id=command.command_id)) == []


@pytest.mark.parametrize(
    ("fields", "how", "expected"),
    [
        (UNLOCK, {"signer": "op-8"}, "invalid_signature"),
        (UNLOCK, {"valid_s": -1}, "expired"),
        (UNLOCK, {"valid_s": 3601}, "expired"),
        ({**UNLOCK, "operator_id": "op-8"}, {"signer": "op-8"}, "unknown_operator"),
        ({**UNLOCK, "site_id": "elsewhere"}, {}, "unknown_operator"),
        ({**UNLOCK, "door_id": "elsewhere"}, {}, "unknown_door"),
        ({**FORGIVE, "cardholder_id": "nobody"}, {}, "unknown_cardholder"),
    ],
)
def test_what_is_not_right_is_refused_with_the_fix_and_does_nothing(
    fields: dict[str, Any], how: dict[str, Any], expected: str
) -> None:
    world = World()
    (refused,) = world.operator(fields, **how)
    assert (refused.type, refused.code) == ("operator_request_refused", expected)
    assert refused.detail
    assert [key for key in world.state if not key.startswith("lately/")] == []


@pytest.mark.parametrize(
    "end", [None, "soon", "2026-03-02T09:00:30", "2026-03-02T08:59:59+00:00", "9999-12-31T23:59:59-23:59", ""]
)
def test_an_end_that_is_no_moment_to_come_is_refused(end: str | None) -> None:
    assert code(raw(World(), end)) in {"expired", "invalid_signature"}


@pytest.mark.parametrize("given", ["unlock", "forgive_passback"])
def test_an_operator_does_what_the_policy_gives_the_right_for_and_no_more(given: str) -> None:
    world = World()
    world.change("policy", "usual", operators=[{"operator_id": "op-7", "rights": [given]}])
    assert code(world.operator(UNLOCK)) == (None if given == "unlock" else "no_right")
    forgive = {**FORGIVE, "request_id": "r-2"}
    assert code(world.operator(forgive, nonce="n-2")) == ("no_right" if given == "unlock" else None)


def test_the_same_request_again_is_answered_and_not_carried_out_and_forgotten_when_it_has_ended() -> None:
    world = World()
    assert code(world.operator(UNLOCK)) is None
    assert code(world.operator(UNLOCK, nonce="n-2")) == "repeated"
    assert len(of_type([one for one in world.wait(3600) if hasattr(one, "type")], "access_door")) == 0
    assert not any(key.startswith("operator/") for key in world.state)


def test_a_site_without_macs_takes_an_operator_by_name() -> None:
    world = World()
    world.change("site", "hq", message_authentication="off")
    assert code(world.operator(UNLOCK, signer="op-8")) is None
