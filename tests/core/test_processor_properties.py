"""What holds of any messages whatever: nothing raises, nothing opens that must not, and the same gives the same."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.access import AccessGranted
from schemas.commands import AccessDoor
from schemas.keys import DEVICE, derive_key
from schemas.registry import decode, topic_of
from schemas.signing import sign
from schemas.vocabulary import Direction, FactorKind, Posture, Reason
from streams.core.entities import Risk, ZonePosture
from streams.core.evolution import PostureSet, RiskSet
from streams.core.failures import Kept
from streams.core.lockout_state import Lockout, lockout_key
from tests.core.world import MASTER, World, pin

ODD = [
    "1900-01-01T00:00:00+14:00", "2199-12-31T23:59:59-12:00", "1969-12-31T23:59:59.999999Z",
    "2026-03-02T09:00:00Z", "2026-03-29T02:30:00+01:00", "2016-12-31T23:59:59+23:59",
]  # fmt: skip
READERS = ["front-in", "front-out", "lab-in", "lab-out", "nowhere"]
DOORS = ["front", "lab", "nowhere"]
PEOPLE = ["ann", "bob", "nobody"]
ids = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128)
numbers = st.one_of(st.integers(0, 6), st.just(2**53 - 1), st.integers(1000, 3000))
scores = st.one_of(st.sampled_from([0, 0.75, 1, 0.5]), st.floats(0, 1))
vectors = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4)


cards = st.fixed_dictionaries(
    {"kind": st.just("card"), "card_number": st.one_of(st.sampled_from(["100", "200", "300"]), ids)},
    optional={"facility_code": st.sampled_from(["1", "2"])},
)
claims = {"cardholder_id": st.sampled_from(PEOPLE), "credential_id": st.sampled_from(["pin-ann", "card-200", "none"])}
pins = st.one_of(
    st.builds(pin, st.sampled_from(["4711", "9021", "0000"])),
    st.fixed_dictionaries(
        {"kind": st.just("pin")},
        optional={"pin": st.sampled_from(["4711", "x"]), "sealed": st.just("AAAA"), **claims},
    ),
)
biometrics = st.fixed_dictionaries(
    {"kind": st.sampled_from(["face", "fingerprint"])},
    optional={"score": scores, "template": vectors, "sealed": st.just("AAAA"), "model": st.just("arc"), **claims},
)
factors = st.lists(st.one_of(cards, pins, biometrics), min_size=1, max_size=7)
common = {
    "site_id": st.sampled_from(["hq", "hq", "hq", "elsewhere"]),
    "device_id": st.sampled_from(["c1", "c1", "c1", "c2"]),
    "boot": st.integers(0, 2),
    "sequence": numbers,
    "occurred_at": st.sampled_from(ODD),
}
asked = {"access_point_id": st.sampled_from(READERS), "factors": factors, **common}
requests = st.fixed_dictionaries({"type": st.just("access_requested"), **asked})
records = st.fixed_dictionaries(
    {
        "type": st.just("access_recorded"),
        "outcome": st.sampled_from(["granted", "denied"]),
        "mode": st.just("snapshot"),
        **asked,
    }
)
door_events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["door_opened", "door_closed", "door_forced_open", "no_entry_after_granted", "request_to_exit"]
        ),
        "door_id": st.sampled_from(DOORS),
        **common,
    }
)
heartbeats = st.fixed_dictionaries(
    {
        "type": st.just("heartbeat"),
        "doors": st.lists(
            st.fixed_dictionaries(
                {
                    "door_id": st.sampled_from(DOORS),
                    "mode": st.just("locked"),
                    "open": st.sampled_from([True, False, None]),
                }
            ),
            max_size=3,
        ),
        **common,
    }
)
messages = st.one_of(requests, requests, records, door_events, heartbeats)
forbidden = st.sampled_from(
    [
        Kept(lockout_key("hq", "cardholder", "ann"), Lockout(None)),
        Kept(lockout_key("hq", "access-point", "front-in"), Lockout(None)),
        PostureSet("hall", ZonePosture(Posture.LOCKDOWN)),
        PostureSet("hq", ZonePosture(Posture.EVACUATION, 3)),
        PostureSet("lab", ZonePosture(Posture.EMERGENCY_OPENING)),
        RiskSet("hq", "ann", Risk(9.0, 1.0)),
    ]
)
methods = st.sampled_from(
    [
        [{"kind": "single", "factor": kind} for kind in ("card", "pin", "face", "fingerprint")],
        [{"kind": "all_required", "factors": ["card", "pin"]}],
        [{"kind": "fusion", "weights": {"face": 0.5, "card": 0.5}, "threshold": 0.7}],
    ]
)
RULE = {"enforcement": "hard"}
RULES = {
    "passback": RULE, "occupancy": {**RULE, "limit": 1}, "two_person": RULE, "escort": RULE, "first_person_in": RULE
}  # fmt: skip
removals = st.sets(
    st.sampled_from(
        [
            ("zone", "hall"), ("zone", "lab"), ("zone", "street"), ("cardholder", "ann"), ("credential", "card-100"),
            ("permission", "of-ann"), ("schedule", "never"), ("secret", "pin-ann"), ("credential", "face-ann"),
        ]
    ),
    max_size=4,
)  # fmt: skip
_ENROLLED: dict[str, Any] = {}


def a_world(policy: list[Any], *, ruled: bool = False) -> World:
    world = World()
    world.change("policy", "usual", methods=policy)
    world.change("site", "hq", plain_secrets=True)
    world.person("bob", "200")
    for who, kind, secret in (
        ("ann", FactorKind.PIN, {"pin": "4711", "duress_pin": "9021"}),
        ("ann", FactorKind.FACE, {"templates": [[1.0, 0.0]], "model": "arc"}),
    ):
        world.enrol(who, kind, **secret)
    if ruled:
        for zone in ("hall", "lab"):
            world.change("zone", zone, **RULES)
        world.change("permission", "of-ann", kind="single_use")
        for door in ("front", "lab"):
            world.change("door", door, interlock={"group": "trap", **RULE})
    return world


def send(world: World, fields: dict[str, Any], age_s: float = 0) -> list[Any]:
    value, topic = msgspec.json.encode(fields), topic_of(fields["type"])
    mac = sign(derive_key(MASTER, DEVICE, fields["device_id"]), 1, topic, b"hq", value)
    return world.decide(world.record(topic, value, (mac,), age_s=age_s))


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
histories = st.lists(
    st.tuples(messages, st.sampled_from([0.0, 0.0, 6.0, 40.0]), st.sampled_from([0, 1, 20])), max_size=8
)


@quick
@given(methods, removals, st.lists(forbidden, max_size=3), histories)
def test_any_history_of_messages_raises_nothing_and_commands_just_what_was_granted_in_time(
    policy: list[Any], gone: set[tuple[str, str]], outcomes: list[Any], history: list[Any]
) -> None:
    world = a_world(policy, ruled=True)
    for entity, id_ in gone:
        if world.references.get(entity, id_) is not None:
            world.remove(entity, id_)
    for outcome in outcomes:
        world.outcome(outcome)
    for fields, age_s, wait_s in history:
        found = send(world, fields, age_s)
        granted = [one for one in found if isinstance(one, AccessGranted)]
        commands = [one for one in found if isinstance(one, AccessDoor)]
        assert [one.decision_id for one in commands] == [one.decision_id for one in granted if one.actuated]
        assert not any(one.actuated for one in granted if one.timeliness in {"late", "offline"})
        if fields["type"] == "access_recorded":
            assert commands == []
        world.wait(wait_s)
    for entity in world.state.values():
        assert min(getattr(entity, "count", 0), getattr(entity, "expected", 0), getattr(entity, "escorts", 0)) >= 0


@quick
@given(methods, histories)
def test_the_same_causes_give_the_same_outputs(policy: list[Any], history: list[Any]) -> None:
    first, second = a_world(policy, ruled=True), a_world(policy, ruled=True)
    for fields, age_s, wait_s in history:
        for world in (first, second):
            send(world, fields, age_s)
            world.wait(wait_s)
    assert first.sent == second.sent
    assert first.state == second.state


@quick
@given(methods, removals, st.lists(forbidden, max_size=3), st.sampled_from(["front-out", "lab-out"]), factors)
def test_the_way_out_is_open_whatever_fails(
    policy: list[Any], gone: set[tuple[str, str]], outcomes: list[Any], reader: str, presented: list[Any]
) -> None:
    world = a_world(policy, ruled=True)
    for entity, id_ in gone:
        if world.references.get(entity, id_) is not None:
            world.remove(entity, id_)
    for outcome in outcomes:
        world.outcome(outcome)
    world.change("access-point", reader, enabled=False)
    world.change("device", "c1", status="inactive")
    decision = world.ask(*presented, at=reader)
    assert (decision.type, decision.direction, decision.actuated) == ("access_granted", Direction.EGRESS, True)
    assert Reason.OUT_OF_SERVICE in decision.soft_breaches


@quick
@given(
    methods,
    st.sampled_from(
        [
            ("zone", "hall"), ("cardholder", "ann"), ("permission", "of-ann"), ("access-point", "front-in"),
            ("door", "front"), ("device", "c1"), ("policy", "usual"), ("site", "hq"),
        ]
    ),
    factors,
)  # fmt: skip
def test_what_is_not_on_file_lets_nobody_in(policy: list[Any], gone: tuple[str, str], presented: list[Any]) -> None:
    world = a_world(policy)
    world.remove("permission", "of-bob")
    world.remove(*gone)
    assert world.ask(*presented).type == "access_denied"


@quick
@given(methods, factors)
def test_no_secret_leaves_the_request(policy: list[Any], presented: list[Any]) -> None:
    world = a_world(policy)
    world.ask(*presented, {"kind": "pin", "pin": "83025519", "cardholder_id": "ann"})
    said = b"".join((output.value or b"") + repr(output.headers).encode() for output in world.sent)
    kept = b"".join(world.site.encode_entity(entity) for entity in world.state.values())
    assert b"83025519" not in said + kept
    assert all(decode(output.topic, output.value) for output in world.sent)
