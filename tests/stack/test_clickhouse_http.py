"""The chDB front speaks as much of ClickHouse's HTTP interface as clickhouse-connect, curl and Grafana use."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import clickhouse_connect
import cramjam
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from deploy.stack.clickhouse import answers
from deploy.stack.clickhouse_engine import as_query_error
from deploy.stack.processes import free_port

TABLE = """
    CREATE TABLE IF NOT EXISTS {name} (id UInt32, door String, at DateTime64(3, 'UTC'))
    ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100
"""
ROWS: list[list[Any]] = [[number, f"hq-d{number % 3:02}", datetime(2026, 3, 2, 9, tzinfo=UTC)] for number in range(300)]
COLUMNS = ["id", "door", "at"]


class Front:
    """The front as a process over one folder."""

    def __init__(self, path: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["--path", str(path), "--port", str(self.port)]
        self.process = subprocess.Popen([sys.executable, "-m", "deploy.stack.clickhouse_http", *arguments])
        asyncio.run(answers(self.url + "/"))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    started = Front(tmp_path_factory.mktemp("clickhouse"))
    yield started
    assert started.end() == 0


@pytest.fixture
def client(front: Front) -> Iterator[Any]:
    made = clickhouse_connect.get_client(host="127.0.0.1", port=front.port)
    yield made
    made.close()


@pytest.fixture
async def http(front: Front) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(front.url) as session:
        yield session


@pytest.fixture
def table(client: Any, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name).replace("[", "_").replace("]", "")
    client.command(TABLE.format(name=name))
    return name


def count(client: Any, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


def test_clickhouse_connect_inserts_and_reads_native_blocks(client: Any, table: str) -> None:
    summary = client.insert(table, ROWS, column_names=COLUMNS)
    assert summary.written_rows == 300
    found = client.query(
        f"SELECT id, door FROM {table} WHERE door = {{door:String}} AND id < {{below:UInt32}} ORDER BY id",
        parameters={"door": "hq-d01", "below": 8},
    )
    assert found.result_rows == [(1, "hq-d01"), (4, "hq-d01"), (7, "hq-d01")]
    assert found.column_names == ("id", "door")


@pytest.mark.parametrize("value", ["it's", "tab\there", "line\nbreak", "back\\slash", "", "Tür 東"])
def test_parameters_come_back_as_they_were(client: Any, value: str) -> None:
    assert client.query("SELECT {it:String}", parameters={"it": value}).result_rows == [(value,)]


def test_parameters_may_be_arrays_and_null(client: Any) -> None:
    found = client.query(
        "SELECT {many:Array(String)}, {none:Nullable(String)}, {at:DateTime64(3, 'UTC')}",
        parameters={"many": ["a", "b'c"], "none": None, "at": datetime(2026, 3, 2, tzinfo=UTC)},
    )
    assert found.result_rows[0][:2] == (["a", "b'c"], None)


@pytest.mark.parametrize("method", ["gzip", "lz4", "zstd"])
def test_compressed_inserts_are_understood(front: Front, client: Any, table: str, method: str) -> None:
    compressed = clickhouse_connect.get_client(host="127.0.0.1", port=front.port, compress=method)
    compressed.insert(table, ROWS, column_names=COLUMNS)
    compressed.close()
    assert count(client, table) == 300


def test_a_deduplication_token_makes_a_repeated_insert_count_once_in_table_and_view(client: Any, table: str) -> None:
    client.command(
        f"CREATE TABLE {table}_sums (door String, n UInt64) ENGINE = SummingMergeTree ORDER BY door"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    client.command(
        f"CREATE MATERIALIZED VIEW {table}_view TO {table}_sums AS SELECT door, count() AS n FROM {table} GROUP BY door"
    )
    for _ in range(3):
        client.insert(table, ROWS, column_names=COLUMNS, settings={"insert_deduplication_token": "block-1"})
    assert count(client, table) == 300
    assert client.query(f"SELECT sum(n) FROM {table}_sums").result_rows == [(300,)]

    client.insert(table, ROWS, column_names=COLUMNS, settings={"insert_deduplication_token": "block-2"})
    assert count(client, table) == 600


def test_a_token_of_one_insert_does_not_stick_to_the_next(client: Any, table: str) -> None:
    client.insert(table, ROWS[:1], column_names=COLUMNS, settings={"insert_deduplication_token": "once"})
    client.insert(table, ROWS[1:2], column_names=COLUMNS)
    client.insert(table, ROWS[2:3], column_names=COLUMNS)
    assert count(client, table) == 3


def test_a_setting_holds_for_its_own_query_only(client: Any) -> None:
    asked = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    before = client.query(asked).result_rows
    assert client.query(asked, settings={"max_block_size": 777}).result_rows == [("777",)]
    assert client.query(asked).result_rows == before


async def test_a_session_keeps_its_settings_and_database_from_others(http: aiohttp.ClientSession) -> None:
    async def ask(query: str, **more: str) -> str:
        async with http.post("/", params=more, data=query) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.text()).strip()

    value = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    await ask("CREATE DATABASE IF NOT EXISTS elsewhere")
    await ask("SET max_block_size = 1234", session_id="mine")
    await ask("USE elsewhere", session_id="mine")
    assert await ask(value, session_id="mine") == "1234"
    assert await ask("SELECT currentDatabase()", session_id="mine") == "elsewhere"
    assert await ask(value) != "1234"
    assert await ask("SELECT currentDatabase()") == "default"
    assert await ask("SELECT currentDatabase()", database="elsewhere") == "elsewhere"


@pytest.mark.parametrize(
    ("query", "status", "code", "begins"),
    [
        ("SELECT * FROM nowhere", 404, 60, "Code: 60. DB::Exception: Unknown table expression identifier 'nowhere'"),
        ("SELEC 1", 400, 62, "Code: 62. DB::Exception: Syntax error"),
        ("SELECT throwIf(number = 90000) FROM numbers(100000)", 500, 395, "Code: 395. DB::Exception: Value passed to"),
        ("SELECT 1 FORMAT Nonsense", 404, 73, "Code: 73. DB::Exception"),
        ("SELECT {missing:String}", 400, 456, "Code: 456. DB::Exception"),
        ("SET nonsense = 1", 404, 115, "Code: 115. DB::Exception: Unknown setting 'nonsense'"),
    ],
)
async def test_errors_look_as_clickhouse_writes_them(
    http: aiohttp.ClientSession, query: str, status: int, code: int, begins: str
) -> None:
    async with http.post("/", data=query) as answer:
        text = await answer.text()
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
        assert text.startswith(begins)
        assert "\n0\n" not in text


def test_clickhouse_connect_raises_the_error_with_its_text(client: Any) -> None:
    with pytest.raises(DatabaseError, match="Code: 60"):
        client.query("SELECT * FROM nowhere")


async def test_the_interface_that_curl_uses(http: aiohttp.ClientSession) -> None:
    async with http.get("/", params={"query": "SELECT 1 AS one", "default_format": "JSONEachRow"}) as answer:
        assert json.loads(await answer.text()) == {"one": 1}
        assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    async with http.get("/", params={"query": "SELECT 1 FORMAT CSV", "query_id": "q-1"}) as answer:
        assert await answer.text() == "1\n"
        assert answer.headers["X-ClickHouse-Format"] == "CSV"
        assert answer.headers["X-ClickHouse-Query-Id"] == "q-1"
    async with http.post("/", data="SELECT {n:UInt8} + 1", params={"param_n": "41"}) as answer:
        assert await answer.text() == "42\n"
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["result_bytes"] == "3"
    async with http.get("/") as answer:
        assert await answer.text() == "Ok.\n"


async def test_rows_may_come_in_the_body_of_an_insert(http: aiohttp.ClientSession, client: Any, table: str) -> None:
    into = f"INSERT INTO {table} (id, door)"
    line = b'{"id": 1, "door": "hq-d01"}\n'
    for body, headers in (
        (line, {}),
        (gzip.compress(line.replace(b"1,", b"2,")), {"Content-Encoding": "gzip"}),
        (bytes(cramjam.lz4.compress(line.replace(b"1,", b"3,"))), {"Content-Encoding": "lz4"}),
    ):
        async with http.post("/", params={"query": f"{into} FORMAT JSONEachRow"}, data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    async with http.post("/", data=f"{into} FORMAT CSV\n4,hq-d04\n5,hq-d05\n") as answer:
        assert answer.status == 200
    assert client.query(f"SELECT groupArray(id) FROM (SELECT id FROM {table} ORDER BY id)").result_rows == [
        ([1, 2, 3, 4, 5],)
    ]


async def test_what_is_not_served_is_refused_clearly(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data=b"SELECT 1", headers={"Content-Encoding": "snappy"}) as answer:
        assert (answer.status, "use gzip, deflate, lz4 or zstd" in await answer.text()) == (500, True)
    async with http.post("/", params={"decompress": "1"}, data=b"x") as answer:
        assert "Code: 48." in await answer.text()
    async with http.get("/", params={"query": "SELECT 1", "nonsense": "1"}) as answer:
        assert (answer.status, "Unknown setting 'nonsense'" in await answer.text()) == (404, True)
    async with http.get("/", params={"query": "CREATE TABLE made_by_get (a Int8) ENGINE = Memory"}) as answer:
        assert (answer.status, "Code: 164." in await answer.text()) == (500, True)


@pytest.mark.parametrize("headers", [{"Origin": "https://example.org"}, {"Host": "example.org"}])
async def test_web_pages_are_turned_away(http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with http.post("/", data="SELECT 1", headers=headers) as answer:
        assert answer.status == 403


async def test_a_long_read_does_not_delay_a_ping(http: aiohttp.ClientSession) -> None:
    async def long_read() -> float:
        query = "SELECT sleepEachRow(0.3) FROM numbers(5) SETTINGS max_block_size = 1 FORMAT Null"
        async with http.post("/", data=query) as answer:
            await answer.read()
        return time.monotonic()

    reading = asyncio.create_task(long_read())
    await asyncio.sleep(0.2)
    async with http.get("/ping") as answer:
        assert await answer.text() == "Ok.\n"
    ponged = time.monotonic()
    assert await reading - ponged > 0.5


async def test_the_async_client_works_too(front: Front) -> None:
    client = await clickhouse_connect.get_async_client(host="127.0.0.1", port=front.port)
    try:
        await client.command(TABLE.format(name="from_async"))
        await client.insert("from_async", ROWS, column_names=COLUMNS)
        found = await client.query("SELECT count(), max(at) FROM from_async")
        assert found.result_rows[0][0] == 300
    finally:
        await client.close()


def test_many_threads_may_ask_at_once(front: Front) -> None:
    async def ask_all() -> list[str]:
        async with aiohttp.ClientSession(front.url) as session:

            async def ask(number: int) -> str:
                async with session.post("/", data=f"SELECT {number}", params={"max_threads": "1"}) as answer:
                    return await answer.text()

            return await asyncio.gather(*(ask(number) for number in range(50)))

    assert asyncio.run(ask_all()) == [f"{number}\n" for number in range(50)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_acknowledged_rows_survive_the_end_of_the_process(tmp_path: Path, number: signal.Signals) -> None:
    for expected in (300, 600):
        front = Front(tmp_path)
        client = clickhouse_connect.get_client(host="127.0.0.1", port=front.port)
        client.command(TABLE.format(name="kept"))
        client.insert("kept", ROWS, column_names=COLUMNS, settings={"insert_deduplication_token": str(expected)})
        assert count(client, "kept") == expected
        client.close()
        assert front.end(number) == (0 if number == signal.SIGTERM else -number)


def test_what_chdb_had_already_written_is_cut_off_an_error() -> None:
    error = as_query_error("Code: 395. DB::Exception: Value: 1. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)\n0\n0\n")
    assert str(error) == "Code: 395. DB::Exception: Value: 1. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"
    assert as_query_error("something else").code == 1002


def test_the_front_listens_on_this_machine_alone(front: Front) -> None:
    listening = {
        fields[1]
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path(f"/proc/{front.process.pid}/net/{table}").read_text().splitlines())
        if fields[3:4] == ["0A"] and fields[1].endswith(f":{front.port:04X}")
    }
    assert listening == {f"0100007F:{front.port:04X}"}
    assert os.getpid() != front.process.pid
