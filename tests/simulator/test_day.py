from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from streams.commands.simulate import CAMPUS
from streams.loading.campus import Campus, copies, read_campus
from streams.simulator.day import LAST_AT, SCENARIOS, Planner
from streams.simulator.foul import FOUL
from streams.simulator.happenings import Happenings
from streams.simulator.oracle import Oracle
from streams.simulator.people import People
from streams.simulator.places import Places
from streams.simulator.plays import PLAYS
from streams.simulator.scene import Scene
from streams.simulator.timetable import play_all
from streams.simulator.wallet import Wallet
from tests.simulator.small import NOON, World, campus

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def whole() -> Campus:
    return copies(read_campus(CAMPUS), 2)


def planned(whole: Campus, scenario: str = "day", seed: int = 1, requests: int = 1000) -> list[Scene]:
    places = Places(whole)
    people = People(whole, places)
    oracle = Oracle(people, places, Happenings(places))
    planner = Planner(people, places, oracle, NOW, seed, 60.0)
    planner.operators = True
    return planner.plan(scenario, requests)


def test_the_same_seed_gives_the_same_day_and_another_one_another(whole: Campus) -> None:
    assert planned(whole, requests=300) == planned(whole, requests=300)
    assert planned(whole, requests=300) != planned(whole, seed=2, requests=300)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_day_has_about_the_requests_asked_for_in_order_and_at_every_site(whole: Campus, scenario: str) -> None:
    scenes = planned(whole, scenario, requests=2000)
    assert 1600 <= sum(scene.cost for scene in scenes) <= 2600
    assert [scene.at for scene in scenes] == sorted(scene.at for scene in scenes)
    assert all(0.0 <= scene.at < 1.0 for scene in scenes)
    assert {scene.site_id for scene in scenes} == {"hq", "hq-2"}


def test_every_kind_of_scene_happens_on_a_day_and_can_be_played(whole: Campus) -> None:
    kinds = Counter(scene.kind for scene in planned(whole, requests=4000))
    assert set(kinds) == (set(PLAYS) | set(FOUL)) - {"commute"}
    assert kinds["go"] > sum(kinds.values()) / 2


def test_people_of_one_site_never_appear_at_another(whole: Campus) -> None:
    cards = ("bad_card",)  # somebody may find a card of another site
    for scene in (one for one in planned(whole) if one.kind not in cards):
        assert all(one.endswith("-2") is (scene.site_id == "hq-2") for one in scene.who), scene


def test_regular_people_set_out_in_time(whole: Campus) -> None:
    assert max(scene.at for scene in planned(whole) if scene.kind == "go") <= LAST_AT


def test_a_campus_that_nobody_may_enter_is_refused() -> None:
    world = World(campus())
    world.people.permissions.clear()
    planner = Planner(world.people, world.places, world.oracle, NOW, 1, 60.0)
    with pytest.raises(ValueError, match="nobody may enter"):
        planner.plan("day", 100)


def test_routes_lead_through_doors_from_zone_to_zone() -> None:
    places = World(campus()).places
    route = places.route("street", "store")
    assert route is not None
    assert [step.zone_to for step in route] == ["hall", "trap", "store"]
    back = places.route("store", "street")
    assert back is not None
    assert [step.access_point_id for step in back][:2] == ["inner-out", "outer-out"]
    assert places.route("street", "street") == []
    assert places.route("street", "nowhere") is None


def test_people_show_what_opens_and_a_wrong_pin_is_neither_the_right_nor_the_forced_one() -> None:
    world = World(campus())
    wallet = Wallet(world.people, world.people.holders["ann"], random.Random(1))
    shown = wallet.shows(world.places.points["lab-in"])
    assert shown is not None
    assert world.expect("lab-in", *shown, at=NOON) == {"granted"}
    for _ in range(50):
        assert world.expect("lab-in", *wallet.mistyped(shown)) == {"incorrect_authentication_factor"}
    assert world.oracle.expect(world.places.points["lab-in"], wallet.forced(shown), NOON, NOON).duress
    seen = wallet.shows(world.places.points["inner-in"])
    assert seen is not None
    assert world.expect("inner-in", *seen) == {"granted"}
    assert world.expect("inner-in", *wallet.disguised(seen)) == {"verification_failed"}
    bob = Wallet(world.people, world.people.holders["bob"], random.Random(1))
    assert bob.shows(world.places.points["lab-in"]) is None


def test_nothing_that_people_hold_shows_its_secret_in_a_text() -> None:
    world = World(campus())
    wallet = Wallet(world.people, world.people.holders["ann"], random.Random(1))
    shown = [
        *(wallet.shows(world.places.points["lab-in"]) or ()),
        *(wallet.shows(world.places.points["inner-in"]) or ()),
    ]
    assert "4711" not in repr(shown)
    assert "template" not in repr(shown)


def scene(at: float) -> Scene:
    return Scene(at, "go", "s")


async def test_a_day_that_is_ended_early_closes_and_begins_nothing_more() -> None:
    stopping, played, closed = asyncio.Event(), list[int](), asyncio.Event()

    async def play(number: int, _scene: Scene) -> None:
        played.append(number)
        stopping.set()
        await closed.wait()

    await play_all([scene(0.0), scene(0.5)], play, 3600.0, stopping, closed.set)
    assert played == [0]


async def test_an_error_in_a_scene_ends_the_day_with_it() -> None:
    async def play(_number: int, _scene: Scene) -> None:
        raise LookupError("in a scene")

    with pytest.raises(LookupError, match="in a scene"):
        await play_all([scene(0.0), scene(0.5)], play, 0.2, asyncio.Event(), lambda: None)
