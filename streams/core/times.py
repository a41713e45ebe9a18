"""Times as the core handles them: Unix milliseconds, with bounds that include their start and exclude their end."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

MOMENTS_KEPT = 1_024
"""All that is decided in one cycle has the same time: the last few are kept ready."""

_EARLIEST_MS = round(datetime(2, 1, 1, tzinfo=UTC).timestamp() * 1000)
_LATEST_MS = round(datetime(9998, 12, 31, tzinfo=UTC).timestamp() * 1000)
"""A device's clock may show anything; between these, every time zone still has a calendar."""


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of a moment."""
    return min(max(round(moment.timestamp() * 1000), _EARLIEST_MS), _LATEST_MS)


@lru_cache(MOMENTS_KEPT)
def from_ms(milliseconds: int) -> datetime:
    """The moment, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def rfc3339(moment: datetime) -> str:
    """A moment as CloudEvents headers have it."""
    # Equal moments of other zones are written differently.
    return _rfc3339_utc(moment) if moment.tzinfo is UTC else moment.isoformat()


@lru_cache(MOMENTS_KEPT)
def _rfc3339_utc(moment: datetime) -> str:
    return moment.isoformat()


def not_yet(valid_from: datetime | None, at_ms: int) -> bool:
    """Whether a validity that begins there has not begun."""
    return valid_from is not None and at_ms < to_ms(valid_from)


def over(valid_until: datetime | None, at_ms: int) -> bool:
    """Whether a validity that ends there has ended."""
    return valid_until is not None and at_ms >= to_ms(valid_until)
