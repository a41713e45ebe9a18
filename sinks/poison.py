"""Writing around the records that a store can't take, so that one of them never stops the others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from schemas.faults import kind_and_place
from schemas.record import Record
from sinks.reading import UNSTORABLE, Skipped, why_unread

MOST_A_BATCH = 50
"""Records of one batch that may be given up. More are no bad records but a bad release, which must stop."""
_SHORT_TEXT = 200

logger = logging.getLogger(__name__)
OnSkipped = Callable[[Skipped], None]


class TooManyUnstorable(Exception):  # noqa: N818 - a state of the release
    """So many records can't be stored that something else is wrong; nothing more is given up."""


def log_skipped(skipped: Skipped) -> None:
    """The least that is told of a record that was passed over; never what is in it."""
    record = skipped.record
    logger.warning(
        "%s passes over %s/%s/%s: %s: %s",
        skipped.sink, record.topic, record.partition, record.offset, skipped.reason, skipped.error,
    )  # fmt: skip


class PassedOver:
    """What a sink passes over of a batch: each record once, however often it is come to."""

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._found: dict[tuple[str, int, int], Skipped] = {}

    def add(self, record: Record, reason: str, error: str) -> None:
        """A record that the sink does without."""
        place = (record.topic, record.partition, record.offset)
        self._found[place] = Skipped(self._sink, record, reason, error[:_SHORT_TEXT])

    def unread(self, record: Record, error: ValueError) -> None:
        """A record of which there is no message.

        Raises:
            TooManyUnstorable: as `failed` does.
        """
        self.add(record, why_unread(error), str(error))
        self._check(error)

    def failed(self, record: Record, error: Exception) -> None:
        """A message of which no row can be made: tried again, that would fail again.

        Raises:
            TooManyUnstorable: more than `MOST_A_BATCH` are.
        """
        self.add(record, UNSTORABLE, f"making its row: {kind_and_place(error)}")
        self._check(error)

    def tell(self, on_skipped: OnSkipped) -> None:
        """Tell of each."""
        for skipped in self._found.values():
            on_skipped(skipped)

    def _check(self, last: Exception) -> None:
        _check_limit(sum(one.reason == UNSTORABLE for one in self._found.values()), last)


async def write_around(
    write: Callable[[Sequence[Record]], Awaitable[None]],
    records: Sequence[Record],
    poison: tuple[type[Exception], ...],
) -> list[tuple[Record, Exception]]:
    """Write a batch; where it is refused with `poison`, its halves, down to the records that are refused alone.

    Gives those. The order stays, so that positions only rise.

    Raises:
        TooManyUnstorable: more than `MOST_A_BATCH` are refused.
    """
    found: list[tuple[Record, Exception]] = []
    waiting = [records]
    while waiting:
        part = waiting.pop()
        try:
            await write(part)
        except poison as error:
            if len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            found.append((part[0], error))
            _check_limit(len(found), error)
    return found


def _check_limit(found: int, last: Exception) -> None:
    if found > MOST_A_BATCH:
        raise TooManyUnstorable(
            f"more than {MOST_A_BATCH} records of a batch can't be stored, the last with: {last}: run "
            "`doorstream db status`, or go back to the release before"
        ) from last
