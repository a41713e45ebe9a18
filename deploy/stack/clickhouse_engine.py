"""The one owner of a chDB folder. Every statement gets a connection of its own, so none sees what another has left.

A connection costs a fifth of a millisecond. One that is used again hands the output of a failed query to the next.
Statements that write run one after the other in one thread; those that read run beside them, so an analyst's long
query holds up neither the inserts nor the next reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.stack import clickhouse_inserts

UNKNOWN_EXCEPTION = 1002
UNKNOWN_SETTING = 115
READONLY = 164
SYNTAX_ERROR = 62
NOT_IMPLEMENTED = 48

READERS = 4
"""Reading statements that run at once."""

_ERROR = re.compile(r"Code: (\d+)\. (.*?\(([A-Z][A-Z0-9_]+)\))(?=\n|$| \(version)", re.DOTALL)
_LEADING = re.compile(rb"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_SET = re.compile(r"SET\s+(?!ROLE\b|DEFAULT\b|TRANSACTION\b)(.+?)\s*;?\s*\Z", re.DOTALL | re.IGNORECASE)
_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s,;']+)\s*(?:,\s*|\Z)")
_USE = re.compile(r"USE\s+(?:`([^`]+)`|(\w+))\s*;?\s*\Z", re.IGNORECASE)
_READS = frozenset({b"SELECT", b"WITH", b"SHOW", b"DESCRIBE", b"DESC", b"EXPLAIN", b"EXISTS", b"FROM", b"CHECK"})
_KEPT = frozenset({b"SET", b"USE"})
_QUEUE_ENGINE = re.compile(rb"\bENGINE\s*=\s*(Kafka|RabbitMQ|NATS)\b", re.IGNORECASE)
_KILL_EVERY_S = 0.1


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

    @property
    def statement(self) -> bytes:
        """The text without the white space and comments in front of it."""
        found = _LEADING.match(self.text)
        return self.text[found.end() :] if found else self.text

    @property
    def reads(self) -> bool:
        """Whether it answers with rows. `WITH ... INSERT` is taken for one that does, and only queues as one."""
        return _keyword(self.statement) in _READS


@dataclass(frozen=True)
class Result:
    """A result's bytes in the asked format, and what it took."""

    data: bytes = b""
    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    bytes_written: int = 0
    elapsed_ns: int = 0


@dataclass
class _Session:
    database: str = ""
    settings: dict[str, str] = field(default_factory=dict)


