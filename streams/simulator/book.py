"""The book of a run: every request, what was decided, commanded and done about it, and how long that took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from schemas.places import AccessPoint
from streams.simulator.factors import Shown


class RequestKey(NamedTuple):
    """A request, or (`backlog`) the record of one that a controller decided alone: each has numbers of its own."""

    device_id: str
    boot: int
    sequence: int
    backlog: bool = False


@dataclass
class Asked:
    """What a controller published, plain as the people know it. `shut`: it decided alone at a door that is shut."""

    point: AccessPoint
    shown: Sequence[Shown]
    occurred_at: datetime
    recorded: Literal["granted", "denied"] | None = None
    mode: Literal["deny", "facility_code", "snapshot"] | None = None
    shut: bool = False
    sent_s: float | None = None
    decided: bool = False
    granted: bool = False
    actuated: bool = False
    commands: set[str] = field(default_factory=set)
    passed: bool | None = False


class Times:
    """Latencies in seconds, and their quantiles."""

    def __init__(self) -> None:
        self._took: list[float] = []

    def add(self, seconds: float) -> None:
        """One more."""
        self._took.append(seconds)

    def forget(self) -> None:
        """Begin again: what was timed so far was a worker's start."""
        self._took.clear()

    def quantile_ms(self, share: float, last: int | None = None) -> float | None:
        """A quantile, of all or of the last so many; None without any."""
        took = sorted(self._took[-last:] if last is not None else self._took)
        return round(took[int((len(took) - 1) * share)] * 1000, 2) if took else None


class Book:
    """Counts and keeps; says nothing about right or wrong."""

    def __init__(self) -> None:
        self.asked: dict[RequestKey, Asked] = {}
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.failed_commands: Counter[str] = Counter()
        self.times = Times()
        self.doubled: list[str] = []
        self._commands: set[str] = set()

    def asks(self, key: RequestKey, asked: Asked) -> None:
        """A controller publishes a request, or the record of one."""
        self.asked[key] = asked
        self.counts["recorded" if key.backlog else "requests"] += 1

    def commanded(self, key: RequestKey | None, command_id: str, at_s: float) -> bool:
        """An `access_door` lay in the topic. Says whether it is a new one."""
        if command_id in self._commands:
            return False
        self._commands.add(command_id)
        self.counts["commands"] += 1
        asked = self.asked.get(key) if key is not None else None
        if asked is not None:
            asked.commands.add(command_id)
            if len(asked.commands) > 1:
                self.doubled.append(f"{key}: {len(asked.commands)} commands")
            if asked.sent_s is not None:
                self.times.add(at_s - asked.sent_s)
        return True

    def confirmed(self, command_id: str, *, repeated: bool) -> None:
        """A controller confirmed a command."""
        if repeated:
            self.counts["repeated"] += 1
        elif command_id in self._commands:
            self.counts["confirmed"] += 1

    @property
    def waiting(self) -> int:
        """Requests that have no decision."""
        return sum(not asked.decided for asked in self.asked.values())

    @property
    def uncommanded(self) -> list[RequestKey]:
        """Grants that should have given a command and have none."""
        return [key for key, asked in self.asked.items() if asked.actuated and not asked.commands]
