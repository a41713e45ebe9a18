"""The numbers of the backlog: only what is above all before is new, and a batch sent again is recognised.

A controller whose acknowledgements were lost sends its whole batch once more. So that this is no replay, one byte of
the content of each of the last `WINDOW` numbers is kept, through restarts of the controller: enough to tell a repeat
from a number used twice, 254 times of 255, and neither is ever acted on.
"""

from __future__ import annotations

import msgspec

from streams.core.entities import DeviceState

WINDOW = 1024
MOST_BOOTS = 16
"""Earlier boots whose numbers are still known; of more, the oldest is forgotten."""

_UNUSED = b"\0"
"""Stands for a number that was passed over; no content's digest."""


def take(heard: DeviceState, boot: int, sequence: int, digest: bytes) -> DeviceState | str | None:
    """The state after a new number; None for a repeat; else why it is a replay."""
    given, highest = (boot, sequence), (heard.backlog_boot, heard.backlog_highest)
    if given > highest:
        return _advance(heard, boot, sequence, _kept_of(digest))
    age = _age(heard, boot, sequence)
    at = len(heard.backlog_digests) - 1 - age if age is not None else -1
    before = heard.backlog_digests[at : at + 1] if at >= 0 else _UNUSED
    if before == _UNUSED:
        return f"backlog number {sequence} is not above {heard.backlog_highest}"
    return None if before == _kept_of(digest) else f"backlog number {sequence} was used before"


def _advance(heard: DeviceState, boot: int, sequence: int, digest: bytes) -> DeviceState:
    first, earlier = heard.backlog_first, heard.backlog_earlier
    passed_over = 0
    if boot == heard.backlog_boot:
        passed_over = min(sequence - heard.backlog_highest - 1, WINDOW)
    else:
        if heard.backlog_boot >= 0:
            earlier = (*earlier, (heard.backlog_boot, first, heard.backlog_highest))[-MOST_BOOTS:]
        first = sequence
    kept = (heard.backlog_digests + _UNUSED * passed_over + digest)[-WINDOW:]
    return msgspec.structs.replace(
        heard,
        backlog_boot=boot,
        backlog_highest=sequence,
        backlog_digests=kept,
        backlog_first=first,
        backlog_earlier=earlier,
    )


def _age(heard: DeviceState, boot: int, sequence: int) -> int | None:
    """How many numbers ago that one was given; None where nobody knows."""
    newer = 0
    runs = (*heard.backlog_earlier, (heard.backlog_boot, heard.backlog_first, heard.backlog_highest))
    for of_boot, first, last in reversed(runs):
        if boot == of_boot and first <= sequence <= last:
            return newer + last - sequence
        newer += last - first + 1
    return None


def _kept_of(digest: bytes) -> bytes:
    return digest[:1] if digest[:1] != _UNUSED else b"\x01"
