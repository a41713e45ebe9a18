"""Reference data kept by position: what holds now, and what held when an entry was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.record import Record
from streams.core.processor import References, ReferenceTable
from streams.engine.ports import Broker, Clock


class ReferenceViews:
    """One table per reference topic, fed with records in offset order on the machine's event loop."""

    def __init__(self, tables: Sequence[ReferenceTable], clock: Clock) -> None: ...

    async def load(self, broker: Broker) -> None:
        """Read every topic (partition 0) up to the end seen now; afterwards `loaded` is True."""

    def apply(self, topic: str, records: Sequence[Record]) -> None:
        """Take newer records of a reference topic; known offsets are ignored. A None value removes."""

    @property
    def loaded(self) -> bool:
        """Whether `load` has come to the ends that it saw."""

    def positions(self) -> Mapping[str, int]:
        """The last applied offset per topic; -1 before the first."""

    def live(self) -> References:
        """The view that moves with `apply`."""
