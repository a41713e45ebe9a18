"""What an HTTP request to ClickHouse asks for, as ClickHouse's HTTP interface defines it."""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import cramjam
from aiohttp import web
from multidict import MultiDict

from deploy.stack.clickhouse_engine import Query, Result, refusal

PARAMETER_PREFIX = "param_"

# Of the request itself, not of the query; or of ClickHouse's users, sessions and network, which chDB doesn't have.
_NO_SETTINGS = frozenset(
    [
        *("query", "database", "default_format", "query_id", "session_id", "session_timeout", "session_check"),
        *("close_session", "user", "password", "role", "quota_key", "quota", "stacktrace", "buffer_size", "compress"),
        *("decompress", "wait_end_of_query", "client_protocol_version", "readonly", "log_queries"),
        *("enable_http_compression", "http_zlib_compression_level", "http_headers_progress_interval_ms"),
        *("send_progress_in_http_headers", "cancel_http_readonly_queries_on_client_close"),
        *("http_write_exception_in_output_format", "network_compression_method"),
    ]
)
_UNKNOWN_COMPRESSION = 89
_CANNOT_DECOMPRESS = 271
_NOT_IMPLEMENTED = 48
_DECOMPRESSORS: dict[str, Callable[[bytes], Any]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": cramjam.lz4.decompress,
    "zstd": cramjam.zstd.decompress,
}
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\s[^;]*)?;?\s*\Z", re.IGNORECASE)
_FORMAT_BYTES = 1000
_DEFAULT_FORMAT = "TabSeparated"


async def read_query(request: web.Request) -> Query:
    """The query of a request: its `query` parameter, then its body.

    Raises:
        QueryError: the body is compressed in a way that is not understood, or holds external tables.
    """
    asked: MultiDict[str] = MultiDict(request.query)
    if request.content_type == "multipart/form-data":
        body = b""
        for name, value in (await request.post()).items():
            if not isinstance(value, str):
                raise refusal(_NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "External tables are not served by this front")
            asked[name] = value
    else:
        body = await _body(request)
    if asked.get("compress", "0") not in ("", "0") or asked.get("decompress", "0") not in ("", "0"):
        raise refusal(
            _NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "ClickHouse's own compression is not served; use Content-Encoding"
        )
    stated = asked.get("query", "").encode("utf-8", "surrogateescape")
    text = stated + b"\n" + body if stated and body else stated or body
    headers = request.headers
    return Query(
        text=text,
        database=asked.get("database", "") or headers.get("X-ClickHouse-Database", ""),
        session=asked.get("session_id", ""),
        output_format=asked.get("default_format", "") or headers.get("X-ClickHouse-Format", "") or _DEFAULT_FORMAT,
        settings=_settings(asked.items()),
        parameters={
            name.removeprefix(PARAMETER_PREFIX): value
            for name, value in asked.items()
            if name.startswith(PARAMETER_PREFIX)
        },
        only_read=request.method in ("GET", "HEAD") or asked.get("readonly", "0") not in ("", "0"),
    )


def result_format(query: Query, result: Result) -> str | None:
    """The format of the result: the statement's own, or the default one; None for a statement that answers nothing."""
    if not (query.reads or result.data):
        return None
    found = _FORMAT.search(query.text[-_FORMAT_BYTES:])
    return found[1].decode() if found else query.output_format


def _settings(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in items if name not in _NO_SETTINGS and not name.startswith(PARAMETER_PREFIX)}


async def _body(request: web.Request) -> bytes:
    """The body, decompressed."""
    raw = await request.read()
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity") or not raw:
        return raw
    decompress = _DECOMPRESSORS.get(encoding)
    if decompress is None:
        raise refusal(
            _UNKNOWN_COMPRESSION,
            "UNKNOWN_COMPRESSION_METHOD",
            f"Content-Encoding {encoding} is not understood; use gzip, deflate, lz4 or zstd",
        )
    try:
        return bytes(await asyncio.to_thread(decompress, raw))
    except (cramjam.DecompressionError, zlib.error, EOFError, OSError) as error:
        raise refusal(_CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"The body is not {encoding}: {error}") from None
