"""The inputs of journal entries, read again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.record import Record
from streams.core.processor import Processor, Tick
from streams.engine.errors import HaltedError
from streams.engine.journal import Entry
from streams.engine.ports import Logs


class Replay:
    """The inputs of journal entries, read again in one go per topic."""

    def __init__(self, processor: Processor, logs: Logs, index: int, entries: Sequence[Entry]) -> None:
        self._processor = processor
        self._logs = logs
        self._index = index
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        for entry in entries:
            for taken in entry.chunks:
                self._first.setdefault(taken.topic, taken.start)
                self._last[taken.topic] = taken.stop
        self._records: dict[str, list[Record]] = {}
        self._at: dict[str, int] = dict.fromkeys(self._first, 0)

    async def read(self) -> None:
        """Read all of them.

        Raises:
            HaltedError: the inputs no longer reach back far enough.
        """
        logs = self._logs
        for topic, start in self._first.items():
            bounds = await logs.bounds(topic, self._index)
            if bounds.start > start or bounds.end < self._last[topic]:
                msg = f"{topic}/{self._index} has offsets {bounds.start} to {bounds.end}, the journal needs {start} to"
                raise HaltedError(f"{msg} {self._last[topic]}: restore the topic, or lengthen its retention")
            records = self._records[topic] = []
            async for batch in logs.read(topic, self._index, start, self._last[topic]):
                records.extend(batch)

    def causes(self, entry: Entry) -> list[Record | Tick]:
        """The causes of the next entry, not decoded, in the order in which they were decided."""
        ticks = [Tick(tick.key, tick.deadline_ms) for tick in entry.ticks]
        before: list[Record] = []
        after: list[Record] = []
        first = self._processor.inputs[0]
        for taken in entry.chunks:
            (before if taken.topic == first else after).extend(self._run(taken.topic, taken.stop, taken.fetched_ms))
        return [*before, *ticks, *after]

    def _run(self, topic: str, stop: int, fetched_ms: int) -> list[Record]:
        records, at = self._records[topic], self._at[topic]
        found: list[Record] = []
        while at < len(records) and records[at].offset < stop:
            record = records[at]
            if not self._logs.stamps:
                record = msgspec.structs.replace(record, timestamp_ms=fetched_ms)
            found.append(record)
            at += 1
        self._at[topic] = at
        return found
