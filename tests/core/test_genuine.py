"""Which messages of controllers the record role stores: those that their controllers sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.keys import DEVICE, derive_key
from schemas.record import Record
from schemas.registry import decode, topic_of
from schemas.signing import sign
from streams.core.genuine import Genuine
from streams.core.reference_tables import tables
from tests.core.world import MASTER, World, event


def is_stored(world: World | None, fields: dict[str, Any], signer: str | None = "c1", version: int = 1) -> bool:
    """Whether a message counts that `signer` signed (None: nobody)."""
    genuine = Genuine(MASTER, tables())
    if world is not None:
        genuine.follow(world.references)
    value, topic = msgspec.json.encode({"sequence": 1, **fields}), topic_of(fields["type"])
    key = str(fields["site_id"]).encode()
    headers = (sign(derive_key(MASTER, DEVICE, signer, version), version, topic, key, value),) if signer else ()
    record = Record(topic, 0, 0, key, value, headers, 1_772_413_200_000)
    return genuine(decode(topic, value), record)


EVENTS = [event("door_opened"), event("heartbeat"), event("command_confirmed", command_id="x")]


@pytest.mark.parametrize("fields", EVENTS, ids=lambda one: str(one["type"]))
def test_a_message_is_stored_with_its_controllers_mac_and_with_no_other(fields: dict[str, Any]) -> None:
    world = World()
    assert is_stored(world, fields)
    assert not is_stored(world, fields, signer=None)
    assert not is_stored(world, fields, signer="c2")


def test_where_no_macs_are_asked_for_everything_is_stored() -> None:
    world = World()
    world.change("site", "hq", message_authentication="off")
    assert is_stored(world, event("door_opened"), signer=None)
    assert is_stored(world, event("door_opened"), signer="c2")
    assert not is_stored(world, event("door_opened", site_id="elsewhere"), signer=None)


def test_nothing_unsigned_is_stored_before_anything_is_known() -> None:
    assert is_stored(None, event("door_opened"))
    assert not is_stored(None, event("door_opened"), signer=None)


def test_a_controller_speaks_for_no_other_site_and_for_no_other_controllers_door() -> None:
    world = World()
    world.change("door", "lab", device_id="c2")
    assert not is_stored(world, event("heartbeat", site_id="elsewhere"))
    assert not is_stored(world, event("door_opened", door_id="lab"))
    assert is_stored(world, event("door_opened", door_id="lab", device_id="c2"), signer="c2")


def test_what_was_stored_before_a_controller_was_swapped_or_removed_is_stored_again() -> None:
    world = World()
    world.change("device", "c1", key_version=2)
    assert is_stored(world, event("door_opened"))
    assert is_stored(world, event("door_opened"), version=2)
    world.remove("device", "c1")
    world.remove("door", "front")
    assert is_stored(world, event("door_opened"))


def test_a_mac_is_good_for_its_own_key_alone() -> None:
    world = World()
    genuine = Genuine(MASTER, tables())
    genuine.follow(world.references)
    value = msgspec.json.encode({"sequence": 1, **event("door_opened")})
    mac = sign(derive_key(MASTER, DEVICE, "c1"), 1, "door.events", b"other", value)
    message = decode("door.events", value)
    assert not genuine(message, Record("door.events", 0, 0, b"other", value, (mac,), 0))
    assert not genuine(message, Record("door.events", 0, 0, b"hq", value, (mac,), 0))
    assert not genuine(message, Record("door.events", 0, 0, b"hq", value, (("doorstream-mac", b"v1:x"),), 0))
