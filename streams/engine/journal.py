"""The journal's records, and the rules that say which of them count.

An entry, checkpoint or recovery record is valid only with the epoch of the last `opened` before it; an entry also only
with the previous entry's number + 1. All else is void: what a sleeper wrote after somebody took over, or a repeat.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from schemas.record import Output, Record
from streams.engine.errors import HaltedError


class Opened(msgspec.Struct, frozen=True, tag_field="type", tag="opened"):
    """An owner begins (or begins anew, to bound what a recovery reads); its offset is the writer's epoch."""

    incarnation: int
    code: str


class Taken(msgspec.Struct, frozen=True):
    """Records of one input topic with start <= offset < stop; `fetched_ms` dates them where the broker doesn't."""

    topic: str
    start: int
    stop: int
    fetched_ms: int


class Due(msgspec.Struct, frozen=True, array_like=True):
    """A tick: the entity's key and its deadline (Unix, milliseconds)."""

    key: str
    deadline_ms: int


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a lookup found (rows of id, position, value), or the JSON value that a verification gave."""

    found: list[tuple[str, int, bytes]] | None = None
    value: Any = None


Answers = dict[str, dict[int, dict[str, Answer]]]
"""Topic, offset, name of the need: the answer. No entry means that nobody could answer."""


class Entry(msgspec.Struct, frozen=True, tag_field="type", tag="entry", omit_defaults=True):
    """One cycle's causes on one partition, in the order: first input, ticks, other inputs.

    `digest` is that of all outcomes up to the entry before. `references` has the positions that changed since then.
    """

    number: int
    epoch: int
    now_ms: int
    code: str
    digest: bytes
    chunks: list[Taken] = []
    ticks: list[Due] = []
    references: dict[str, int] = {}
    resolved: Answers = {}


class Checkpointed(msgspec.Struct, frozen=True, tag_field="type", tag="checkpointed"):
    """The state after entry `number` lies in the state log, in the records of `ranges` (start <= offset < stop).

    The first range begins where the last full turn did. `opened_offset` names the `opened` from which a recovery
    reads the journal. `positions` are the next offsets per input topic, `references` the last applied ones.
    """

    number: int
    epoch: int
    opened_offset: int
    ranges: list[tuple[int, int]]
    positions: dict[str, int]
    references: dict[str, int]
    digest: bytes
    now_ms: int


class Recovering(msgspec.Struct, frozen=True, tag_field="type", tag="recovering"):
    """A recovery is about to decide entry `number` again: from there on at once (index -1), or that one cause."""

    number: int
    epoch: int
    index: int = -1


class Recovered(msgspec.Struct, frozen=True, tag_field="type", tag="recovered"):
    """A recovery came through, up to and with entry `number`."""

    number: int
    epoch: int


class Skipped(msgspec.Struct, frozen=True, tag_field="type", tag="skipped"):
    """A cause (by its index in the entry) at which two recoveries died; it is passed over for ever."""

    number: int
    index: int
    epoch: int


class Arriving(msgspec.Struct, frozen=True, tag_field="type", tag="arriving"):
    """A cautious owner is about to look into records of an input with start <= offset < stop (`caution`).

    `deaths`: how many owners have died at the first of them, as far as it knows; the journal may be read from here on.
    """

    topic: str
    start: int
    stop: int
    epoch: int
    deaths: int


Span = tuple[str, int, int]
"""Input topic, first offset, the offset after the last."""

JournalRecord = Opened | Entry | Checkpointed | Recovering | Recovered | Skipped | Arriving

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(JournalRecord).decode
_CHECKPOINT_PREFIX = b'{"type":"checkpointed"'


def journal_topic(processor: str) -> str:
    """The topic that has a processor's journal."""
    return f"doorstream.{processor}.journal"


def to_output(topic: str, partition: int, record: JournalRecord) -> Output:
    """A journal record, ready to be written."""
    return Output(topic=topic, key=None, value=_encode(record), headers=(), partition=partition)


def is_checkpoint(record: Record) -> bool:
    """Whether a record claims to be a checkpoint, without decoding it."""
    return record.value is not None and record.value.startswith(_CHECKPOINT_PREFIX)


