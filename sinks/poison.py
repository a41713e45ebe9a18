"""Writing around the records that a store can't take, so that one of them never stops the others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from schemas.faults import kind_and_place
from schemas.record import Record
from schemas.registry import decode
from sinks.reading import UNSTORABLE, Skipped, why_unread

MOST_A_BATCH = 50
"""Records of one batch that may be given up. More are no bad records but a bad release, which must stop."""
MOST_A_SENDER = 10
"""Of those, so many count of one sender, however many more there are."""
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
    """What a sink passes over of a batch: each record once, however often it is come to.

    Whoever found a message that can't be stored may send it by the thousand, and everybody else's must still be stored.
    So of one sender (a device, else a record's key) `MOST_A_SENDER` count at most: it takes several to stop a store.
    """

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._found: dict[tuple[str, int, int], Skipped] = {}
        self._senders: Counter[str | bytes | None] = Counter()

    def add(self, record: Record, reason: str, error: str) -> bool:
        """A record that the sink does without, whoever is to blame; gives whether it is come to for the first time."""
        place = (record.topic, record.partition, record.offset)
        known = place in self._found
        self._found[place] = Skipped(self._sink, record, reason, error[:_SHORT_TEXT])
        return not known

    def unread(self, record: Record, error: ValueError) -> None:
        """A record of which there is no message.

        Raises:
            TooManyUnstorable: as `refused` does.
        """
        reason = why_unread(error)
        if self.add(record, reason, str(error)) and reason == UNSTORABLE:
            self._blame(record.key, error)  # who sent it is among what could not be read

    def failed(self, record: Record, error: Exception) -> None:
        """A message of which no row can be made: tried again, that would fail again.

        Raises:
            TooManyUnstorable: as `refused` does.
        """
        if self.add(record, UNSTORABLE, f"making its row: {kind_and_place(error)}"):
            self._blame(_sender(record), error)

    def refused(self, record: Record, error: Exception) -> None:
        """A record whose row the store does not take.

        Raises:
            TooManyUnstorable: more than `MOST_A_BATCH` count.
        """
        if self.add(record, UNSTORABLE, str(error)):
            self._blame(_sender(record), error)

    def tell(self, on_skipped: OnSkipped) -> None:
        """Tell of each."""
        for skipped in self._found.values():
            on_skipped(skipped)

    def _blame(self, sender: str | bytes | None, last: Exception) -> None:
        self._senders[sender] = min(self._senders[sender] + 1, MOST_A_SENDER)
        if self._senders.total() > MOST_A_BATCH:
            raise TooManyUnstorable(
                f"more than {MOST_A_BATCH} records of a batch, of {len(self._senders)} senders, can't be stored, the "
                f"last with: {last}: run `doorstream db status`, or go back to the release before"
            ) from last


def _sender(record: Record) -> str | bytes | None:
    """The device that a message is of, else its key."""
    try:
        device_id: str | None = getattr(decode(record.topic, record.value or b""), "device_id", None)
    except (ValueError, LookupError):
        device_id = None
    return device_id or record.key


async def write_around(
    write: Callable[[Sequence[Record]], Awaitable[None]],
    records: Sequence[Record],
    poison: tuple[type[Exception], ...],
    passed_over: PassedOver,
) -> int:
    """Write a batch; where it is refused with `poison`, its halves, down to the records that are refused alone.

    Those are passed over; gives how many. The order stays, so that positions only rise.

    Raises:
        TooManyUnstorable: more are refused than can be put down to bad messages.
    """
    refused = 0
    waiting = [records] if records else []
    while waiting:
        part = waiting.pop()
        try:
            await write(part)
        except poison as error:
            if len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            passed_over.refused(part[0], error)
            refused += 1
    return refused
