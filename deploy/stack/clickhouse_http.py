"""ClickHouse's HTTP interface over a chDB folder: `python -m deploy.stack.clickhouse_http --path ... --port ...`.

It speaks what clickhouse-connect, curl and Grafana use. It has no users: whoever may run a program on this machine may
ask it, web pages may not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import uuid
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.stack.clickhouse_engine import Engine, QueryError, Result
from deploy.stack.clickhouse_requests import read_query, result_format
from deploy.stack.model import HOST

ENGINE = web.AppKey("engine", Engine)

_MAX_BODY_BYTES = 1 << 30
_SHUTDOWN_S = 1.0
_LOCAL_HOSTS = frozenset({HOST, "localhost", "::1"})

# As ClickHouse's HTTPHandler maps exception codes to HTTP; all others are 500.
_BAD_REQUEST = frozenset({6, 26, 27, 38, 41, 53, 62, 69, 72, 117, 130, 131, 456, 457})
_NOT_FOUND = frozenset({16, 46, 47, 50, 56, 60, 63, 73, 81, 115, 336})
_TIME_OUT = 159

_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
}
_PLAIN = "text/plain; charset=UTF-8"


def http_status(code: int) -> int:
    """The HTTP status that ClickHouse gives to an exception code."""
    if code in _NOT_FOUND:
        return 404
    if code in _BAD_REQUEST:
        return 400
    return 408 if code == _TIME_OUT else 500


async def answer_query(request: web.Request) -> web.Response:
    """Run the query of a request and answer as ClickHouse does."""
    query_id = request.query.get("query_id") or str(uuid.uuid4())
    try:
        query = await read_query(request)
        if not query.text.strip():
            return web.Response(text="Ok.\n", headers={"X-ClickHouse-Query-Id": query_id})
        result = await request.app[ENGINE].run(query)
    except QueryError as error:
        headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(status=http_status(error.code), text=f"{error}\n", headers=headers)
    headers = {
        "Content-Type": _PLAIN,
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "doorstream-chdb",
        "X-ClickHouse-Summary": summary(result),
    }
    shown = result_format(query, result)
    if shown is not None:
        headers |= {"Content-Type": _CONTENT_TYPES.get(shown, _PLAIN), "X-ClickHouse-Format": shown}
    return web.Response(body=result.data, headers=headers)


def summary(result: Result) -> str:
    """The summary header: JSON with every number as a string."""
    numbers = {
        "read_rows": result.rows_read,
        "read_bytes": result.bytes_read,
        "written_rows": result.rows_written,
        "written_bytes": result.bytes_written,
        "total_rows_to_read": 0,
        "result_rows": result.rows_written,
        "result_bytes": len(result.data),
        "elapsed_ns": result.elapsed_ns,
    }
    return json.dumps({name: str(number) for name, number in numbers.items()})


async def answer_ping(_request: web.Request) -> web.Response:
    """Say that the front is there; no query is needed for that, so a long one doesn't delay it."""
    return web.Response(text="Ok.\n")


@web.middleware
async def refuse_web_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn away what a browser sends for a web page: a foreign Origin, or a name that was made to point here."""
    if "Origin" in request.headers or request.url.host not in _LOCAL_HOSTS:
        return web.Response(status=403, text="This is a local database: web pages may not use it.\n")
    return await handler(request)


def application(engine: Engine) -> web.Application:
    """The front of an engine, without a port."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[refuse_web_pages])
    app[ENGINE] = engine
    app.router.add_get("/ping", answer_ping)
    app.router.add_get("/replicas_status", answer_ping)
    app.router.add_get("/", answer_query)
    app.router.add_post("/", answer_query)
    return app


async def serve(path: Path, port: int) -> None:
    """Serve the folder until SIGTERM or SIGINT, then close it cleanly."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    engine = Engine(path)
    await engine.open()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Bodies are decompressed by `clickhouse_requests`; a client that goes away takes its running read with it.
    runner = web.AppRunner(
        application(engine),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
        auto_decompress=False,
        handler_cancellation=True,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        await stopping.wait()
    finally:
        await runner.cleanup()
        await engine.close()


def main(arguments: list[str] | None = None) -> int:
    """Serve one folder on one port of 127.0.0.1."""
    parser = argparse.ArgumentParser(description="ClickHouse's HTTP interface over a chDB folder.")
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args(arguments)
    asyncio.run(serve(given.path, given.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
