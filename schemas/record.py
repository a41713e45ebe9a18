"""A message as it lies in a topic, before anybody has read meaning into it."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic partition.

    `timestamp_ms` is the broker's append time (Unix, milliseconds) where the broker stamps, else the time of the
    fetch; it is never the sender's clock.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    def header(self, name: str) -> bytes | None:
        """The first header of that name, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record that is to be written.

    `partition` is given for topics partitioned by site; None only where every reader reads all partitions: such
    records go to partition 0. `timestamp_ms` (Unix, milliseconds) is given where an original's time is kept.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None
    timestamp_ms: int | None = None
