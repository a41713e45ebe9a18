"""Where a partition stands, and its part of one cycle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streams.engine.decider import Decision, EngineCause, EntryFrame
from streams.engine.journal import Answers, Checkpointed, JournalRecord
from streams.engine.resolve import context_value
from streams.engine.timekeeping import Moment


class Position(msgspec.Struct):
    """Where a partition stands: what the next entry goes on from."""

    number: int
    now_ms: int
    digest: bytes
    inputs: dict[str, int]
    references: dict[str, int]


class Work(msgspec.Struct):
    """One partition's part of a cycle. `offset` is what its first journal record must get."""

    offset: int
    records: list[JournalRecord] = []
    frame: EntryFrame | None = None
    causes: list[EngineCause] = []
    decision: Decision | None = None
    checkpoint: Checkpointed | None = None
    patient: bool = False
    """Decided only once the journal has it: it may be what the last owner died of, and only what is journalled counts
    against it."""
    messages: int = 0
    sent: Moment = (0, 0)
    since_ms: int | None = None
    """When the oldest of its messages was appended."""

    @property
    def deadlines_alone(self) -> bool:
        """Whether it decides something, but nobody's message."""
        return self.frame is not None and not self.messages


def resolve_contexts(resolved: Answers) -> Mapping[str, Mapping[int, Mapping[str, Any]]]:
    """Journalled answers as `Context.resolved` has them, by topic and offset."""
    return {
        topic: {offset: {name: context_value(one) for name, one in names.items()} for offset, names in offsets.items()}
        for topic, offsets in resolved.items()
    }
