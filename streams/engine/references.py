"""Reference data kept by position: what holds now, and what held when an entry was decided."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.record import Record
from streams.core.processor import References, ReferenceTable
from streams.engine.ports import Clock, Logs, Readable

Refused = Callable[[Record], None]
"""Told of each record that counts as never written."""


def _silent(_record: Record) -> None:
    pass


KEPT_MS = 600_000
"""How long replaced versions are kept, so that a recovery finds what held then."""
REFERENCE_PARTITION = 0
FOUND_KEPT = 100_000
"""Answers by index that are kept until a record changes."""
_UNUSED: Any = type("Unused", (), {"__slots__": ()})()
_BAD: tuple[str, ...] = ()


class Version(msgspec.Struct, gc=False):
    """One version of a reference record; `value` None = removed; `decoded` once it has been used.

    `until_ms` is what `ReferenceTable.authenticate` gave.
    """

    offset: int
    value: bytes | None
    decoded: Any = _UNUSED
    until_ms: int = 0


class _Ids:
    """The ids of an indexed value that names more than one; their order is made when first asked for."""

    __slots__ = ("members", "ordered")

    def __init__(self, *ids: str) -> None:
        self.members = set(ids)
        self.ordered: tuple[str, ...] | None = None

    def sorted(self) -> tuple[str, ...]:
        if self.ordered is None:
            self.ordered = tuple(sorted(self.members))
        return self.ordered


class Table:
    """One reference topic: the versions in force, their indexes, and what was replaced lately."""

    def __init__(self, spec: ReferenceTable, refused: Refused = _silent, *, stamps: bool = False) -> None:
        self.spec = spec
        self._authenticate = spec.authenticate
        self._refused = refused
        self._stamps = stamps
        self.position = -1
        self.rows: dict[str, Version] = {}
        self.indexes: dict[str, dict[str, str | _Ids]] = {name: {} for name in spec.indexes}
        self.replaced: dict[str, deque[Version]] = {}
        self.forgotten = -1
        """Positions below this offset can no longer be answered from memory."""
        self._changes: deque[tuple[int, int, str]] = deque()

    def apply(self, record: Record, now_ms: int) -> None:
        """Take one newer record, or pass over one that nobody entitled wrote."""
        id_ = (record.key or b"").decode("utf-8", "replace")
        self.position = record.offset
        old = self.rows.get(id_)
        until_ms = 0
        if self._authenticate is not None:
            genuine = self._authenticate(record)
            late = genuine is not None and self._stamps and record.timestamp_ms > genuine
            if genuine is None or late or (old is not None and genuine < old.until_ms):
                self._refused(record)
                return
            until_ms = genuine
        if old is not None:
            if old.value is not None:
                self._index(id_, old.value, remove=True)
            if record.timestamp_ms > now_ms - KEPT_MS:
                self.replaced.setdefault(id_, deque()).append(old)
                self._changes.append((record.timestamp_ms, record.offset, id_))
            else:
                self.forgotten = record.offset
                if record.value is None:
                    del self.rows[id_]
                    return
        elif record.value is None:
            return
        self.rows[id_] = Version(record.offset, record.value, until_ms=until_ms)
        if record.value is not None:
            self._index(id_, record.value, remove=False)

    def forget(self, now_ms: int) -> None:
        """Let go of replaced versions that are older than ten minutes."""
        changes = self._changes
        while changes and changes[0][0] <= now_ms - KEPT_MS:
            _, offset, id_ = changes.popleft()
            versions = self.replaced[id_]
            versions.popleft()
            self.forgotten = max(self.forgotten, offset)
            if not versions:
                del self.replaced[id_]
                if self.rows[id_].value is None:
                    del self.rows[id_]

    def decoded(self, version: Version) -> Any | None:
        """A version in the form that the processor uses; None where it is removed or can't be decoded."""
        if version.decoded is _UNUSED:
            try:
                version.decoded = None if version.value is None else self.spec.decode(version.value)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 - a bad record is absent, whatever it makes a decoder raise
                version.decoded = None
        return version.decoded

    def as_of(self, id_: str, position: int) -> Version | None:
        """The version of a record in force at a position."""
        version = self.rows.get(id_)
        if version is None or version.offset <= position:
            return version
        versions = self.replaced.get(id_, ())
        at = bisect_right(versions, position, key=lambda one: one.offset)
        return versions[at - 1] if at else None

    def changed_since(self, position: int) -> set[str]:
        """The ids with a version above a position."""
        return {id_ for id_ in self.replaced if self.rows[id_].offset > position}

    def values(self, index: str, data: bytes) -> Sequence[str]:
        """The indexed strings of a value."""
        try:
            return tuple(self.spec.indexes[index](data))
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as above; nobody is to be stopped by one bad record
            return _BAD

    def _index(self, id_: str, data: bytes, *, remove: bool) -> None:
        for name, index in self.indexes.items():
            for value in self.values(name, data):
                ids = index.get(value)
                if isinstance(ids, _Ids):
                    (ids.members.discard if remove else ids.members.add)(id_)
                    ids.ordered = None
                    if not ids.members:
                        del index[value]
                elif remove:
                    if ids == id_:
                        del index[value]
                elif ids is None:
                    # A million credentials have a million card numbers: most indexed values name one id.
                    index[value] = id_
                elif ids != id_:
                    index[value] = _Ids(ids, id_)


