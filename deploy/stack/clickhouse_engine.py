"""The one owner of a chDB folder: queries with their settings, one after the other, in one thread."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNKNOWN_EXCEPTION = 1002
UNKNOWN_SETTING = 115
READONLY = 164

_ERROR = re.compile(r"Code: (\d+)\. (.*?\(([A-Z][A-Z0-9_]+)\))(?=\n|$| \(version)", re.DOTALL)
_LEADING = re.compile(rb"\A(?:\s+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_SET = re.compile(r"SET\s+(?!ROLE\b|DEFAULT\b|TRANSACTION\b)(.+?)\s*;?\s*\Z", re.DOTALL | re.IGNORECASE)
_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s,;']+)\s*(?:,\s*|\Z)")
_USE = re.compile(r"USE\s+(?:`([^`]+)`|(\w+))\s*;?\s*\Z", re.IGNORECASE)
_READS = frozenset({b"SELECT", b"WITH", b"SHOW", b"DESCRIBE", b"DESC", b"EXPLAIN", b"EXISTS", b"USE", b"SET", b"FROM"})
_ARGUMENT_BYTES = 4096
"""Statements longer than this are no SET and no USE: not worth decoding."""


class QueryError(Exception):
    """What ClickHouse answers instead of a result. The text begins with `Code: N. DB::Exception:`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Query:
    """One statement. `text` may carry data behind `FORMAT ...`; `parameters` are in ClickHouse's escaped form."""

    text: bytes
    database: str = ""
    session: str = ""
    output_format: str = "TabSeparated"
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    only_read: bool = False


@dataclass(frozen=True)
class Result:
    """A result's bytes in the asked format, and what it took."""

    data: bytes
    rows_read: int
    bytes_read: int
    rows_written: int
    bytes_written: int
    elapsed_ns: int


@dataclass
class _Session:
    database: str = "default"
    settings: dict[str, str] = field(default_factory=dict)


class Engine:
    """chDB in a thread of its own. Settings and databases of one caller are not seen by the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chdb")
        self._chdb: Any = None
        self._known: frozenset[str] = frozenset()
        self._database = "default"
        self._sessions: dict[str, _Session] = {}

    async def open(self) -> None:
        """Open the folder.

        Raises:
            QueryError: chDB can't open it; another process may own it.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def run(self, query: Query) -> Result:
        """Run a statement after those that were given before it.

        Raises:
            QueryError: ClickHouse refused it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, query)

    async def close(self) -> None:
        """Close the folder after the statements that were given before."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _open(self) -> None:
        # Imported by the thread that uses it: half a gigabyte that the event loop doesn't wait for.
        from chdb import session  # noqa: PLC0415

        self._chdb = session.Session(str(self._path))
        names = self._ask(b"SELECT name FROM system.settings", "TabSeparated").bytes()
        self._known = frozenset(bytes(names).decode().split())

    def _close(self) -> None:
        if self._chdb is not None:
            self._chdb.close()
            self._chdb = None

    def _run(self, query: Query) -> Result:
        statement = query.text[_leading(query.text) :]
        if query.only_read and statement.split(None, 1)[:1] and _keyword(statement) not in _READS:
            raise refusal(READONLY, "READONLY", "Cannot execute query in readonly mode: use POST for what modifies")
        session = self._sessions.setdefault(query.session, _Session()) if query.session else _Session()
        database = query.database or session.database
        settings = {**session.settings, **query.settings}
        unknown = next((name for name in query.settings if name not in self._known), None)
        if unknown is not None:
            raise refusal(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unknown setting '{unknown}'")
        if self._kept(statement, session):
            return Result(b"", 0, 0, 0, 0, 0)
        return self._with_settings(query, database, settings)

    def _kept(self, statement: bytes, session: _Session) -> bool:
        """Whether this was a SET or USE: checked by chDB, kept for the session, undone for everybody else."""
        if len(statement) > _ARGUMENT_BYTES or _keyword(statement) not in (b"SET", b"USE"):
            return False
        text = statement.decode(errors="replace")
        if used := _USE.match(text):
            name = used[1] or used[2]
            self._use(name)
            session.database = name
            return True
        if found := _SET.match(text):
            pairs = _PAIR.findall(found[1])
            if _PAIR.sub("", found[1]).strip():
                raise refusal(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Only SET name = value is understood, not: {text}")
            given = {name: _unquoted(value) for name, value in pairs}
            self._apply(given)
            session.settings.update(given)
            return True
        return False

    def _with_settings(self, query: Query, database: str, settings: dict[str, str]) -> Result:
        started = time.perf_counter_ns()
        self._use(database)
        if settings:
            self._set(settings)
        try:
            got = self._ask(query.text, query.output_format, query.parameters or None)
        finally:
            self._reset(settings)
        return Result(
            data=bytes(got.bytes() or b""),
            rows_read=int(got.storage_rows_read()),
            bytes_read=int(got.storage_bytes_read()),
            rows_written=int(got.rows_written()),
            bytes_written=int(got.bytes_written()),
            elapsed_ns=time.perf_counter_ns() - started,
        )

    def _apply(self, settings: dict[str, str]) -> None:
        """Let chDB check the values, without a lasting effect."""
        try:
            self._set(settings)
        finally:
            self._reset({name: "" for name in settings if name in self._known})

    def _set(self, settings: dict[str, str]) -> None:
        pairs = ", ".join(f"{name} = '{_escaped(value)}'" for name, value in settings.items())
        self._ask(f"SET {pairs}".encode(), "Null")

    def _reset(self, settings: dict[str, str]) -> None:
        if settings:
            self._ask(("SET " + ", ".join(f"{name} = DEFAULT" for name in settings)).encode(), "Null")

    def _use(self, database: str) -> None:
        if database != self._database:
            self._ask(f"USE `{database.replace('`', '``')}`".encode(), "Null")
            self._database = database

    def _ask(self, text: bytes, output_format: str, parameters: dict[str, str] | None = None) -> Any:
        try:
            return self._chdb.query(text, output_format, params=parameters)
        except Exception as error:  # noqa: BLE001 - chDB raises several kinds; each is an answer to the client
            raise as_query_error(str(error)) from None


def as_query_error(text: str) -> QueryError:
    """The error that chDB's text names. What chDB had already written of the result is cut off."""
    found = _ERROR.match(text)
    if found is None:
        return refusal(UNKNOWN_EXCEPTION, "UNKNOWN_EXCEPTION", text)
    return QueryError(int(found[1]), found[0])


def refusal(code: int, name: str, text: str) -> QueryError:
    """An error of the front itself, in ClickHouse's form."""
    return QueryError(code, f"Code: {code}. DB::Exception: {text}. ({name})")


def _leading(text: bytes) -> int:
    found = _LEADING.match(text)
    return found.end() if found else 0


def _keyword(statement: bytes) -> bytes:
    words = statement[:64].replace(b"(", b" ").split(None, 1)
    return words[0].upper() if words else b""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith("'") else value
