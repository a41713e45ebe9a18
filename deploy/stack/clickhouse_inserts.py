"""Where the data of an INSERT begin: chDB must get them apart from the statement.

Given in one piece, chDB takes inline data to end at the first empty line and what follows for the next statement, so a
binary block with two line feeds in it is refused, cut short or, at worst, obeyed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_INTO = re.compile(rb"INSERT\s+INTO\s+(?:TABLE\s+)?(?:FUNCTION\s+)?", re.IGNORECASE)
_NAME = rb"(?:`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.)*\"|\w+)"
_TARGET = re.compile(_NAME + rb"(?:\s*\.\s*" + _NAME + rb")?")
_TOKEN = re.compile(
    rb"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"|[()]|\w+|.", re.DOTALL
)
_FORMAT = re.compile(rb"\s+(\w+)[ \t]*\r?\n?")
_NO_DATA = frozenset({b"SELECT", b"WITH", b"FROM", b"WATCH"})


@dataclass(frozen=True)
class Insert:
    """An INSERT whose data come with it: the statement up to them, their format, and they themselves."""

    statement: bytes
    data_format: str
    data: bytes


def split(statement: bytes) -> Insert | None:
    """Take an INSERT apart; None for one without data of its own (INSERT ... SELECT, FROM INFILE) and for others.

    `statement` has no white space and no comment in front.
    """
    into = _INTO.match(statement)
    target = _TARGET.match(statement, into.end()) if into else None
    if target is None:
        return None
    depth, at = 0, target.end()
    while token := _TOKEN.match(statement, at):
        word, at = token[0].upper(), token.end()
        depth += (word == b"(") - (word == b")")
        if depth or word in b"()":
            continue
        if word in _NO_DATA:
            return None
        if word == b"VALUES":
            return Insert(statement[: token.start()], "Values", statement[at:].rstrip().removesuffix(b";"))
        if word == b"FORMAT" and (named := _FORMAT.match(statement, at)):
            return Insert(statement[: token.start()], named[1].decode(), statement[named.end() :])
    return None
