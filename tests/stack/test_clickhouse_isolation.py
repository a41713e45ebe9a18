"""What one caller of the chDB front does is not seen, waited for or paid for by another."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.stack import StackOptions, status, up
from deploy.stack.clickhouse_inserts import split

LONG_READ = "SELECT sum(sipHash64(number)) FROM numbers(40000000000)"
FAILS_LATE = "SELECT throwIf(number = 1000000) FROM numbers(2000000)"


class Client:
    """Asks the front the way curl does."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def ask(self, text: str | bytes, method: str = "POST", **parameters: str) -> tuple[int, bytes]:
        async with self.http.request(method, "/", data=text, params=parameters) as answer:
            return answer.status, await answer.read()

    async def rows(self, query: str) -> int:
        answered, data = await self.ask(query)
        assert answered == 200, data
        return int(data)


async def until(ask: Callable[[], Awaitable[Any]], wanted: object, of: Callable[[Any], object] = lambda it: it) -> None:
    """Ask until the answer is the wanted one; give up after eight seconds."""
    async with asyncio.timeout(8):
        while of(await ask()) != wanted:  # noqa: ASYNC110 - another process's state sets no event here
            await asyncio.sleep(0.05)


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    endpoints = await up(StackOptions(folder, with_kafka=False, with_postgres=False, owner_pid=os.getpid()))
    async with aiohttp.ClientSession(endpoints.clickhouse) as http:
        made = Client(http)
        await made.ask("CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
        yield made


async def test_data_may_hold_line_feeds_and_statements(client: Client) -> None:
    _, block = await client.ask(
        "SELECT toUInt32(0x0a0a0a0a) a, '\\n\\nDROP TABLE t;\\n\\n' s FROM numbers(3) FORMAT Native"
    )
    assert b"\n\nDROP TABLE t;\n\n" in block
    assert await client.ask(block, query="INSERT INTO t (a, s) FORMAT Native") == (200, b"")
    assert await client.ask(b"INSERT INTO t FORMAT Native\n" + block) == (200, b"")
    assert (await client.ask(b'INSERT INTO t FORMAT JSONEachRow\n{"a":1}\n\n{"a":2,"s":";"}\n'))[0] == 200
    assert (await client.ask("INSERT INTO t VALUES (3, 'a;b'), (2 + 2, 'c');"))[0] == 200
    assert await client.rows("SELECT count() FROM t") == 10


async def test_a_failed_query_leaves_nothing_in_the_next_answer(client: Client) -> None:
    assert (await client.ask(FAILS_LATE))[0] == 500
    assert await client.ask("SELECT 5") == (200, b"5\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_second_statement_is_refused(client: Client, method: str) -> None:
    answered, text = await client.ask(b"", method, query="SELECT 1; DROP TABLE t")
    assert answered == 400
    assert text.startswith(b"Code: 62.")
    assert await client.rows("EXISTS t") == 1


@pytest.mark.parametrize(
    "writes", ["DROP TABLE t", "WITH 1 AS x INSERT INTO t SELECT x, ''", "INSERT INTO t VALUES (1, '')"]
)
async def test_what_only_may_read_can_not_write(client: Client, writes: str) -> None:
    assert (await client.ask(b"", "GET", query=writes))[1].startswith(b"Code: 164.")
    assert (await client.ask(writes, readonly="1"))[1].startswith(b"Code: 164.")
    assert await client.rows("SELECT count() FROM t") == 0


async def test_an_insert_does_not_wait_for_a_long_read(client: Client) -> None:
    reading = asyncio.create_task(client.ask(LONG_READ))
    await asyncio.sleep(0.3)
    assert (await asyncio.wait_for(client.ask("INSERT INTO t VALUES (1, '')"), timeout=5))[0] == 200
    assert await asyncio.wait_for(client.rows("SELECT count() FROM t"), timeout=5) == 1
    assert not reading.done()
    reading.cancel()


async def test_a_read_that_nobody_waits_for_is_ended(client: Client) -> None:
    running = "SELECT count() FROM system.processes WHERE query LIKE '%40000000000%' AND query NOT LIKE '%processes%'"
    reading = asyncio.create_task(client.ask(LONG_READ))
    await until(lambda: client.rows(running), 1)
    reading.cancel()
    await until(lambda: client.rows(running), 0)


async def test_a_long_read_does_not_hold_up_the_end(client: Client, folder: Path) -> None:
    reading = asyncio.create_task(client.ask(LONG_READ))
    await asyncio.sleep(0.3)
    pid = status(folder).part("clickhouse").pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    await until(lambda: asyncio.to_thread(status, folder), "stale", lambda found: found.part("clickhouse").state)
    with pytest.raises(aiohttp.ClientError):
        await reading


async def test_a_queue_engine_is_refused_as_it_would_spoil_the_folder(client: Client) -> None:
    answered, text = await client.ask("CREATE TABLE k (a String) ENGINE = Kafka SETTINGS kafka_topic_list = 'x'")
    assert (answered, text[:8]) == (500, b"Code: 48")
    assert await client.rows("EXISTS k") == 0


async def test_a_body_that_is_not_what_it_claims_is_refused(client: Client) -> None:
    for encoding, body in (("gzip", b"zzz"), ("deflate", b"zzz"), ("lz4", b"zzz"), ("zstd", b"zzz"), ("br", b"zzz")):
        async with client.http.post("/", data=body, headers={"Content-Encoding": encoding}) as answer:
            assert answer.headers["X-ClickHouse-Exception-Code"] == ("89" if encoding == "br" else "271")
    async with client.http.post("/", data=gzip.compress(b"SELECT 7"), headers={"Content-Encoding": "gzip"}) as answer:
        assert await answer.read() == b"7\n"


@pytest.mark.parametrize(
    ("head", "keyword", "data_format", "data"),
    [
        (b"INSERT INTO t ", b"FORMAT CSV\n", "CSV", b"1,2\n"),
        (b'insert into `a b`."format" (`values`, s) ', b"format Native\r\n", "Native", b"\n\n"),
        (
            b"INSERT INTO d.t /* FORMAT X */ (a) SETTINGS x = 'FORMAT Y' ",
            b"FORMAT JSONEachRow ",
            "JSONEachRow",
            b'{"a":1}',
        ),
        (b"INSERT INTO TABLE FUNCTION file('x', 'CSV', 'a Int8') ", b"VALUES", "Values", b" (1)"),
        (b"INSERT INTO values ", b"VALUES", "Values", b"('; FORMAT CSV')"),
    ],
)
def test_an_insert_is_taken_apart_where_its_data_begin(
    head: bytes, keyword: bytes, data_format: str, data: bytes
) -> None:
    found = split(head + keyword + data)
    assert found is not None
    assert (found.statement, found.data_format, found.data) == (head, data_format, data)


@pytest.mark.parametrize(
    "statement",
    [b"SELECT 1 FORMAT CSV", b"INSERT INTO t SELECT 1 FORMAT CSV", b"INSERT INTO t (a) WITH 1 AS x SELECT x",
     b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", b"INSERT INTO t", b"INSERT INTO t ('FORMAT CSV"],
)  # fmt: skip
def test_what_brings_no_data_is_left_whole(statement: bytes) -> None:
    assert split(statement) is None
