"""A token bucket: so many at once, then so many a minute."""

from __future__ import annotations

import math
from typing import NamedTuple

MINUTE_MS = 60_000


class Rate(NamedTuple):
    """`burst` messages at once, then `per_minute`."""

    burst: int
    per_minute: int

    def refilled(self, tokens: float, since_ms: int, now_ms: int) -> float:
        """The tokens now, of those at `since_ms`."""
        return min(float(self.burst), tokens + max(0, now_ms - since_ms) * self.per_minute / MINUTE_MS)

    def full_ms(self, tokens: float, now_ms: int) -> int:
        """When the bucket is full again."""
        return now_ms + math.ceil((self.burst - tokens) * MINUTE_MS / self.per_minute)

    def next_ms(self, tokens: float, now_ms: int) -> int:
        """When there is a whole token."""
        return now_ms + max(0, math.ceil((1 - tokens) * MINUTE_MS / self.per_minute))
