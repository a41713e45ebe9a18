"""Positions of what doorstream wrote, and a reader's marks that drop repeats.

The header `doorstream-position` of an output is `processor/incarnation/partition/number/index`: who decided it, in
which life of the broker, in which partition, in which journal entry, as which of that entry's outputs to that topic.
Counted per topic, positions tell who reads one topic nothing of what else was published.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

POSITION_HEADER = "doorstream-position"
SOURCE_POSITION_HEADER = "doorstream-source-position"
MARK_PREFIX = "~mark/"
_SOURCE = re.compile(rb"([A-Za-z0-9._-]{1,100})/(\d{1,18})/(\d{1,9})")
_NUMBER_DIGITS = 18
_INDEX_DIGITS = 9
"""Whoever may write to a topic may write any header: what no machine writes must not get into the state."""
_SOURCES_KEPT = 4_096
_PARTS = 3

Position = tuple[int, int, int]
"""Incarnation, number, index; a higher one is newer."""


def check_name(processor: str) -> None:
    """Refuse a processor's name that positions can't carry: readers would take its repeats for new.

    Raises:
        ValueError: it has other characters than letters, digits, `.`, `_` and `-`, or more than 100.
    """
    if _SOURCE.fullmatch(f"{processor}/1/0".encode()) is None:
        raise ValueError(
            f"{processor!r} can't be a processor's name: use at most 100 letters, digits, '.', '_' and '-'"
        )


def mark_key(topic: str, partition: int, header: bytes) -> tuple[str, Position] | None:
    """The key of the mark that a position header belongs to, and the position; None for a malformed header."""
    parts = header.rsplit(b"/", 2)
    if len(parts) != _PARTS:
        return None
    origin, number, index = parts
    if not (number.isdigit() and len(number) <= _NUMBER_DIGITS and index.isdigit() and len(index) <= _INDEX_DIGITS):
        return None
    source = _source(topic, partition, origin)
    return None if source is None else (source[0], (source[1], int(number), int(index)))


@lru_cache(_SOURCES_KEPT)
def _source(topic: str, partition: int, origin: bytes) -> tuple[str, int] | None:
    """The key of a mark and the incarnation: what all positions of one decider have in common."""
    found = _SOURCE.fullmatch(origin)
    if found is None:
        return None
    name, incarnation, decider = found.groups()
    return f"{MARK_PREFIX}{topic}/{partition}/{name.decode()}/{int(decider)}", int(incarnation)


class Marks:
    """The highest position seen per topic partition, processor and deciding partition.

    `get` and `set` keep the marks elsewhere (in a state store, so that they are recovered); by default in memory.
    """

    def __init__(
        self, get: Callable[[str], Any] | None = None, put: Callable[[str, Position], object] | None = None
    ) -> None:
        own: dict[str, Position] = {}
        self._get = get or own.get
        self._put = put or own.__setitem__

    def accept(self, topic: str, partition: int, header: bytes | None) -> bool:
        """Whether the record is new; a record without a (well-formed) header always is."""
        if header is None:
            return True
        parsed = mark_key(topic, partition, header)
        if parsed is None:
            return True
        key, position = parsed
        seen = self._get(key)
        if seen is not None and position <= seen:
            return False
        self._put(key, position)
        return True
