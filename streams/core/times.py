"""Times as the core handles them: Unix milliseconds, with bounds that include their start and exclude their end."""

from __future__ import annotations

from datetime import UTC, datetime


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of a moment."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The moment, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def not_yet(valid_from: datetime | None, at_ms: int) -> bool:
    """Whether a validity that begins there has not begun."""
    return valid_from is not None and at_ms < to_ms(valid_from)


def over(valid_until: datetime | None, at_ms: int) -> bool:
    """Whether a validity that ends there has ended."""
    return valid_until is not None and at_ms >= to_ms(valid_until)
