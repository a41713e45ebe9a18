"""The state log: rolling checkpoints of a partition's entities, and their bulk load.

A checkpoint writes what changed and the next slice of what didn't; one full turn holds every entity. Which records of
the log count is said by the journal alone (`Checkpointed.ranges`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec

from schemas.record import Output
from streams.engine.errors import HaltedError
from streams.engine.journal import Checkpointed
from streams.engine.options import MachineOptions
from streams.engine.ports import Logs, TransientError, Writer
from streams.engine.state import Held, Row, StateStore

RECORD_BYTES = 64 * 1024
SLICE_CATCH_UP = 5
"""A checkpoint after a quiet time writes a slice for at most so many intervals."""

Ranges = list[tuple[int, int]]


class StateBatch(msgspec.Struct, frozen=True, array_like=True):
    """One record of the state log: key, deadline and bytes (None: removed) of entities, for a checkpoint."""

    epoch: int
    number: int
    rows: list[Row]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StateBatch).decode


def state_topic(processor: str) -> str:
    """The topic that has a processor's state log."""
    return f"doorstream.{processor}.state"


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of some 64 KB."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[0]) + len(row[2] or b"") + 16
        if size >= RECORD_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def extend(ranges: Ranges, offsets: Sequence[int]) -> Ranges:
    """Ranges with further single offsets, neighbours merged."""
    merged = list(ranges)
    for offset in offsets:
        if merged and merged[-1][1] == offset:
            merged[-1] = (merged[-1][0], offset + 1)
        else:
            merged.append((offset, offset + 1))
    return merged


class StateLog:
    """Writes a partition's checkpoints. One is under way at a time: `begin`, `written`, then `finish` or `undo`."""

    def __init__(
        self, writer: Writer, topic: str, partition: int, store: StateStore, ranges: Ranges, options: MachineOptions
    ) -> None:
        self.ranges = ranges
        self._writer = writer
        self._topic = topic
        self._partition = partition
        self._store = store
        self._options = options
        self._turn_keys: list[str] | None = None
        self._turn_at = 0
        self._turn_started_s = 0.0
        self._turn_ranges: Ranges = []
        self._last_s = 0.0
        self._keys: list[str] = []
        self._writing: asyncio.Task[None] | None = None
        self._appends: list[asyncio.Future[int]] = []
        self._turned = False

    def begin(self, epoch: int, number: int, now_s: float, wake: asyncio.Event) -> int:
        """Take a snapshot and hand it over; gives how many entities it has."""
        store = self._store
        if self._turn_keys is None:
            self._turn_keys, self._turn_started_s, self._last_s = store.keys(), now_s, now_s
        changed = store.changed
        slice_ = [key for key in self._slice(now_s) if key not in changed]
        self._keys = [*changed, *slice_]
        store.changed = {}
        self._writing = asyncio.ensure_future(self._write(epoch, number, store.snapshot(self._keys), wake))
        return len(self._keys)

    async def _write(self, epoch: int, number: int, held: Sequence[Held], wake: asyncio.Event) -> None:
        """Hand a snapshot over, record by record: others have their turn meanwhile."""
        topic, partition = self._topic, self._partition
        for rows in batches(map(self._store.to_bytes, held)):
            value = _encode(StateBatch(epoch, number, rows))
            append = self._writer.append(topic, partition, [Output(topic, None, value, (), partition)])
            future = asyncio.ensure_future(append)
            future.add_done_callback(partial(_written, wake))
            self._appends.append(future)
            await asyncio.sleep(0)
        wake.set()

    def close(self) -> None:
        """Write nothing more."""
        if self._writing is not None:
            self._writing.cancel()

    def _slice(self, now_s: float) -> list[str]:
        keys, options = self._turn_keys or [], self._options
        passed = min(now_s - self._last_s, SLICE_CATCH_UP * options.checkpoint_interval_s)
        self._last_s = now_s
        count = math.ceil(len(keys) * passed / options.full_turn_s)
        part = keys[self._turn_at : self._turn_at + count]
        self._turn_at += len(part)
        self._turned = self._turn_at >= len(keys) and now_s - self._turn_started_s >= options.full_turn_s
        return part

    def written(self) -> bool:
        """Whether the state log has acknowledged all of the checkpoint under way.

        Raises:
            TransientError: it was refused; `undo` and try again later.
            Exception: what else befell a write: the partition is given up.
        """
        if self._writing is not None:
            if not self._writing.done():
                return False
            self._writing.result()
        if not all(future.done() for future in self._appends):
            return False
        errors = [error for future in self._appends if (error := future.exception())]
        for error in errors:
            if not isinstance(error, TransientError):
                raise error
        if errors:
            raise errors[0]
        return True

    def ranges_then(self) -> Ranges:
        """The records that count once the checkpoint under way is journalled."""
        offsets = [future.result() for future in self._appends]
        return extend(self._turn_ranges if self._turned else self.ranges, offsets)

    def finish(self) -> int | None:
        """The journal has the checkpoint. Gives the offset below which the log may be deleted, after a full turn."""
        offsets = [future.result() for future in self._appends]
        self.ranges = self.ranges_then()
        self._turn_ranges = extend(self._turn_ranges, offsets)
        self._appends = []
        if not self._turned:
            return None
        self._turned = False
        self._turn_keys, self._turn_at, self._turn_ranges = None, 0, []
        return self.ranges[0][0] if self.ranges else None

    def undo(self) -> None:
        """The checkpoint under way failed: what it had is changed still, and its slice is due again."""
        self._store.changed = dict.fromkeys(self._keys) | self._store.changed
        self._appends = []
        self._turned = False


def _written(wake: asyncio.Event, future: asyncio.Future[int]) -> None:
    if not future.cancelled():
        # Looked at here, as nobody else does once the partition has been given up.
        future.exception()
    wake.set()


async def load_state(logs: Logs, topic: str, partition: int, checkpoint: Checkpointed, store: StateStore) -> None:
    """Fill a store with the state as of a checkpoint.

    Raises:
        HaltedError: the state log no longer has what the checkpoint names.
    """
    wanted = sum(stop - start for start, stop in checkpoint.ranges)
    for start, stop in checkpoint.ranges:
        async for records in logs.read(topic, partition, start, stop):
            for record in records:
                wanted -= 1
                for key, deadline_ms, data in _decode(record.value or b"").rows:
                    store.load(key, deadline_ms, data)
    if wanted:
        msg = (
            f"{topic}/{partition} lacks {wanted} records of the checkpoint at entry {checkpoint.number}: "
            f"restore the topic, or decide again from the inputs"
        )
        raise HaltedError(msg)
