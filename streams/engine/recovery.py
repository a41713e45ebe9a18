"""From journal, state log and inputs back to a partition that goes on where its last owner's journal ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from schemas.record import Record
from streams.core.processor import Tick
from streams.engine.caution import CAUTIOUS_RECORDS, FATAL_DEATHS, Caution, alone
from streams.engine.decider import (
    NO_DIGEST,
    Decider,
    Decision,
    EngineCause,
    EntryFrame,
    Passed,
    decode_arrival,
)
from streams.engine.errors import HaltedError, LostOwnershipError
from streams.engine.journal import (
    Checkpointed,
    Entry,
    Fold,
    JournalRecord,
    Opened,
    Recovered,
    Recovering,
    Skipped,
    decode_record,
    is_checkpoint,
    journal_topic,
    to_output,
)
from streams.engine.outputs import FIRST_BACKOFF_S, LAST_BACKOFF_S, OutputLanes
from streams.engine.partition import Core, Partition
from streams.engine.ports import Logs, TopicPartition, TransientError, Writer
from streams.engine.reference_table import Table
from streams.engine.references import REFERENCE_PARTITION
from streams.engine.replay import Replay
from streams.engine.state import StateStore
from streams.engine.statelog import StateLog, load_state, state_topic
from streams.engine.strides import CountedLogs, Strides
from streams.engine.surroundings import Surroundings
from streams.engine.timekeeping import Moment
from streams.engine.work import Position, resolve_contexts

FIRST_WINDOW = 1_000
WINDOW_GROWTH = 4
REFERENCE_POLL_S = 0.01
REFERENCE_LOOK = 100
"""Polls after which the topics are asked whether they reach that far at all."""


class Recovery:
    """One partition's recovery; `run` gives the partition, not yet fed."""

    def __init__(self, around: Surroundings, index: int, journal: Writer, lanes: OutputLanes, strides: Strides) -> None:
        self.skew_ms: int | None = None
        self._around = around
        self._index = index
        self._writer = journal
        self._lanes = lanes
        self._strides = strides
        self._logs: Logs = around.broker
        self._topic = journal_topic(around.processor.name)
        self._epoch = -1
        self._next_offset = -1
        self._opened: tuple[Moment, Moment] = ((0, 0), (0, 0))

    async def run(self) -> Partition:
        """Recover.

        Raises:
            HaltedError: it can't be recovered without a person.
            LostOwnershipError: somebody else wrote to the journal.
            Exception: what befell a read or a write; to be tried again with fresh writers.
        """
        try:
            return await self._run()
        except MemoryError:
            raise  # counts as a death: the message that is being decided again may be to blame
        except (Exception, asyncio.CancelledError):
            self._around.survived.add((self._index, self._epoch))
            raise

    async def _run(self) -> Partition:
        around, processor = self._around, self._around.processor
        started_s = around.clock.monotonic_s()
        sent = around.clock.moment()
        self._epoch = await self._append(Opened(around.incarnation, processor.version))
        self._opened = sent, around.clock.moment()
        self._logs = CountedLogs(around.broker, self._strides, self._topic, self._strides.begin(self._epoch))
        fold = await self._read_journal()
        position = await self._position(fold)
        store = StateStore(processor)
        if fold.checkpoint is not None:
            await load_state(self._logs, state_topic(processor.name), self._index, fold.checkpoint, store)
        if fold.entries:
            await self._redecide(fold, position, store)
        await self._await_references(position.references)
        point = fold.checkpoint
        topic, ranges = state_topic(processor.name), [] if point is None else point.ranges
        state_log = StateLog(self._writer, topic, self._index, store, ranges, around.options)
        # What was decided again counts as not yet checkpointed.
        checkpointed = 0 if point is None else point.number
        core = Core(position, store, self._lanes, state_log, checkpointed, await self._caution(fold, position))
        partition = Partition(around, self._index, core, epoch=self._epoch, next_offset=self._next_offset)
        around.observer.recovered(self._index, len(fold.entries), around.clock.monotonic_s() - started_s)
        return partition

    # -- the journal --------------------------------------------------------------------------------------------

    async def _append(self, record: JournalRecord) -> int:
        """Write one journal record; its offset must be the expected one."""
        output = to_output(self._topic, self._index, record)
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                offset = await self._writer.append(self._topic, self._index, [output])
                break
            except TransientError as error:
                self._around.observer.retried("journal", str(error))
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
        if offset < 0 or (self._next_offset >= 0 and offset != self._next_offset):
            msg = f"the journal gave offset {offset} where {self._next_offset} was due: somebody else has written"
            raise LostOwnershipError(msg)
        self._next_offset = offset + 1
        return offset

    async def _read_journal(self) -> Fold:
        bounds = await self._logs.bounds(self._topic, self._index)
        stop = self._epoch
        window = FIRST_WINDOW
        while True:
            start = max(bounds.start, stop - window)
            for offset in await self._checkpoint_starts(start, stop):
                fold = await self._fold(max(offset, bounds.start))
                if fold.checkpoint is not None:
                    return fold
            if start == bounds.start:
                break
            stop, window = start, window * WINDOW_GROWTH
        fold = await self._fold(bounds.start)
        if fold.checkpoint is None and fold.entries and fold.entries[0].number != 1:
            msg = f"{self._topic}/{self._index} begins with entry {fold.entries[0].number} and has no checkpoint"
            raise HaltedError(f"{msg}: restore the topic, or begin anew with a new incarnation")
        return fold

    async def _checkpoint_starts(self, start: int, stop: int) -> list[int]:
        """Where to read from for the checkpoints found in a window, the latest first."""
        found: list[int] = []
        async for records in self._logs.read(self._topic, self._index, start, stop):
            for record in records:
                if is_checkpoint(record):
                    item = decode_record(record)
                    if isinstance(item, Checkpointed) and item.opened_offset not in found[-1:]:
                        found.append(item.opened_offset)
        return found[::-1]

    async def _fold(self, start: int) -> Fold:
        fold = Fold(self._around.incarnation, self._index, self._around.survived)
        async for records in self._logs.read(self._topic, self._index, start, self._epoch + 1):
            fold.feed(records)
            last = records[-1]
            if last.offset == self._epoch and self._around.broker.stamps_journal:
                self.skew_ms = self._around.clock.judge(*self._opened, last.timestamp_ms)
        return fold

    async def _position(self, fold: Fold) -> Position:
        point = fold.checkpoint
        inputs = dict(point.positions) if point is not None else {}
        for topic in self._around.processor.inputs:
            if topic not in inputs:
                inputs[topic] = (await self._around.broker.bounds(topic, self._index)).start
        # A feed of a topic that was made anew would begin at 0, and its records would be taken for known ones.
        await self._check_ends({(topic, self._index): offset for topic, offset in inputs.items()})
        if point is None:
            return Position(0, 0, NO_DIGEST, inputs, {})
        return Position(point.number, point.now_ms, point.digest, inputs, dict(point.references))

    async def _caution(self, fold: Fold, position: Position) -> Caution | None:
        """What to take in cautiously: what waits at inputs where the last owner took nothing, or somebody died."""
        took = fold.took if fold.took is not None else position.inputs.keys()
        suspected = {topic for topic, _, _ in fold.arrivals}
        waiting = [(topic, self._index) for topic in position.inputs if topic not in took or topic in suspected]
        ends = await self._around.broker.ends(waiting) if waiting else {}
        until = {
            topic: min(end, position.inputs[topic] + CAUTIOUS_RECORDS)
            for (topic, _), end in ends.items()
            if end > position.inputs[topic]
        }
        return Caution(fold.arrivals, until) if until else None

    async def _await_references(self, positions: Mapping[str, int]) -> None:
        """Positions never fall from one owner to the next."""
        references, waited = self._around.references, 0
        while not (references.loaded and references.reached(positions)):
            if waited % REFERENCE_LOOK == REFERENCE_LOOK - 1:
                known = self._around.references.topics
                await self._check_ends({(t, REFERENCE_PARTITION): at + 1 for t, at in positions.items() if t in known})
            waited += 1
            await asyncio.sleep(REFERENCE_POLL_S)

    async def _check_ends(self, needed: Mapping[TopicPartition, int]) -> None:
        """Topics must reach as far as the journal has read them; asked again before a verdict, as leaders change."""
        for patience_s in (1.0, 1.0, 0.0):
            ends = await self._around.broker.ends(list(needed))
            short = [place for place, end in ends.items() if end < needed[place]]
            if not short:
                return
            await asyncio.sleep(patience_s)
        topic, index = short[0]
        msg = f"{topic}/{index} ends at {ends[short[0]]}, the journal has read it up to {needed[short[0]]}"
        raise HaltedError(f"{msg}: it was made anew or cut; restore it, or begin anew with all topics")

    # -- deciding again -----------------------------------------------------------------------------------------

    async def _redecide(self, fold: Fold, position: Position, store: StateStore) -> None:
        around, processor = self._around, self._around.processor
        self._check_code(fold.entries)
        replay = Replay(processor, self._logs, self._index, fold.entries)
        await replay.read()
        await self._await_references(_last_references(fold, position))
        first = {**position.references, **fold.entries[0].references}
        prepared = await around.references.prepare(self._logs, first)
        decider = Decider(processor, store, self._index, around.incarnation, around.observer, around.partitions)
        if not fold.careful:
            await self._append(Recovering(fold.entries[0].number, self._epoch))
        async with alone(around.careful) if fold.careful else nullcontext():
            await self._decide_all(fold, decider, replay, position, prepared)
            await self._append(Recovered(position.number, self._epoch))

    async def _decide_all(
        self, fold: Fold, decider: Decider, replay: Replay, position: Position, prepared: Mapping[str, Table]
    ) -> None:
        around = self._around
        for entry in fold.entries:
            if entry.digest != position.digest:
                around.observer.drift(self._index, entry.number - 1)
                msg = (
                    f"partition {self._index}: deciding entry {entry.number - 1} again gave other outcomes than the "
                    f"journal's digest says: recover with the code that wrote it, and report the drift"
                )
                raise HaltedError(msg)
            position.references.update(entry.references)
            view = around.references.as_of(position.references, prepared)
            resolved = resolve_contexts(entry.resolved) if entry.resolved else {}
            frame = EntryFrame(entry.number, entry.now_ms, view, resolved, entry.digest)
            causes = replay.causes(entry)
            decision = await self._decide(decider, frame, causes, fold)
            for taken in entry.chunks:
                position.inputs[taken.topic] = taken.stop
            position.number, position.now_ms, position.digest = entry.number, entry.now_ms, decision.digest
            self._lanes.put(entry.number, decision.outputs)
            self._strides.take()
            await asyncio.sleep(0)

    def _check_code(self, entries: Sequence[Entry]) -> None:
        version = self._around.processor.version
        other = next((entry.code for entry in entries if entry.code != version), None)
        if other is not None:
            msg = (
                f"partition {self._index} has {len(entries)} journal entries after its last checkpoint that were "
                f"decided by version {other}; this is {version}: start a worker of version {other} once and stop it"
            )
            raise HaltedError(msg)

    async def _decide(
        self, decider: Decider, frame: EntryFrame, causes: Sequence[Record | Tick], fold: Fold
    ) -> Decision:
        if not fold.careful and not any(number == frame.number for number, _ in fold.skips):
            return decider.decide(frame, [self._decoded(cause) for cause in causes])
        run = decider.start(frame)
        for index, cause in enumerate(causes):
            place = (frame.number, index)
            if place not in fold.skips and fold.deaths.get(place, 0) >= FATAL_DEATHS:
                await self._append(Skipped(frame.number, index, self._epoch))
                fold.skips.add(place)
                self._around.observer.skipped(self._index, frame.number, index)
            if place in fold.skips:
                # Not even decoded: that may be what kills.
                decider.step(frame, Passed(cause), run)
                continue
            if fold.careful:
                await self._append(Recovering(frame.number, self._epoch, index))
            decider.step(frame, self._decoded(cause), run)
        return decider.finish(frame, run)

    def _decoded(self, cause: Record | Tick) -> EngineCause:
        return cause if isinstance(cause, Tick) else decode_arrival(self._around.processor, cause)


def _last_references(fold: Fold, position: Position) -> dict[str, int]:
    last = dict(position.references)
    for entry in fold.entries:
        last.update(entry.references)
    return last
