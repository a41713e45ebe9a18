"""Threats in the stores: what happened, how it was assessed, what was begun, and how it was handled (A5, M2)."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from schemas.record import Record
from schemas.vocabulary import FactorKind
from tests.core.test_threats import HOLD_S, clear, force, set_level, site
from tests.core.world import World, card, event, pin
from tests.sinks.records import Topics
from tests.sinks.stores import Postgres, Store

INCARNATION = 1_772_000_000


def told(world: World) -> list[Record]:
    """What the site has told of threats, as the record role reads it."""
    topics = Topics()
    for one in world.sent:
        if one.topic in {"threats", "duress.threats"}:
            topics.add(one.topic, one.value, key=one.key or b"")
    return topics.records


def a_night() -> World:
    """A low threat, four medium ones, a high one whose plan nobody starts, and a monitored passage."""
    world = site()
    world.send(event("door_opened"))
    force(world, times=5)
    world.ask(at="lab-in")
    world.wait(HOLD_S)
    return world


async def _rows(store: Postgres, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(store.dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.mark.branch("M2.15", "M2.17")
async def test_the_security_log_says_what_happened_and_how_it_was_handled(store: Store) -> None:
    await store.sink.write(INCARNATION, told(a_night()))
    if isinstance(store, Postgres):
        log = await _rows(store, "select kind, level, response, handled from security_log order by score")
        forced = "door_forced_open"
        assert log == [
            ("passage_without_decision", "low", "recorded", "recorded"),
            *[(forced, "medium", "monitoring", "expired")] * 4,
            (forced, "high", "plan_proposed", "expired"),
        ]
        factors = await _rows(store, "select factors ->> 0 from security_log where level = 'high'")
        assert '"points": 40' in factors[0][0]
    else:
        tables = await store.tables()
        types = [row[2] for row in tables["security_log"]]
        assert (types.count("threat_assessed"), types.count("threat_level_cleared")) == (6, 1)
        assert [row[2] for row in tables["abnormal_passages"]] == ["monitored_passage"]
        assert sum(int(row[5]) for row in tables["threats_by_day"]) == 6


@pytest.mark.branch("M2.17")
async def test_the_security_log_names_who_cleared_a_threat_and_why(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("ClickHouse keeps each step by itself")
    world = site()
    force(world, times=5)
    clear(world, subject_id="hall", reason="a contractor")
    await store.sink.write(INCARNATION, told(world))
    log = await _rows(store, "select handled, handled_by, how from security_log where level = 'high'")
    assert log == [("operator", "op-7", "a contractor")]


async def test_what_was_told_twice_is_stored_once(store: Store) -> None:
    night = told(a_night())
    await store.sink.write(INCARNATION, night)
    whole = await store.tables()
    await store.sink.write(INCARNATION, night)
    assert await store.tables() == whole


async def test_what_threatens_now_is_in_the_views_until_it_ends(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("ClickHouse has no state")
    world = site()
    set_level(world, level="extreme")
    await store.sink.write(INCARNATION, told(world))
    assert await _rows(store, "select zone_id, source, level, clearance from threat_levels") == [
        ("lab", "operator", "extreme", 5)
    ]
    clear(world)
    await store.sink.write(INCARNATION, told(world))
    assert await _rows(store, "select * from threat_levels") == []


async def test_a_threat_of_duress_is_stored_for_monitoring_alone(store: Store) -> None:
    world = site()
    world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "pin"]}])
    world.enrol("ann", FactorKind.PIN, pin="830217", duress_pin="830218")
    world.ask(card(), pin("830218"))
    await store.sink.write(INCARNATION, told(world))
    if isinstance(store, Postgres):
        assert await _rows(store, "select kind, level from duress_threats") == [("duress", "high")]
        assert await _rows(store, "select * from threats") == await _rows(store, "select * from threat_events") == []
    else:
        assert (await store.tables())["threat_events"] == []