def decode_record(record: Record) -> JournalRecord | None:
    """The journal record, or None for what can't be one."""
    try:
        item: JournalRecord = _decode(record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return item


class Fold:
    """Reads the journal forward from an `opened` (or its beginning) and keeps what counts.

    `entries` are the valid ones after `checkpoint`. `deaths` counts recoveries that died at a cause, `careful` says
    that the last recovery died. `arrivals` counts the owners that died at a run of arriving messages. `took` has the
    input topics from which the last owner took anything; None where there was none, or it is known not to have died.
    `survived` names such owners (partition, epoch).
    """

    def __init__(self, incarnation: int, partition: int, survived: Collection[tuple[int, int]] = ()) -> None:
        self.checkpoint: Checkpointed | None = None
        self.entries: list[Entry] = []
        self.skips: set[tuple[int, int]] = set()
        self.deaths: dict[tuple[int, int], int] = {}
        self.careful = False
        self.arrivals: dict[Span, int] = {}
        self.took: frozenset[str] | None = None
        self.number: int | None = None
        self._incarnation = incarnation
        self._partition = partition
        self._survived = survived
        self._epoch = -1
        self._mark: tuple[int, int] | None = None
        self._arriving: tuple[Span, int] | None = None
        self._taken: set[str] = set()

    def feed(self, records: Iterable[Record]) -> None:
        """Take the next records.

        Raises:
            HaltedError: the journal belongs to another life of the broker.
        """
        for record in records:
            item = decode_record(record)
            if isinstance(item, Opened):
                self._open(record.offset, item)
            elif item is not None and item.epoch == self._epoch:
                self._take(item)

    def _open(self, offset: int, opened: Opened) -> None:
        if opened.incarnation != self._incarnation:
            msg = (
                f"the journal of partition {self._partition} belongs to incarnation {opened.incarnation}, the cluster "
                f"says {self._incarnation}: the topics were mixed from two clusters; restore the cluster's own record"
            )
            raise HaltedError(msg)
        last, self._epoch = self._epoch, offset
        if self._mark is not None:
            self.careful = True
            self.deaths[self._mark] = self.deaths.get(self._mark, 0) + 1
            self._mark = None
        if self._arriving is not None:
            span, deaths = self._arriving
            self.arrivals[span] = deaths + 1
            self._arriving = None
        known = last < 0 or (self._partition, last) in self._survived
        self.took = None if known else frozenset(self._taken)
        self._taken.clear()

    def _take(self, item: Entry | Checkpointed | Recovering | Recovered | Skipped | Arriving) -> None:
        if isinstance(item, Recovering):
            # A recovery that lost its broker or its partition is no reason to suspect a message.
            if (self._partition, item.epoch) not in self._survived:
                self._mark = (item.number, item.index)
            return
        if isinstance(item, Arriving):
            if (self._partition, item.epoch) not in self._survived:
                self._arriving = (item.topic, item.start, item.stop), item.deaths
            return
        if isinstance(item, Skipped):
            self.skips.add((item.number, item.index))
            return
        if isinstance(item, Entry):
            if self.number is not None and item.number != self.number + 1:
                return
            self.number = item.number
            self.entries.append(item)
            for taken in item.chunks:
                self._came_through(taken)
        elif isinstance(item, Checkpointed):
            self.checkpoint = item
            self.entries = [entry for entry in self.entries if entry.number > item.number]
            self.number = item.number if self.number is None else max(self.number, item.number)
        self._mark = None
        self.careful = False
        self.deaths.clear()

    def _came_through(self, taken: Taken) -> None:
        self._taken.add(taken.topic)
        if self._arriving is not None:
            (topic, start, stop), _ = self._arriving
            if topic == taken.topic and taken.stop >= stop:
                self._arriving = None
            elif topic == taken.topic and taken.stop > start:
                self._arriving = (topic, taken.stop, stop), 0
        for span in [span for span in self.arrivals if span[0] == taken.topic and span[1] < taken.stop]:
            del self.arrivals[span]