class LiveView:
    """References as they are now."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._found: dict[tuple[str, str, str], Sequence[Any]] = {}
        self.derived: dict[Any, Any] = {}

    def forget(self) -> None:
        """A record has changed."""
        self._found.clear()
        self.derived.clear()

    def get(self, entity: str, id_: str) -> Any | None:
        """The decoded record with that id, or None."""
        table = self._tables[entity]
        version = table.rows.get(id_)
        if version is None:
            return None
        decoded = version.decoded
        return table.decoded(version) if decoded is _UNUSED else decoded

    def find(self, entity: str, index: str, value: str) -> Sequence[Any]:
        """The decoded records whose `index` holds `value`, in the order of their ids."""
        key = (entity, index, value)
        known = self._found.get(key)
        if known is not None:
            return known
        ids = self._tables[entity].indexes[index].get(value)
        if ids is None:
            # What is asked for in vain is not kept: there is no end of it.
            return ()
        names = (ids,) if isinstance(ids, str) else ids.sorted()
        found = (self.get(entity, id_) for id_ in names)
        if len(self._found) >= FOUND_KEPT:
            self._found.clear()
        rows = self._found[key] = tuple(record for record in found if record is not None)
        return rows

    def position(self, entity: str, id_: str) -> int:
        """The offset of the version in force, or -1."""
        version = self._tables[entity].rows.get(id_)
        return -1 if version is None or version.value is None else version.offset


class PastView:
    """References as of one position per topic; tables whose memory doesn't reach back are given as read again."""

    def __init__(self, tables: Mapping[str, Table], positions: Mapping[str, int]) -> None:
        self._tables = tables
        self._at = {entity: positions.get(table.spec.topic, -1) for entity, table in tables.items()}
        self.derived: dict[Any, Any] = {}

    def get(self, entity: str, id_: str) -> Any | None:
        """The decoded record with that id, or None."""
        table = self._tables[entity]
        version = table.as_of(id_, self._at[entity])
        return None if version is None else table.decoded(version)

    def find(self, entity: str, index: str, value: str) -> Sequence[Any]:
        """The decoded records whose `index` held `value`, in the order of their ids."""
        table, at = self._tables[entity], self._at[entity]
        ids = table.indexes[index].get(value)
        candidates = set() if ids is None else {ids} if isinstance(ids, str) else ids.members
        found = []
        for id_ in sorted(candidates | table.changed_since(at)):
            version = table.as_of(id_, at)
            if version is None or version.value is None or value not in table.values(index, version.value):
                continue
            record = table.decoded(version)
            if record is not None:
                found.append(record)
        return tuple(found)

    def position(self, entity: str, id_: str) -> int:
        """The offset of the version in force, or -1."""
        version = self._tables[entity].as_of(id_, self._at[entity])
        return -1 if version is None or version.value is None else version.offset


class ReferenceViews:
    """One table per reference topic, fed with records in offset order on the machine's event loop.

    `stamps`: whether these topics carry the broker's append time.
    """

    def __init__(
        self, tables: Sequence[ReferenceTable], clock: Clock, refused: Refused = _silent, *, stamps: bool = False
    ) -> None:
        self._clock = clock
        self._stamps = stamps
        self._tables = {spec.entity: Table(spec, refused, stamps=stamps) for spec in tables}
        self._by_topic = {table.spec.topic: table for table in self._tables.values()}
        self._entity_topics = {spec.entity: spec.topic for spec in tables}
        self._live = LiveView(self._tables)
        self._loaded = not tables

    async def load(self, logs: Readable) -> None:
        """Read every topic (partition 0) up to the end seen now; afterwards `loaded` is True."""
        for topic, table in self._by_topic.items():
            bounds = await logs.bounds(topic, REFERENCE_PARTITION)
            start = max(bounds.start, table.position + 1)
            async for records in logs.read(topic, REFERENCE_PARTITION, start, bounds.end):
                self.apply(topic, records)
            # Compaction may have taken the last record before the end.
            table.position = max(table.position, bounds.end - 1)
        self._loaded = True

    def apply(self, topic: str, records: Sequence[Record]) -> None:
        """Take newer records of a reference topic; known offsets are ignored. A None value removes."""
        table = self._by_topic[topic]
        now_ms = self._clock.now_ms()
        table.forget(now_ms)
        position, apply = table.position, table.apply
        if records:
            self._live.forget()
        for record in records:
            if record.offset > position:
                apply(record, now_ms)

    @property
    def loaded(self) -> bool:
        """Whether `load` has come to the ends that it saw."""
        return self._loaded

    @property
    def topics(self) -> tuple[str, ...]:
        """The reference topics, to be read by whoever feeds this."""
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
        """The view that moves with `apply`."""
        return self._live

    def as_of(self, positions: Mapping[str, int], prepared: Mapping[str, Table] | None = None) -> References:
        """The view as of past positions; `prepared` has the tables that `prepare` read again."""
        return PastView({**self._tables, **(prepared or {})}, positions)

    async def prepare(self, logs: Logs, positions: Mapping[str, int]) -> dict[str, Table]:
        """Tables, by entity, for the past positions that memory no longer reaches: read again up to them.

        They answer these positions and later ones for as far as the live tables would have to be asked.
        """
        prepared: dict[str, Table] = {}
        for entity, table in self._tables.items():
            at = positions.get(table.spec.topic, -1)
            if at >= table.forgotten:
                continue
            again = Table(table.spec, stamps=self._stamps)
            start = (await logs.bounds(table.spec.topic, REFERENCE_PARTITION)).start
            async for records in logs.read(table.spec.topic, REFERENCE_PARTITION, start, table.position + 1):
                for record in records:
                    # Versions at or below the position are collapsed; every later one is kept, whatever its age.
                    again.apply(record, record.timestamp_ms if record.offset > at else record.timestamp_ms + KEPT_MS)
            again.position = table.position
            prepared[entity] = again
        return prepared
