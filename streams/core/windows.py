"""Which numbers of a sender have been seen: a window that slides with the highest, as in IPsec (RFC 4303, 3.4.3).

A window is an integer whose bit n stands for the number n below the highest.
"""

from __future__ import annotations

from enum import Enum


class Standing(Enum):
    """How a number stands to a window."""

    NEW = "new"
    SEEN = "seen"
    BELOW = "below"
    """So far below the highest that nobody knows."""


def standing(highest: int, window: int, number: int, size: int) -> Standing:
    """How a number stands to a window of `size` numbers."""
    behind = highest - number
    if behind >= size:
        return Standing.BELOW
    return Standing.SEEN if behind >= 0 and window >> behind & 1 else Standing.NEW


def slid(highest: int, window: int, number: int, size: int) -> tuple[int, int]:
    """The highest and the window with one more number, which is not below it."""
    ahead = number - highest
    if ahead <= 0:
        return highest, window | 1 << -ahead
    return number, (window << ahead) & ((1 << size) - 1) | 1 if ahead < size else 1


def to_bytes(window: int, size: int) -> bytes:
    """A window of `size` numbers as it is kept, in `size / 8` bytes."""
    return window.to_bytes(size // 8, "little")


def from_bytes(data: bytes) -> int:
    """The window that was kept so."""
    return int.from_bytes(data, "little")
