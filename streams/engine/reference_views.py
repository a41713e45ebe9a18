"""What a decision sees of the reference topics: as they are now, or as they were at a position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.engine.reference_table import UNUSED, Table

FOUND_KEPT = 100_000
"""Answers by index that are kept until a record changes."""


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
        return table.decoded(version) if decoded is UNUSED else decoded

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

    def version(self) -> int:
        """A number that rises with every record of any of these topics."""
        return sum(table.position for table in self._tables.values())


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

    def version(self) -> int:
        """What it was at these positions."""
        return sum(self._at.values())
