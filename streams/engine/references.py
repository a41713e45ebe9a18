"""The reference topics of a process: fed with records, and asked for what holds now or held at some position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from schemas.record import Record
from streams.core.processor import References, ReferenceTable
from streams.engine.ports import Clock, Logs, Readable
from streams.engine.reference_table import KEPT_MS, Refused, Table, silent
from streams.engine.reference_views import LiveView, PastView

REFERENCE_PARTITION = 0


class ReferenceTables:
    """One table per reference topic, fed with records in offset order on the event loop.

    All machines of a process read the same ones (`views`): what is loaded once is kept once. `stamps`: whether these
    topics carry the broker's append time.

    Raises:
        ValueError: a topic is to be read in two ways.
    """

    def __init__(self, specs: Iterable[ReferenceTable], clock: Clock, *, stamps: bool = False) -> None:
        self._clock = clock
        self._views: list[ReferenceViews] = []
        self.stamps = stamps
        self.by_topic: dict[str, Table] = {}
        for spec in specs:
            table = self.by_topic.setdefault(spec.topic, Table(spec, self._refused, stamps=stamps))
            if table.spec != spec:
                raise ValueError(f"{spec.topic} is to be read in two ways")
        self._loaded = not self.by_topic

    def views(self, specs: Sequence[ReferenceTable], refused: Refused = silent) -> ReferenceViews:
        """What a machine sees: these tables. `refused` is told of their records that nobody entitled wrote."""
        views = ReferenceViews(self, specs, refused)
        self._views.append(views)
        return views

    async def load(self, logs: Readable) -> None:
        """Read every topic (partition 0) up to the end seen now; afterwards `loaded` is True."""
        for topic, table in self.by_topic.items():
            bounds = await logs.bounds(topic, REFERENCE_PARTITION)
            start = max(bounds.start, table.position + 1)
            async for records in logs.read(topic, REFERENCE_PARTITION, start, bounds.end):
                self.apply(topic, records)
            # Compaction may have taken the last record before the end.
            table.position = max(table.position, bounds.end - 1)
        self._loaded = True

    def apply(self, topic: str, records: Sequence[Record]) -> None:
        """Take newer records of a reference topic; known offsets are ignored. A None value removes."""
        table = self.by_topic[topic]
        now_ms = self._clock.now_ms()
        table.forget(now_ms)
        position, apply = table.position, table.apply
        if records:
            for views in self._views:
                views.changed(topic)
        for record in records:
            if record.offset > position:
                apply(record, now_ms)

    def _refused(self, record: Record) -> None:
        for views in self._views:
            views.was_refused(record)

    @property
    def loaded(self) -> bool:
        """Whether `load` has come to the ends that it saw."""
        return self._loaded

    def positions(self) -> dict[str, int]:
        """The last applied offset per topic; -1 before the first."""
        return {topic: table.position for topic, table in self.by_topic.items()}


class ReferenceViews:
    """What a machine sees of the reference topics that its processor reads; made by `ReferenceTables.views`."""

    def __init__(self, tables: ReferenceTables, specs: Sequence[ReferenceTable], refused: Refused) -> None:
        self.tables = tables
        self._refused = refused
        self._tables = {spec.entity: tables.by_topic[spec.topic] for spec in specs}
        self._by_topic = {table.spec.topic: table for table in self._tables.values()}
        self._live = LiveView(self._tables)

    def changed(self, topic: str) -> None:
        """A topic has newer records."""
        if topic in self._by_topic:
            self._live.forget()

    def was_refused(self, record: Record) -> None:
        """Nobody entitled wrote a record."""
        if record.topic in self._by_topic:
            self._refused(record)

    @property
    def loaded(self) -> bool:
        """Whether every table has been read to the end seen then."""
        return self.tables.loaded or not self._tables

    @property
    def topics(self) -> tuple[str, ...]:
        """The reference topics."""
        return tuple(self._by_topic)

    def positions(self) -> dict[str, int]:
        """The last applied offset per topic; -1 before the first."""
        return {topic: table.position for topic, table in self._by_topic.items()}

    def position_of(self, entity: str) -> int:
        """The last applied offset of an entity's topic."""
        return self._tables[entity].position

    def reached(self, positions: Mapping[str, int]) -> bool:
        """Whether every topic has been applied at least up to these positions."""
        return all(self._by_topic[topic].position >= at for topic, at in positions.items() if topic in self._by_topic)

    def live(self) -> References:
        """The view that moves with the tables."""
        return self._live

    def as_of(self, positions: Mapping[str, int], prepared: Mapping[str, Table] | None = None) -> References:
        """The view as of past positions; `prepared` has the tables that `prepare` read again."""
        return PastView({**self._tables, **(prepared or {})}, positions)

    def still(self, positions: Mapping[str, int]) -> References | None:
        """The view as of positions of a moment ago; None where memory no longer reaches them."""
        moved = [table for topic, table in self._by_topic.items() if table.position != positions.get(topic, -1)]
        if not moved:
            return self._live
        if any(table.forgotten > positions.get(table.spec.topic, -1) for table in moved):
            return None
        return self.as_of(positions)

    async def prepare(self, logs: Logs, positions: Mapping[str, int]) -> dict[str, Table]:
        """Tables, by entity, for the past positions that memory no longer reaches: read again up to them.

        They answer these positions and later ones for as far as the live tables would have to be asked.
        """
        prepared: dict[str, Table] = {}
        for entity, table in self._tables.items():
            at = positions.get(table.spec.topic, -1)
            if at >= table.forgotten:
                continue
            again = Table(table.spec, stamps=self.tables.stamps)
            start = (await logs.bounds(table.spec.topic, REFERENCE_PARTITION)).start
            async for records in logs.read(table.spec.topic, REFERENCE_PARTITION, start, table.position + 1):
                for record in records:
                    # Versions at or below the position are collapsed; every later one is kept, whatever its age.
                    again.apply(record, record.timestamp_ms if record.offset > at else record.timestamp_ms + KEPT_MS)
            again.position = table.position
            prepared[entity] = again
        return prepared
