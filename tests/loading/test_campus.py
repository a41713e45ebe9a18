"""A folder as a campus: what a person writes, and what records it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.people import Credential, Permission
from schemas.places import AccessPoint, Zone
from streams.loading.campus import copies, read_campus
from tests.loading.folders import problems_of, written


def test_a_sound_folder_gives_every_record(tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    assert {name: len(found) for name, found in campus.records.items()} == {
        "site": 1,
        "zone": 5,
        "door": 2,
        "access-point": 4,
        "device": 1,
        "cardholder": 2,
        "credential": 4,
        "permission": 3,
        "schedule": 1,
        "holiday-calendar": 1,
        "policy": 2,
        "recipient": 2,
        "on-call": 1,
        "subscription": 1,
    }
    assert campus.pins["n0017"].pin == "4711"
    assert campus.templates["f0018"].templates == ((0.1, -0.2, 0.3, 0.4),)


def test_a_door_has_a_reader_on_either_side(tmp_path: Path) -> None:
    points = read_campus(written(tmp_path)).records["access-point"]
    way_in, way_out = points["hq-d02-in"], points["hq-d02-out"]
    assert isinstance(way_in, AccessPoint)
    assert isinstance(way_out, AccessPoint)
    assert (way_in.zone_from, way_in.zone_to, way_in.direction, way_in.policy_id) == (
        "hq-lobby",
        "hq-vault",
        "entry",
        "biometric",
    )
    assert (way_out.zone_from, way_out.zone_to, way_out.direction) == ("hq-vault", "hq-lobby", "egress")


def test_zones_lie_in_the_zones_that_they_are_written_in(tmp_path: Path) -> None:
    zones = read_campus(written(tmp_path)).records["zone"]
    parents = {id_: zone.parent_id for id_, zone in zones.items() if isinstance(zone, Zone)}
    assert parents == {"hq": None, "hq-b1": "hq", "hq-lobby": "hq-b1", "hq-vault": "hq-b1", "hq-outside": None}


def test_a_permission_of_a_department_is_one_for_each_of_its_people(tmp_path: Path) -> None:
    found = read_campus(written(tmp_path)).records["permission"]
    assert {id_: p.cardholder_id for id_, p in found.items() if isinstance(p, Permission)} == {
        "staff/p0017": "p0017",
        "staff/p0018": "p0018",
        "vault-p0018": "p0018",
    }


def test_copies_are_the_same_campus_with_ids_of_their_own(tmp_path: Path) -> None:
    campus = read_campus(written(tmp_path))
    three = copies(campus, 3)
    assert list(three.records["site"]) == ["hq", "hq-2", "hq-3"]
    assert {len(found) for name, found in three.records.items() if name in {"door", "cardholder"}} == {6}
    numbers = [c.card_number for c in three.records["credential"].values() if isinstance(c, Credential)]
    assert numbers.count("10000017-3") == 1
    known = {id_ for found in three.records.values() for id_ in found}
    point = three.records["access-point"]["hq-d02-in-3"]
    assert isinstance(point, AccessPoint)
    assert {point.site_id, point.door_id, point.zone_from, point.zone_to, str(point.policy_id)} <= known
    assert three.pins["n0017-2"] == campus.pins["n0017"]
    assert copies(campus, 1) == campus


def test_a_campus_is_copied_at_least_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least once"):
        copies(read_campus(written(tmp_path)), 0)


def test_nothing_is_wrong_with_a_sound_folder(tmp_path: Path) -> None:
    assert problems_of(written(tmp_path)) == []
