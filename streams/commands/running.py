"""What every command shares: its exit codes, its one-line errors, and JSON for machines."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import asyncpg
import typer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from deploy.stack import StackError
from streams.engine.kafka_cluster import ClusterError, ClusterUnreachableError
from streams.settings import Settings, SettingsError, load_settings

T = TypeVar("T")
_SURROGATES = re.compile("[\ud800-\udfff]")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option of every command that prints data."""

FOUND_WRONG = 1
WRONG_USE = 2
UNREACHABLE = 3


class CommandError(Exception):
    """A command can't do what was asked: one line with the fix, and the exit code."""

    def __init__(self, line: str, code: int = FOUND_WRONG) -> None:
        super().__init__(line)
        self.code = code


def fail(line: str, code: int) -> NoReturn:
    """Say what is wrong in one line on stderr, and end."""
    sys.stderr.write(f"doorstream: {' '.join(line.split())}\n")
    raise typer.Exit(code)


def settings_or_fail(**overrides: Any) -> Settings:
    """The settings; a wrong one ends the command."""
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        fail(str(error), WRONG_USE)


_KNOWN_ERRORS: tuple[tuple[type[BaseException], int, str], ...] = (
    (KeyboardInterrupt, FOUND_WRONG, "stopped by Ctrl-C"),
    (SettingsError, WRONG_USE, "{error}"),
    (StackError, FOUND_WRONG, "{error}"),
    (ClusterUnreachableError, UNREACHABLE, "{error}"),
    (ClusterError, FOUND_WRONG, "{error}"),
    (KafkaConnectionError, UNREACHABLE, "Kafka does not answer ({error}): check DOORSTREAM_KAFKA, or `stack up`"),
    (NodeNotReadyError, UNREACHABLE, "Kafka does not answer ({error}): check DOORSTREAM_KAFKA, or `stack up`"),
    (RequestTimedOutError, UNREACHABLE, "Kafka does not answer in time: check DOORSTREAM_KAFKA, or `stack up`"),
    (UnknownTopicOrPartitionError, FOUND_WRONG, "a topic is missing: run `doorstream topics apply`"),
    (KafkaError, FOUND_WRONG, "Kafka refused: {error!r}"),
    (asyncpg.UndefinedTableError, FOUND_WRONG, "{error}: run `doorstream db migrate`"),
    (asyncpg.InterfaceError, UNREACHABLE, "PostgreSQL: {error}: check DOORSTREAM_POSTGRES"),
    (asyncpg.PostgresError, UNREACHABLE, "PostgreSQL: {error}: check DOORSTREAM_POSTGRES"),
    (ClickHouseError, UNREACHABLE, "ClickHouse: {error}: check DOORSTREAM_CLICKHOUSE"),
    (OSError, UNREACHABLE, "a server does not answer ({error}): check the settings, or `doorstream stack up`"),
)
"""Which exception ends a command with which exit code and line; the first that fits counts."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on an event loop; known errors end it with their exit code."""
    with one_line_errors():
        return asyncio.run(work)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Known errors inside end the command: one line on stderr, and their exit code."""
    try:
        yield
    except CommandError as error:
        fail(str(error), error.code)
    except tuple(kind for kind, _code, _line in _KNOWN_ERRORS) as error:
        for kind, code, line in _KNOWN_ERRORS:
            if isinstance(error, kind):
                fail(line.format(error=error)[:600], code)
        raise


def unexpected(error: Exception) -> NoReturn:
    """Say of an error that nobody expected what it is and where; with DOORSTREAM_LOG_LEVEL=debug its whole trace."""
    if os.environ.get("DOORSTREAM_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    text = f"{type(error).__name__}: {error}"[:300]
    fail(f"a defect of doorstream ({text}, at {place}): DOORSTREAM_LOG_LEVEL=debug shows all of it", FOUND_WRONG)


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    text = json.dumps(data, ensure_ascii=False, default=str)
    # Half a surrogate pair, which JSON may hold, is no UTF-8: written as JSON's own escape.
    say(text if text.isascii() or not _SURROGATES.search(text) else json.dumps(data, default=str))


def say(line: str = "") -> None:
    """One line on stdout. Where nobody reads it any more (`| head`), the command is done."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def hint(line: str) -> None:
    """Progress and remarks go to stderr, so that stdout can be piped."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
