"""Reference data by position: now, as of an entry, and read again where memory doesn't reach."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from schemas.record import Record
from streams.core.processor import References, ReferenceTable
from streams.engine.memory import ManualClock, MemoryBroker, MemoryClient
from streams.engine.reference_table import KEPT_MS
from streams.engine.references import ReferenceTables, ReferenceViews

TOPIC = "reference.card"


def owners(data: bytes) -> Iterable[str]:
    return [str(json.loads(data)["owner"])]


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock)
        self.client = MemoryClient(self.broker)
        self.decoded = 0
        self.views = self.fresh()

    def fresh(self) -> ReferenceViews:
        def decode(data: bytes) -> object:
            self.decoded += 1
            return json.loads(data)

        specs = [ReferenceTable("card", TOPIC, decode, {"owner": owners})]
        return ReferenceTables(specs, self.clock).views(specs)

    def write(self, id_: str, owner: str | None) -> Record:
        value = None if owner is None else json.dumps({"id": id_, "owner": owner}).encode()
        record = self.broker.publish(TOPIC, id_, value, partition=0)
        self.views.tables.apply(TOPIC, [record])
        return record


@pytest.fixture
def world() -> World:
    return World()


def found(view: References, owner: str) -> list[str]:
    return [card["id"] for card in view.find("card", "owner", owner)]


def test_the_live_view_moves_and_its_indexes_with_it(world: World) -> None:
    live = world.views.live()
    world.write("c2", "ann")
    world.write("c1", "ann")
    assert found(live, "ann") == ["c1", "c2"]
    world.write("c1", "bob")
    assert (found(live, "ann"), found(live, "bob")) == (["c2"], ["c1"])
    world.write("c2", None)
    assert found(live, "ann") == []
    assert live.get("card", "c2") is None
    assert (live.position("card", "c1"), live.position("card", "c2")) == (2, -1)
    assert world.views.positions() == {TOPIC: 3}


def test_an_index_value_that_many_share_loads_fast_and_shrinks_again(world: World) -> None:
    live = world.views.live()
    ids = [f"c{at:05}" for at in range(20_000)]
    for id_ in reversed(ids):
        world.write(id_, "ann")
    assert found(live, "ann") == ids
    for id_ in ids[1:]:
        world.write(id_, None)
    assert found(live, "ann") == ids[:1]
    world.write(ids[0], "bob")
    assert found(live, "ann") == []
    assert "ann" not in world.views._tables["card"].indexes["owner"]


def test_a_record_is_decoded_when_first_used_and_once(world: World) -> None:
    for at in range(100):
        world.write(f"c{at}", "ann")
    assert world.decoded == 0
    live = world.views.live()
    assert live.get("card", "c1") is live.get("card", "c1")
    assert world.decoded == 1


def test_a_past_view_shows_what_held_then(world: World) -> None:
    world.write("c1", "ann")
    world.write("c1", "bob")
    world.write("c2", "ann")
    world.write("c1", None)
    world.write("c1", "cid")
    expected = {
        -1: ([], [], [], None),
        0: (["c1"], [], [], "ann"),
        1: ([], ["c1"], [], "bob"),
        2: (["c2"], ["c1"], [], "bob"),
        3: (["c2"], [], [], None),
        4: (["c2"], [], ["c1"], "cid"),
    }
    for position, (ann, bob, cid, owner) in expected.items():
        view = world.views.as_of({TOPIC: position})
        assert (found(view, "ann"), found(view, "bob"), found(view, "cid")) == (ann, bob, cid)
        card = view.get("card", "c1")
        assert (card and card["owner"]) == owner


def test_records_known_already_are_ignored(world: World) -> None:
    record = world.write("c1", "ann")
    world.write("c1", "bob")
    world.views.tables.apply(TOPIC, [record])
    assert found(world.views.live(), "bob") == ["c1"]


async def test_a_load_reads_to_the_end_seen(world: World) -> None:
    for at in range(1_200):
        world.write(f"c{at}", "ann")
    views = world.fresh()
    assert not views.loaded
    await views.tables.load(world.client)
    assert views.loaded
    assert views.positions() == {TOPIC: 1_199}
    assert len(found(views.live(), "ann")) == 1_200


async def test_replaced_versions_are_forgotten_after_ten_minutes_and_read_again_where_needed(world: World) -> None:
    world.write("c1", "ann")
    world.write("c2", "ann")
    world.write("c1", "bob")
    world.write("c2", None)
    world.clock.move(KEPT_MS / 1000 + 1)
    world.write("c3", "ann")
    table = world.views._tables["card"]
    assert table.replaced == {}
    assert "c2" not in table.rows
    prepared = await world.views.prepare(world.client, {TOPIC: 1})
    view = world.views.as_of({TOPIC: 1}, prepared)
    assert found(view, "ann") == ["c1", "c2"]
    later = world.views.as_of({TOPIC: 2}, prepared)
    assert (found(later, "ann"), found(later, "bob")) == (["c2"], ["c1"])
    assert await world.views.prepare(world.client, {TOPIC: 4}) == {}


async def test_a_fresh_process_knows_the_last_ten_minutes_from_the_topic(world: World) -> None:
    world.write("c1", "ann")
    world.clock.move(3_600)
    world.write("c1", "bob")
    world.clock.move(60)
    views = world.fresh()
    await views.tables.load(world.client)
    assert await views.prepare(world.client, {TOPIC: 0}) == {}
    assert found(views.as_of({TOPIC: 0}), "ann") == ["c1"]


def test_a_record_that_cannot_be_decoded_is_absent(world: World) -> None:
    world.views.tables.apply(TOPIC, [world.broker.publish(TOPIC, "c1", b"{bad", partition=0)])
    assert world.views.live().get("card", "c1") is None
    assert found(world.views.live(), "ann") == []
    world.write("c1", "ann")
    assert found(world.views.live(), "ann") == ["c1"]


async def test_a_machine_waits_until_its_references_are_as_new_as_its_last_owners(world: World) -> None:
    world.write("c1", "ann")
    assert world.views.reached({TOPIC: 0})
    assert not world.views.reached({TOPIC: 1})


def test_what_was_worked_out_is_forgotten_when_a_record_changes(world: World) -> None:
    live = world.views.live()
    world.write("c1", "ann")
    live.derived["cards of ann"] = found(live, "ann")
    world.write("c2", "ann")
    assert live.derived == {}


def test_a_past_view_shares_nothing_worked_out_with_the_present(world: World) -> None:
    world.write("c1", "ann")
    world.views.live().derived["cards of ann"] = 1
    assert world.views.as_of(world.views.positions()).derived == {}


@pytest.mark.parametrize("value", [b"[]", b"7", b"null", b"{}", b"[" * 100_000, b"\xff"])
def test_a_record_of_any_other_shape_is_absent(world: World, value: bytes) -> None:
    def decode(data: bytes) -> str:
        return str(json.loads(data).get("owner")["name"])

    def names(data: bytes) -> Iterable[str]:
        return [json.loads(data).get("owner")["name"]]

    specs = [ReferenceTable("card", TOPIC, decode, {"owner": names})]
    views = ReferenceTables(specs, world.clock).views(specs)
    views.tables.apply(TOPIC, [world.broker.publish(TOPIC, "c1", value, partition=0)])
    good = world.broker.publish(TOPIC, "c2", b'{"owner": {"name": "ann"}}', partition=0)
    views.tables.apply(TOPIC, [good])
    assert views.live().get("card", "c1") is None
    assert views.live().find("card", "owner", "ann") == ("ann",)


def card_table(decode: Any = json.loads) -> ReferenceTable:
    return ReferenceTable("card", TOPIC, decode, {"owner": owners})


def test_machines_of_one_process_see_the_same_tables_each_with_thoughts_of_its_own(world: World) -> None:
    other = ReferenceTable("rate", "reference.rate", json.loads)
    tables = ReferenceTables([card_table(), other, card_table()], world.clock)
    cards, rates = tables.views([card_table()]), tables.views([other])
    tables.apply(TOPIC, [world.broker.publish(TOPIC, "c1", b'{"id": "c1", "owner": "ann"}', partition=0)])
    assert found(cards.live(), "ann") == ["c1"]
    assert (cards.topics, rates.topics) == ((TOPIC,), ("reference.rate",))
    both = tables.views([card_table(), other])
    assert both.live().get("card", "c1") is cards.live().get("card", "c1")
    for views in (cards, rates, both):
        views.live().derived["worked out"] = 1
    tables.apply(TOPIC, [world.broker.publish(TOPIC, "c1", None, partition=0)])
    assert [views.live().derived for views in (cards, rates, both)] == [{}, {"worked out": 1}, {}]


def test_a_topic_is_not_read_in_two_ways(world: World) -> None:
    with pytest.raises(ValueError, match="is to be read in two ways"):
        ReferenceTables([card_table(), card_table(decode=len)], world.clock)


def test_whoever_reads_a_topic_is_told_of_what_nobody_entitled_wrote(world: World) -> None:
    card = ReferenceTable("card", TOPIC, json.loads, authenticate=lambda _: None)
    other = ReferenceTable("rate", "reference.rate", json.loads)
    tables = ReferenceTables([card, other], world.clock)
    told: list[str] = []
    for name, specs in (("site", [card, other]), ("devices", [card]), ("alerts", [other])):
        tables.views(specs, lambda _, name=name: told.append(name))  # type: ignore[misc]
    tables.apply(TOPIC, [world.broker.publish(TOPIC, "c1", b"{}", partition=0)])
    assert told == ["site", "devices"]
