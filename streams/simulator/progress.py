"""What a run looks like at one moment, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """Counts so far; `rate` is requests per second just now, latencies are of the last few hundred commands.

    `doors` has each door's state (`open`, `granted`, `denied`, `offline`, `shut`), `last` the last decisions as lines.
    """

    elapsed_s: float
    seconds: float
    requests: int
    granted: int
    denied: int
    commands: int
    confirmed: int
    waiting: int
    rate: float
    p50_ms: float
    p99_ms: float
    doors: Mapping[str, str] = field(default_factory=dict)
    last: Sequence[str] = ()
