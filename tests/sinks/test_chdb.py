"""`chdb:<folder>`: a folder is a ClickHouse like any other."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import down
from sinks.clickhouse import ClickHouseSink
from sinks.migrate import migrate_clickhouse
from sinks.queries import clickhouse_counts
from sinks.reading import SinkUnavailable
from tests.sinks.records import a_day

INCARNATION = 1_772_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as base:
        place = Path(base) / "history"
        yield place
        asyncio.run(down(place))


async def test_a_folder_keeps_the_history_and_is_served_again_when_its_server_was_stopped(folder: Path) -> None:
    url = f"chdb:{folder}"
    assert await migrate_clickhouse(url)
    sink = ClickHouseSink(url)
    day = a_day(20)
    await sink.write(INCARNATION, day)
    assert (await clickhouse_counts(url)).decisions == 20
    await down(folder)
    with pytest.raises(SinkUnavailable):
        await sink.write(INCARNATION, day)
    await sink.write(INCARNATION, day)
    await sink.close()
    assert (await clickhouse_counts(url)).decisions == 20
    assert await migrate_clickhouse(url) == []


async def test_two_that_ask_at_once_find_one_server(folder: Path) -> None:
    sinks = [ClickHouseSink(f"chdb:{folder}") for _ in range(2)]
    await migrate_clickhouse(f"chdb:{folder}")
    await asyncio.gather(*(sink.write(INCARNATION, a_day(10)) for sink in sinks))
    assert (await clickhouse_counts(f"chdb:{folder}")).decisions == 10
    for sink in sinks:
        await sink.close()


async def test_a_folder_that_cannot_be_made_is_told(folder: Path) -> None:
    folder.parent.joinpath("file").write_text("", encoding="utf-8")
    with pytest.raises(SinkUnavailable, match="give another folder"):
        await migrate_clickhouse(f"chdb:{folder.parent}/file/below")
