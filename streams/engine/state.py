"""The entities of one partition: kept as bytes until first used, changed cause by cause or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streams.core.processor import Processor, SelfStarting
from streams.engine.marks import MARK_PREFIX
from streams.engine.ticks import Deadlines

MOST_MARKS = 16
"""Marks of one topic: those of our own machines, and a bound for what others may invent."""

_mark_encode = msgspec.msgpack.Encoder().encode
_mark_decode = msgspec.msgpack.Decoder(tuple[int, int, int]).decode

Held = tuple[str, int | None, Any]
"""Key, deadline and entity, an undecoded one as its bytes; None: removed."""

Row = tuple[str, int | None, bytes | None]
"""The same, as the state log has it."""


class StateStore:
    """Entities by key, with their deadlines. `changed` has the keys that the next checkpoint must write."""

    def __init__(self, processor: Processor) -> None:
        self.deadlines = Deadlines()
        self.changed: dict[str, None] = {}
        self._processor = processor
        self._live: dict[str, Any] = {}
        self._raw: dict[str, bytes] = {}
        self._undo: list[tuple[str, Any]] = []
        self._marks: dict[str, int] = {}
        self._standing = processor.standing if isinstance(processor, SelfStarting) else ()
        for key in self._standing:
            self.deadlines.set(key, 0)

    def __len__(self) -> int:
        return len(self._live) + len(self._raw)

    def keys(self) -> list[str]:
        """Every key, in no order that matters; a standing deadline is kept with or without its entity."""
        bare = [key for key in self._standing if key not in self._live and key not in self._raw]
        return [*self._live, *self._raw, *bare]

    def load(self, key: str, deadline_ms: int | None, data: bytes | None) -> None:
        """Take an entity from the state log; later ones replace earlier ones, None removes."""
        if key.startswith(MARK_PREFIX) and key not in self._raw:
            self._count_mark(key, 1)
        if data is None:
            self._raw.pop(key, None)
        else:
            self._raw[key] = data
        self.deadlines.set(key, deadline_ms)

    def get(self, key: str) -> Any | None:
        """The entity, or None."""
        value = self._live.get(key)
        if value is None and self._raw:
            data = self._raw.get(key)
            if data is not None:
                value = _mark_decode(data) if key.startswith(MARK_PREFIX) else self._processor.decode_entity(key, data)
                del self._raw[key]
                self._live[key] = value
        return value

    def put(self, key: str, value: Any | None) -> None:
        """Change an entity (None removes it), to be confirmed by `commit` or taken back by `rollback`."""
        live = self._live
        old = live.get(key)
        self._undo.append((key, self.get(key) if old is None and self._raw else old))
        if value is None:
            self._live.pop(key, None)
        else:
            self._live[key] = value

    def put_mark(self, key: str, value: Any) -> None:
        """Change a mark, or add it where the topic has few: the state must not grow with names that others invent."""
        if self.get(key) is None:
            if self._marks.get(_topic_of(key), 0) >= MOST_MARKS:
                return
            self._count_mark(key, 1)
        self.put(key, value)

    def _count_mark(self, key: str, by: int) -> None:
        topic = _topic_of(key)
        self._marks[topic] = self._marks.get(topic, 0) + by

    def commit(self) -> None:
        """Confirm the changes since the last commit; deadlines follow.

        Raises:
            Exception: what `Processor.deadline` raised; nothing is confirmed then.
        """
        undo = self._undo
        if not undo:
            return
        live, deadline, armed = self._live, self._processor.deadline, self.deadlines.armed
        keys = dict.fromkeys([key for key, _ in undo])
        moved: list[tuple[str, int | None]] = []
        for key in keys:
            value = live.get(key)
            plain = value is not None and not key.startswith(MARK_PREFIX)
            deadline_ms = deadline(key, value) if plain else None
            if armed.get(key) != deadline_ms:
                moved.append((key, deadline_ms))
        self.changed.update(keys)
        for key, deadline_ms in moved:
            self.deadlines.set(key, deadline_ms)
        undo.clear()

    def rollback(self) -> None:
        """Take back the changes since the last commit."""
        for key, old in reversed(self._undo):
            if old is None:
                self._live.pop(key, None)
                if key.startswith(MARK_PREFIX):
                    self._count_mark(key, -1)
            else:
                self._live[key] = old
        self._undo.clear()

    def disarm(self, key: str) -> None:
        """An entity's deadline has been served and the entity didn't move it."""
        self.deadlines.set(key, None)
        self.changed[key] = None

    def put_off(self, key: str, deadline_ms: int) -> None:
        """Serve an entity's deadline at another time, or earlier where the entity changes before."""
        self.deadlines.set(key, deadline_ms)
        self.changed[key] = None

    def snapshot(self, keys: Iterable[str]) -> list[Held]:
        """These entities as they are now, to be given to `to_bytes` at any later time: entities never change."""
        live, raw, armed = self._live, self._raw, self.deadlines.armed
        rows: list[Held] = []
        for key in keys:
            value = live.get(key)
            rows.append((key, armed.get(key), raw.get(key) if value is None else value))
        return rows

    def to_bytes(self, held: Held) -> Row:
        """Key, deadline and bytes (None: removed) of an entity."""
        key, deadline_ms, value = held
        if value is None or isinstance(value, bytes):
            return key, deadline_ms, value
        if key.startswith(MARK_PREFIX):
            return key, None, _mark_encode(value)
        return key, deadline_ms, self._processor.encode_entity(value)


def _topic_of(mark: str) -> str:
    return mark[len(MARK_PREFIX) :].partition("/")[0]
