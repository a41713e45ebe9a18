"""The arithmetic of A4: when failures are too many, and how long the lock that they lead to lasts.

Times are Unix milliseconds. What is exactly `window_ms` older than the newest failure no longer counts. Failures may
come in any order; the newest alone says what is in the window.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.rules import LockoutLimits

Times = tuple[int, ...]


def with_failure(times: Times, at_ms: int, window_ms: int, most: int) -> Times:
    """The failures in the window that ends at the newest one, in order, at most the `most` newest."""
    every = sorted((*times, at_ms))
    after = every[-1] - window_ms
    return tuple([one for one in every if one > after][-most:])


def with_number(
    numbers: Iterable[tuple[int, int]], number: int, at_ms: int, newest_ms: int, window_ms: int, most: int
) -> tuple[tuple[int, int], ...]:
    """The different numbers tried in the window, each with its latest time, in that order, at most the newest ones."""
    latest = dict(numbers)
    latest[number] = max(at_ms, latest.get(number, at_ms))
    kept = sorted(((one, when) for one, when in latest.items() if when > newest_ms - window_ms), key=lambda x: x[::-1])
    return tuple(kept[-most:])


def would_be_over(limits: LockoutLimits, until_ms: int | None, at_ms: int, now_ms: int) -> bool:
    """Whether a lock of failures that are told late has nothing left; one without an end counts as a longest one."""
    return (at_ms + limits.longest_lock_s * 1000 if until_ms is None else until_ms) <= now_ms


def next_lock(limits: LockoutLimits, starts: Times, at_ms: int) -> tuple[int | None, Times]:
    """When a lock that begins at `at_ms` ends (None: when somebody ends it), and the starts that now count.

    The nth within the ladder's time lasts `lock_s * 2^(n-1)`, at most `longest_lock_s`; after `permanent_after` of them
    the next has no end.
    """
    counted = (*(one for one in starts if one > at_ms - limits.ladder_s * 1000), at_ms)
    number = len(counted)
    if number > limits.permanent_after:
        return None, counted
    return at_ms + min(limits.lock_s << (number - 1), limits.longest_lock_s) * 1000, counted
