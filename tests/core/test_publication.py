"""Outcomes as records: topics, keys, headers, macs, and no secret anywhere."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.factors import Pin
from schemas.keys import DEVICE, derive_key
from schemas.sealing import Opener
from schemas.signing import MAC_HEADER, key_version_of, verify
from schemas.vocabulary import FactorKind
from streams.core.site import SiteProcessor
from streams.core.verifying import Candidate, PinToVerify, TemplateToVerify
from tests.core.world import MASTER, World, card, event, pin, request

DIGITS, COMPONENT = "83025519", 0.7305519


def a_busy_world() -> World:
    world = World()
    world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "pin", "face"]}])
    world.change("site", "hq", plain_secrets=True)
    world.enrol("ann", FactorKind.PIN, pin=DIGITS, duress_pin="90217744")
    world.enrol("ann", FactorKind.FACE, templates=[[COMPONENT, 0.1]], model="arc")
    face = {"kind": "face", "template": [COMPONENT, 0.1], "model": "arc"}
    for digits in (DIGITS, "90217744", "00000000"):
        for reader in ("front-in", "front-out"):
            world.ask(card(), {"kind": "pin", "pin": digits}, face, at=reader)
            world.send(event("door_opened"))
        world.ask(card(), pin(digits), face, outcome="granted")
    world.operator({"type": "door_unlock_requested", "door_id": "front"})
    return world


def test_every_record_lies_with_its_key_and_headers_where_the_contract_says() -> None:
    keys = {
        "access.decisions": b"hq",
        "device.commands": b"c1",
        "duress.events": b"hq",
        "doorstream.failures": b"ann",
        "duress.threats": b"hq/zone/hall",
    }
    threats = {b"hq/zone/hall", b"hq/cardholder/ann"}
    outputs = a_busy_world().sent
    assert {output.topic for output in outputs} == {*keys, "threats"}
    for output in outputs:
        headers = dict(output.headers)
        assert output.key in ({keys[output.topic]} if output.topic in keys else threats)
        assert output.partition == 0
        assert headers["ce_type"].decode() == msgspec.json.decode(output.value or b"")["type"]
        assert {"ce_id", "ce_source", "ce_time", "ce_specversion", "content-type"} <= headers.keys()


def test_every_message_has_an_id_of_its_own() -> None:
    ids = [dict(output.headers)["ce_id"] for output in a_busy_world().sent]
    assert len(set(ids)) == len(ids)


def test_commands_carry_the_devices_mac_under_its_key_version_and_nothing_else_does() -> None:
    world = World()
    world.ask()
    world.change("device", "c1", key_version=3)
    world.operator({"type": "door_unlock_requested", "door_id": "front"})
    found: list[Any] = [(output, dict(output.headers).get(MAC_HEADER)) for output in world.sent]
    versions = []
    for output, mac in found:
        assert (mac is not None) == (output.topic == "device.commands")
        if mac is not None:
            version = key_version_of(mac) or 0
            versions.append(version)
            key = derive_key(MASTER, DEVICE, "c1", version)
            assert verify(key, mac, output.topic, output.key, output.value, output.headers)
    assert versions == [1, 3]


def test_no_pin_template_or_key_reaches_an_output_or_the_state() -> None:
    world = a_busy_world()
    said = b"".join((output.value or b"") + repr(output.headers).encode() for output in world.sent)
    kept = b"".join(world.site.encode_entity(entity) for entity in world.state.values())
    for secret in (DIGITS.encode(), b"90217744", b"00000000", str(COMPONENT).encode(), MASTER.hex().encode()):
        assert secret not in said
        assert secret not in kept
    assert derive_key(MASTER, DEVICE, "c1").hex().encode() not in said


def test_no_secret_shows_in_what_is_verified_or_presented() -> None:
    candidate = Candidate("c", "ann", 1, "box")
    shown = repr(
        [PinToVerify(DIGITS, None, candidate), TemplateToVerify((COMPONENT,), None, "arc", (candidate,)),
         Pin(kind="pin", pin=DIGITS)]
    )  # fmt: skip
    assert DIGITS not in shown
    assert str(COMPONENT) not in shown


def test_a_dead_letter_that_may_hold_a_secret_is_sealed_for_the_decide_role() -> None:
    world = World()
    original = msgspec.json.encode({**request({"kind": "pin", "pin": DIGITS}), "boot": "odd"})
    value, word = world.site.scrub(world.record("access.requests", original))
    assert word == "sealed"
    assert DIGITS.encode() not in (value or b"")
    assert Opener(MASTER).open((value or b"").decode()) == original


def test_a_secret_that_is_written_in_escapes_is_sealed_too() -> None:
    world = World()
    original = b'{"factors": [{"kind": "\\u0070in", "p\\u0069n": "83025519"}]'
    assert world.site.scrub(world.record("access.requests", original))[1] == "sealed"


def test_without_a_key_to_seal_with_a_secret_is_removed() -> None:
    world = World()
    record = world.record("access.requests", b'{"pin": "83025519"')
    assert SiteProcessor(None).scrub(record) == (None, "removed")


def test_a_dead_letter_without_a_secret_keeps_its_bytes() -> None:
    world = World()
    assert world.site.scrub(world.record("door.events", b"no JSON")) == (b"no JSON", None)
