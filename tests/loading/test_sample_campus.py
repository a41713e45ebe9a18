"""The sample campus is sound and shows what there is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from schemas.places import Door, Zone
from schemas.vocabulary import Direction, Enforcement, FactorKind
from streams.loading.campus import Campus, read_campus

FOLDER = Path(__file__).parents[2] / "deploy" / "campus"


@pytest.fixture(scope="module")
def campus() -> Campus:
    return read_campus(FOLDER)


def _all(campus: Campus, name: str) -> list[Any]:
    return list(campus.records[name].values())


def test_it_has_the_promised_size(campus: Campus) -> None:
    sizes = {name: len(found) for name, found in campus.records.items()}
    assert (sizes["site"], sizes["door"], sizes["device"], sizes["cardholder"]) == (1, 60, 20, 500)
    assert len([zone for zone in _all(campus, "zone") if zone.kind == "building"]) == 4


def test_it_has_the_ids_that_the_contract_uses(campus: Campus) -> None:
    point: Any = campus.records["access-point"]["hq-d01-in"]
    door: Any = campus.records["door"]["hq-d01"]
    card: Any = campus.records["credential"]["c10000017"]
    assert (point.zone_from, point.zone_to, door.device_id) == ("hq-outside", "hq-lobby", "hq-c01")
    assert (card.cardholder_id, card.card_number) == ("p0017", "10000017")


def test_it_is_strict_about_signatures_and_secrets(campus: Campus) -> None:
    site: Any = campus.records["site"]["hq"]
    assert (site.time_zone, site.message_authentication, site.plain_secrets) == ("Asia/Shanghai", "required", False)


def test_every_rule_of_a_zone_is_somewhere(campus: Campus) -> None:
    zones: list[Zone] = _all(campus, "zone")
    for rule in ("passback", "occupancy", "two_person", "escort", "first_person_in"):
        assert {getattr(zone, rule).enforcement for zone in zones} > {Enforcement.OFF}, rule
    assert {zone.passback.enforcement for zone in zones} == set(Enforcement)
    assert [zone.zone_id for zone in zones if zone.special] == ["hq-vault"]


def test_every_kind_of_door_is_there(campus: Campus) -> None:
    doors: list[Door] = _all(campus, "door")
    assert {door.degraded_mode for door in doors} == {"deny", "facility_code", "snapshot"}
    assert {door.has_dps for door in doors} == {True, False}
    assert {door.egress for door in doors} == {"free", "controlled"}
    assert len([door for door in doors if door.interlock is not None]) == 4


def test_every_state_of_a_card_and_every_kind_of_permission_is_there(campus: Campus) -> None:
    credentials = _all(campus, "credential")
    assert {credential.kind for credential in credentials} == set(FactorKind)
    assert {card.status for card in credentials} == {"active", "lost", "stolen", "destroyed", "disabled"}
    assert any(card.cardholder_id is None for card in credentials)
    assert any(card.emergency for card in credentials)
    kinds = {permission.kind for permission in _all(campus, "permission")}
    assert kinds == {"permanent", "temporary", "single_use", "special"}
    assert sum(pin.duress_pin is not None for pin in campus.pins.values()) > 10


def test_employees_reach_the_lobby_at_every_hour_and_visitors_do_not(campus: Campus) -> None:
    people: dict[str, Any] = dict(campus.records["cardholder"])
    allowed = [p for p in _all(campus, "permission") if "hq-lobby" in p.zone_ids or "hq" in p.zone_ids]
    around_the_clock = {p.cardholder_id for p in allowed if p.schedule_id == "always"}
    outsiders = {"Contractors", "Cleaning", "Visitors"}
    employees = {id_ for id_, person in people.items() if person.department not in outsiders}
    assert around_the_clock == employees
    always: Any = campus.records["schedule"]["always"]
    assert (len(always.windows[0].days), always.windows[0].end, always.observes_holidays) == (7, "24:00", False)


def test_who_needs_a_pin_or_a_face_somewhere_has_one(campus: Campus) -> None:
    entries = [point for point in _all(campus, "access-point") if point.direction is Direction.ENTRY]
    policies = {point.policy_id for point in entries}
    assert {"card-pin", "pin", "face-finger", "face-finger-card", "vault"} <= policies
    of = {
        kind: {c.cardholder_id for c in _all(campus, "credential") if c.kind is kind and c.status == "active"}
        for kind in FactorKind
    }
    groups = {
        "vault/": (FactorKind.CARD, FactorKind.PIN, FactorKind.FINGERPRINT),
        "data-centre/": (FactorKind.CARD, FactorKind.PIN, FactorKind.FACE, FactorKind.FINGERPRINT),
        "prototypes/": (FactorKind.FACE, FactorKind.FINGERPRINT),
    }
    for group, kinds in groups.items():
        people = {p.cardholder_id for id_, p in campus.records["permission"].items() if id_.startswith(group)}  # type: ignore[attr-defined]
        for kind in kinds:
            missing = people - of[kind]
            assert len(missing) <= len(people) // 10, (group, kind, missing)


def test_every_enrolled_template_is_its_own_best_match(campus: Campus) -> None:
    def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))

    faces = {id_: found for id_, found in campus.templates.items() if id_.startswith("f")}
    worst = max(
        cosine(one.templates[0], other.templates[0]) for a, one in faces.items() for b, other in faces.items() if a < b
    )
    assert worst < 0.75


def test_every_file_begins_with_what_it_is() -> None:
    for path in FOLDER.iterdir():
        assert path.read_text(encoding="utf-8").startswith("# "), path.name
