"""What all sinks share: each record decoded once, and times that both stores hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from schemas.canonical import Canonical
from schemas.record import Record
from sinks import reading
from sinks.clickhouse_rows import row_of
from sinks.reading import OUR_TOPICS, Messages, within
from tests.sinks.records import EXAMPLES, Topics, a_day, as_we_write


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets of all that is decoded."""
    offsets: list[int] = []
    decode = reading._message

    def counting(record: Record) -> object:
        offsets.append(record.offset)
        return decode(record)

    monkeypatch.setattr(reading, "_message", counting)
    return offsets


def test_two_sinks_that_read_the_same_records_decode_each_once(decoded: list[int]) -> None:
    day = a_day(40)
    messages = Messages(readers=2)
    first = list(messages.read(day))
    second = list(messages.read(day))
    assert len(decoded) == len(day)
    assert [(id(record), id(message)) for record, message in first] == [(id(r), id(m)) for r, m in second]
    assert messages._kept == {}


def test_equal_records_that_are_fetched_again_are_not_taken_for_the_first(decoded: list[int]) -> None:
    messages = Messages(readers=2)
    list(messages.read(a_day(5)))
    again = a_day(5)
    assert [record for record, _ in messages.read(again)] == again
    assert len(decoded) == 2 * len(again)


def test_a_sink_that_stays_away_fills_no_memory_and_shares_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    monkeypatch.setattr(reading, "_KEPT_RECORDS", 90)
    messages = Messages(readers=2)
    for _ in range(5):
        list(messages.read(a_day(30)))
        assert len(messages._kept) <= 90
    for _ in range(5):
        day = a_day(5)
        decoded.clear()
        list(messages.read(day))
        list(messages.read(day))
    assert len(decoded) == len(day)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        (datetime(1970, 6, 1, tzinfo=UTC), datetime(1970, 6, 1, tzinfo=UTC)),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=timezone(-timedelta(hours=14))), datetime(2200, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_kept_within_what_both_stores_hold(told: datetime, kept: datetime) -> None:
    assert within(told) == kept


@pytest.mark.parametrize(
    "path",
    sorted(one for topic in OUR_TOPICS for one in (EXAMPLES / topic).rglob("*.json")),
    ids=lambda path: f"{path.parts[-3]}-{path.stem}-{path.parts[-2]}",
)
def test_what_is_read_in_its_own_form_becomes_the_same_row_of_history(path: Path) -> None:
    topics = Topics()
    topics.add(path.parts[-3], path.read_bytes())
    ((_, message),) = Messages().read(topics.records)
    (ours,) = as_we_write(topics.records)
    ((_, mirrored),) = Messages().read([ours])
    assert isinstance(mirrored, Canonical)
    assert row_of(mirrored, ours) == row_of(message, topics.records[0])
