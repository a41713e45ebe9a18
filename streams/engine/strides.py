"""How far recoveries of a partition have come; what an earlier attempt had reached already is no progress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from schemas.record import Record
from streams.engine.ports import Bounds, Logs


class Strides:
    """`furthest` grows where a recovery comes further than every one since the partition last journalled an entry."""

    def __init__(self) -> None:
        self.furthest = 0
        self._taken = 0
        self._first_epoch: int | None = None

    def forget(self) -> None:
        """The partition has journalled an entry: whatever comes is another recovery."""
        self.furthest = self._taken = 0
        self._first_epoch = None

    def begin(self, epoch: int) -> int:
        """An attempt begins, whose `opened` has that offset; gives the offset of the first attempt's."""
        self._taken = 0
        if self._first_epoch is None:
            self._first_epoch = epoch
        return self._first_epoch

    def take(self, count: int = 1) -> None:
        """So much of a recovery's work is done."""
        self._taken += count
        self.furthest = max(self.furthest, self._taken)


class CountedLogs(Logs):
    """The logs as one recovery reads them; each record is a stride.

    What the attempts append to the journal themselves, from `opened` on, is no way to get further.
    """

    def __init__(self, logs: Logs, strides: Strides, journal: str, opened: int) -> None:
        self._logs = logs
        self._strides = strides
        self._journal = journal
        self._opened = opened

    @property
    def stamps(self) -> bool:
        """As the logs have it."""
        return self._logs.stamps

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Where a partition begins and ends now."""
        return await self._logs.bounds(topic, partition)

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        """The records with start <= offset < stop, in order, in batches."""
        async for records in self._logs.read(topic, partition, start, stop):
            if topic == self._journal:
                self._strides.take(sum(record.offset < self._opened for record in records))
            else:
                self._strides.take(len(records))
            yield records
