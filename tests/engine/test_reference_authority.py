"""Reference records that nobody entitled wrote count as never written, whoever reads them and whenever."""

from __future__ import annotations

import json

import pytest

from schemas.record import Record
from streams.core.processor import ReferenceTable
from streams.engine.memory import ManualClock, MemoryBroker, MemoryClient
from streams.engine.reference_table import KEPT_MS
from streams.engine.references import ReferenceTables, ReferenceViews

TOPIC = "reference.card"


def until_of(record: Record) -> int | None:
    header = record.header("until")
    return int(header) if header is not None else None


class Cards:
    """Cards that may be written by whoever says until when; the broker stamps."""

    def __init__(self, *, stamps: bool = True) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock, stamps=stamps)
        self.refused: list[int] = []
        self.stamps = stamps
        self.views = self.fresh()

    def fresh(self) -> ReferenceViews:
        table = ReferenceTable("card", TOPIC, json.loads, {"owner": lambda data: [json.loads(data)]}, until_of)
        tables = ReferenceTables([table], self.clock, stamps=self.stamps)
        return tables.views([table], lambda one: self.refused.append(one.offset))

    def write(self, owner: str | None, *, until_s: float | None = 60) -> None:
        until = () if until_s is None else (("until", str(self.clock.now_ms() + int(until_s * 1000)).encode()),)
        value = None if owner is None else json.dumps(owner).encode()
        self.views.tables.apply(TOPIC, [self.broker.publish(TOPIC, "c1", value, until, 0)])

    def again(self, offset: int) -> None:
        old = self.broker.log(TOPIC, 0).records[offset]
        self.views.tables.apply(TOPIC, [self.broker.publish(TOPIC, "c1", old.value, old.headers, 0)])

    @property
    def owner(self) -> str | None:
        owner: str | None = self.views.live().get("card", "c1")
        return owner


@pytest.fixture
def cards() -> Cards:
    return Cards()


def test_a_record_that_nobody_entitled_wrote_replaces_nothing_and_is_found_nowhere(cards: Cards) -> None:
    cards.write("ann")
    cards.write("eve", until_s=None)
    assert cards.owner == "ann"
    assert list(cards.views.live().find("card", "owner", "eve")) == []
    assert cards.refused == [1]
    cards.write(None, until_s=None)
    assert cards.owner == "ann", "it removes nothing either"
    assert cards.views.positions() == {TOPIC: 2}, "nobody waits for what counts as never written"


def test_an_old_version_published_again_does_not_come_back(cards: Cards) -> None:
    cards.write("ann")
    cards.clock.move(1)
    cards.write("bob")
    cards.again(0)
    assert cards.owner == "bob"
    cards.clock.move(1)
    cards.write(None)
    cards.again(1)
    assert cards.owner is None
    assert cards.refused == [2, 4]


def test_what_is_appended_after_its_end_does_not_count_however_long_ago_it_was_removed(cards: Cards) -> None:
    cards.write("ann")
    cards.write(None)
    cards.clock.move(2 * KEPT_MS / 1000)
    cards.write(None)
    cards.again(0)
    assert cards.owner is None


def test_without_the_brokers_stamp_a_load_takes_what_ended_long_ago() -> None:
    cards = Cards(stamps=False)
    cards.write("ann")
    cards.clock.move(3600)
    views = cards.fresh()
    views.tables.apply(TOPIC, list(cards.broker.records(TOPIC)))
    assert views.live().get("card", "c1") == "ann"


async def test_a_past_view_read_again_from_the_topic_leaves_out_the_same(cards: Cards) -> None:
    cards.write("ann")
    cards.write("eve", until_s=None)
    cards.clock.move(2 * KEPT_MS / 1000)
    cards.write("bob")
    cards.clock.move(2 * KEPT_MS / 1000)
    cards.write("cid")
    at = {TOPIC: 1}
    prepared = await cards.views.prepare(MemoryClient(cards.broker), at)
    assert prepared
    assert cards.views.as_of(at, prepared).get("card", "c1") == "ann"
