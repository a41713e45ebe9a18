"""Deciding a whole journal again: the same causes must give the digests that were written then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from schemas.record import Record
from streams.core.processor import Processor, Tick
from streams.engine.decider import NO_DIGEST, Decider, EntryFrame, Passed, decode_arrival
from streams.engine.errors import HaltedError
from streams.engine.journal import Checkpointed, Entry, Opened, Skipped, decode_record, journal_topic
from streams.engine.observer import Observer
from streams.engine.ports import Broker
from streams.engine.reference_table import Table
from streams.engine.references import ReferenceViews
from streams.engine.replay import Replay
from streams.engine.state import StateStore
from streams.engine.work import resolve_contexts

WINDOW = 2_000
"""Entries whose inputs are held in memory at once."""


class Audited(msgspec.Struct):
    """What deciding a partition's journal again gave.

    `drifts` are the entries whose outcomes differ from those of then. `stopped` says why it ended before the journal's
    end, where it did.
    """

    partition: int
    entries: int = 0
    messages: int = 0
    ticks: int = 0
    outputs: int = 0
    drifts: list[int] = []
    stopped: str | None = None


class Journal(msgspec.Struct):
    """What counts of a journal: its entries in order, what was passed over, and the digests that checkpoints tell."""

    entries: list[Entry] = []
    skips: set[tuple[int, int]] = set()
    digests: dict[int, bytes] = {}


class Audit:
    """Decides journals of one processor again; `references` must be loaded. Nothing is written."""

    def __init__(
        self,
        processor: Processor,
        broker: Broker,
        references: ReferenceViews,
        incarnation: int,
        partitions: int = 0,
    ) -> None:
        self._processor = processor
        self._broker = broker
        self._references = references
        self._incarnation = incarnation
        self._partitions = partitions

    async def run(self, partition: int) -> Audited:
        """Decide one partition's journal again, from its first entry on."""
        found = Audited(partition)
        journal = await self._journal(partition)
        if journal.entries and journal.entries[0].number != 1:
            found.stopped = f"the journal begins with entry {journal.entries[0].number}: what came before is gone"
            return found
        try:
            await self._decide(journal, partition, found)
        except HaltedError as error:
            found.stopped = str(error)
        return found

    async def _journal(self, partition: int) -> Journal:
        journal, epoch = Journal(), -1
        topic = journal_topic(self._processor.name)
        async for record in self._read(topic, partition):
            item = decode_record(record)
            if isinstance(item, Opened):
                epoch = record.offset
            elif item is None or item.epoch != epoch:
                continue
            elif isinstance(item, Entry):
                if not journal.entries or item.number == journal.entries[-1].number + 1:
                    journal.entries.append(item)
                    journal.digests[item.number - 1] = item.digest
            elif isinstance(item, Checkpointed):
                journal.digests[item.number] = item.digest
            elif isinstance(item, Skipped):
                journal.skips.add((item.number, item.index))
        return journal

    async def _read(self, topic: str, partition: int) -> AsyncIterator[Record]:
        bounds = await self._broker.bounds(topic, partition)
        async for records in self._broker.read(topic, partition, bounds.start, bounds.end):
            for record in records:
                yield record

    async def _decide(self, journal: Journal, partition: int, found: Audited) -> None:
        store = StateStore(self._processor)
        decider = Decider(self._processor, store, partition, self._incarnation, Observer(), self._partitions)
        positions: dict[str, int] = {}
        digest = NO_DIGEST
        first = journal.entries[0].references if journal.entries else {}
        prepared = await self._references.prepare(self._broker, first)
        for at in range(0, len(journal.entries), WINDOW):
            window = journal.entries[at : at + WINDOW]
            replay = Replay(self._processor, self._broker, partition, window)
            await replay.read()
            for entry in window:
                if entry.code != self._processor.version:
                    found.stopped = f"entry {entry.number} was decided by version {entry.code}: run that version"
                    return
                positions.update(entry.references)
                frame = self._frame(entry, positions, prepared, digest)
                digest = self._decide_one(decider, frame, replay.causes(entry), journal, found)

    def _frame(
        self, entry: Entry, positions: Mapping[str, int], prepared: Mapping[str, Table], digest: bytes
    ) -> EntryFrame:
        view = self._references.as_of(positions, prepared)
        resolved = resolve_contexts(entry.resolved) if entry.resolved else {}
        return EntryFrame(entry.number, entry.now_ms, view, resolved, digest)

    def _decide_one(
        self,
        decider: Decider,
        frame: EntryFrame,
        causes: Sequence[Record | Tick],
        journal: Journal,
        found: Audited,
    ) -> bytes:
        """Decide an entry; gives the digest to go on with, which is that of then where the two differ."""
        run = decider.start(frame)
        for index, cause in enumerate(causes):
            if (frame.number, index) in journal.skips:
                decider.step(frame, Passed(cause), run)
            else:
                known = cause if isinstance(cause, Tick) else decode_arrival(self._processor, cause)
                decider.step(frame, known, run)
        decision = decider.finish(frame, run)
        found.entries += 1
        found.messages += decision.messages
        found.ticks += decision.ticks
        found.outputs += len(decision.outputs)
        then = journal.digests.get(frame.number, decision.digest)
        if then != decision.digest:
            found.drifts.append(frame.number)
        return then
