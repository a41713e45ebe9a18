"""What a processor keeps: its entities as bytes, and what one cause has made of them so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from streams.core.processor import Outcome, State


def codec(entity: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """How a union of tagged structs is kept in the state log, and the reverse."""
    return msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(entity).decode


class Kept(msgspec.Struct, frozen=True, gc=False, tag="kept"):
    """What is remembered under a key from now on; None: nothing."""

    key: str
    value: Any


class Draft:
    """The entities while one cause is decided, each step seeing the ones before; `kept` is what they become."""

    kept: type[Kept] = Kept

    def __init__(self, state: State) -> None:
        self._state = state
        self._changed: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """What is kept under a key, as this cause has left it so far."""
        return self._changed[key] if key in self._changed else self._state.get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a value; None removes it."""
        self._changed[key] = value

    def changes(self) -> list[Outcome]:
        """What is kept from now on."""
        return [self.kept(key, value) for key, value in self._changed.items()]
