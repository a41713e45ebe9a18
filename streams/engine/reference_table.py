"""One reference topic in memory: what holds now, what held lately, and the indexes."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.record import Record
from streams.core.processor import ReferenceTable

Refused = Callable[[Record], None]
"""Told of each record that counts as never written."""


def silent(_record: Record) -> None:
    """Tell nobody."""


KEPT_MS = 600_000
"""How long replaced versions are kept, so that a recovery finds what held then."""
UNUSED: Any = type("Unused", (), {"__slots__": ()})()
"""Instead of a value that nobody has asked for yet."""
_BAD: tuple[str, ...] = ()


class Version(msgspec.Struct, gc=False):
    """One version of a reference record; `value` None = removed; `decoded` once it has been used.

    `until_ms` is what `ReferenceTable.authenticate` gave.
    """

    offset: int
    value: bytes | None
    decoded: Any = UNUSED
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

    def __init__(self, spec: ReferenceTable, refused: Refused = silent, *, stamps: bool = False) -> None:
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
        if version.decoded is UNUSED:
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
