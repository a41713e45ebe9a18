"""Taking in messages a few at a time, where the last owner of a partition got no further at an input.

A message may kill the process (memory, native code) before anything of it is journalled: while it is decoded, while it
is asked what it needs, while a secret of it is verified, or when it is decided for the first time. The next owner would
fetch and die again. So an owner whose predecessor took nothing from an input takes what waits there in short runs, and
journals each (`journal.Arriving`) before it looks into it: the next owner knows at which run somebody died, takes that
one message by message, and passes over a message at which it died alone, too. No other message costs a record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from schemas.record import Record
from streams.engine.journal import Span

RUN_RECORDS = 64
CAUTIOUS_RECORDS = 10_000
"""Of an input topic partition: more than an owner holds in memory, so that the culprit is among them."""
FATAL_DEATHS = 2
TURN_S = 10.0
"""Partitions of a process wait so long for their turn: many that are slow must not look as if they stood still."""


@asynccontextmanager
async def alone(turn: asyncio.Lock) -> AsyncIterator[None]:
    """Do what may kill the process while no other partition of it says the same of itself, where that is soon."""
    mine = False
    with suppress(TimeoutError):
        async with asyncio.timeout(TURN_S):
            mine = await turn.acquire()
    try:
        yield
    finally:
        if mine:
            turn.release()


class Caution:
    """What one owner takes in cautiously.

    `deaths` counts the owners that died at a run; `until` has, by input topic, the offset where caution ends.
    """

    def __init__(self, deaths: Mapping[Span, int], until: Mapping[str, int]) -> None:
        self._deaths = deaths
        self._until = until

    def runs(self, topic: str, records: Sequence[Record]) -> Iterator[tuple[bool, Sequence[Record]]]:
        """The records in order, in runs, each with whether it is to be announced."""
        until, at = self._until.get(topic, 0), 0
        while at < len(records):
            first = records[at].offset
            if first >= until:
                yield False, records[at:]
                return
            end = at + 1
            if not self._suspects(topic, first):
                while end < min(len(records), at + RUN_RECORDS) and self._alike(topic, records[end].offset, until):
                    end += 1
            yield not self.passes(topic, first), records[at:end]
            at = end

    def _alike(self, topic: str, offset: int, until: int) -> bool:
        return offset < until and not self._suspects(topic, offset)

    def _suspects(self, topic: str, offset: int) -> list[Span]:
        return [span for span in self._deaths if span[0] == topic and span[1] <= offset < span[2]]

    def deaths(self, topic: str, offset: int) -> int:
        """How many owners died when they looked into that message."""
        return max((self._deaths[span] for span in self._suspects(topic, offset)), default=0)

    def passes(self, topic: str, offset: int) -> bool:
        """Whether a message killed often enough, the last time when it was alone."""
        return self._deaths.get((topic, offset, offset + 1), 0) >= FATAL_DEATHS