class Engine:
    """chDB over one folder. Settings and databases of one caller are not seen by the next."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chdb-write")
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="chdb-read")
        self._killer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chdb-kill")
        self._chdb: Any = None
        self._open_folder: Any = None
        self._sessions: dict[str, _Session] = {}

    async def open(self) -> None:
        """Open the folder.

        Raises:
            QueryError: chDB can't open it; another process may own it.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._open)

    async def run(self, query: Query) -> Result:
        """Run a statement. When the caller is cancelled, so is a statement that reads.

        Raises:
            QueryError: ClickHouse refused it.
        """
        reads = query.reads
        tag, ended = str(uuid.uuid4()), threading.Event()
        pool = self._readers if reads else self._writer
        work = pool.submit(self._run, query, tag, ended)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            # One that has not begun never will; one that writes is left to end.
            if not work.cancel() and reads:
                self._killer.submit(self._kill, tag, ended)
            raise

    async def close(self) -> None:
        """End what reads, let what writes finish, and close the folder."""
        await asyncio.to_thread(self._close)

    def _open(self) -> None:
        # Imported by the thread that uses it: half a gigabyte that the event loop doesn't wait for.
        import chdb  # noqa: PLC0415

        self._chdb = chdb._chdb  # noqa: SLF001 - the public session neither takes bytes nor tells statements apart
        try:
            # The folder stays open as long as one connection does.
            self._open_folder = self._chdb.connect(self._path)
            _ask(self._open_folder, b"SELECT 1")
        except RuntimeError as error:
            raise as_query_error(str(error)) from None

    def _close(self) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._killer.shutdown(wait=True)
        self._writer.shutdown(wait=True, cancel_futures=True)
        self._readers.shutdown(wait=True)
        if self._open_folder is not None:
            self._open_folder.close()
            self._open_folder = None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        connection = self._chdb.connect(self._path)
        try:
            yield connection
        finally:
            connection.close()

    def _run(self, query: Query, tag: str, ended: threading.Event) -> Result:
        started = time.perf_counter_ns()
        session = self._sessions.get(query.session) or _Session()
        database = query.database or session.database
        settings = {**session.settings, **query.settings, "log_comment": tag}
        try:
            with self._connection() as connection:
                if database:
                    _ask(connection, f"USE `{database.replace('`', '``')}`".encode())
                pairs = ", ".join(f"{name} = '{_escaped(value)}'" for name, value in settings.items())
                _ask(connection, f"SET {pairs}".encode())
                if query.only_read:
                    _ask(connection, b"SET readonly = 2")
                return self._answer(connection, query, session, started)
        finally:
            ended.set()

    def _answer(self, connection: Any, query: Query, session: _Session, started: int) -> Result:
        statement = query.statement
        keyword = _keyword(statement)
        if keyword == b"INSERT" and not query.parameters and (insert := clickhouse_inserts.split(statement)):
            return _insert(connection, insert, started)
        if _QUEUE_ENGINE.search(statement) and keyword in (b"CREATE", b"ATTACH"):
            raise refusal(
                NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "chDB can't read queues, and the attempt spoils its folder"
            )
        if connection.classify_query(statement)["statement_count"] > 1:
            raise refusal(SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        got = _ask(connection, statement, query.output_format, query.parameters)
        if keyword in _KEPT and query.session:
            _keep(statement.decode(errors="replace"), session)
            self._sessions[query.session] = session
        return Result(
            data=bytes(got.bytes() or b""),
            rows_read=int(got.storage_rows_read()),
            bytes_read=int(got.storage_bytes_read()),
            rows_written=int(got.rows_written()),
            bytes_written=int(got.bytes_written()),
            elapsed_ns=time.perf_counter_ns() - started,
        )

    def _kill(self, tag: str, ended: threading.Event) -> None:
        """End a statement that nobody waits for; again, as it may not have begun yet."""
        while not ended.wait(_KILL_EVERY_S):
            with contextlib.suppress(QueryError), self._connection() as connection:
                _ask(connection, f"KILL QUERY WHERE Settings['log_comment'] = '{tag}' ASYNC".encode())


def _insert(connection: Any, insert: clickhouse_inserts.Insert, started: int) -> Result:
    try:
        stream = connection.send_insert(insert.statement, insert.data_format)
        if insert.data:
            connection.insert_append(stream, insert.data)
        done = connection.insert_done(stream)
    except RuntimeError as error:
        raise as_query_error(str(error)) from None
    rows, size = int(done.rows_written()), int(done.bytes_written())
    return Result(b"", rows, size, rows, size, time.perf_counter_ns() - started)


def _ask(connection: Any, text: bytes, output_format: str = "Null", parameters: dict[str, str] | None = None) -> Any:
    try:
        return connection.query(text, output_format, params=parameters or {})
    except RuntimeError as error:
        raise as_query_error(str(error)) from None


def _keep(text: str, session: _Session) -> None:
    """Remember a SET or USE that chDB has accepted, for the statements of its session."""
    if used := _USE.match(text):
        session.database = used[1] or used[2]
    elif found := _SET.match(text):
        session.settings.update({name: _unquoted(value) for name, value in _PAIR.findall(found[1])})


def as_query_error(text: str) -> QueryError:
    """The error that chDB's text names. What chDB had already written of the result is cut off."""
    found = _ERROR.match(text)
    if found is None:
        return refusal(UNKNOWN_EXCEPTION, "UNKNOWN_EXCEPTION", text)
    return QueryError(int(found[1]), found[0])


def refusal(code: int, name: str, text: str) -> QueryError:
    """An error of the front itself, in ClickHouse's form."""
    return QueryError(code, f"Code: {code}. DB::Exception: {text}. ({name})")


def _keyword(statement: bytes) -> bytes:
    words = statement[:64].replace(b"(", b" ").split(None, 1)
    return words[0].upper() if words else b""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith("'") else value
