"""One owned partition at work: its queues, its state, and the entry that it would journal next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from schemas.record import Output
from streams.core.processor import Arrival, Context, Tick
from streams.engine.caution import Caution
from streams.engine.deadletters import DeadLetterLimit
from streams.engine.decider import Decider, EngineCause, EntryFrame, Passed, decode_arrival
from streams.engine.inputs import InputQueue, Item
from streams.engine.journal import (
    Answer,
    Answers,
    Arriving,
    Checkpointed,
    Due,
    Entry,
    Opened,
    Skipped,
    Span,
    Taken,
    journal_topic,
    to_output,
)
from streams.engine.outputs import OutputLanes
from streams.engine.ports import Chunk
from streams.engine.state import StateStore
from streams.engine.statelog import StateLog
from streams.engine.surroundings import Surroundings
from streams.engine.work import Position, Work, resolve_contexts

_answer_encode = msgspec.json.Encoder().encode
_answer_decode = msgspec.json.Decoder(Answer).decode

NOTHING_INHERITED = -1


class Core(msgspec.Struct):
    """What a recovery gives back.

    `checkpointed` is the entry that the last valid checkpoint covers, `caution` what is to be taken in cautiously.
    """

    position: Position
    store: StateStore
    lanes: OutputLanes
    state_log: StateLog
    checkpointed: int
    caution: Caution | None = None


class Partition:
    """All in memory; the machine moves it from cycle to cycle. `epoch` and `next_offset` are the journal's."""

    def __init__(self, around: Surroundings, index: int, core: Core, *, epoch: int, next_offset: int) -> None:
        processor = around.processor
        self.index = index
        self.position = core.position
        self.store = core.store
        self.lanes = core.lanes
        self.state_log = core.state_log
        self.epoch = epoch
        self.next_offset = next_offset
        self.busy = False
        self.closed = False
        self.draining = False
        self.journal = journal_topic(processor.name)
        self.queues = {
            topic: InputQueue(topic, core.position.inputs[topic], stamps=around.broker.stamps)
            for topic in processor.inputs
        }
        self.caution = core.caution
        self.guarded = False
        """Whether a run is being taken in of which the journal says that it may kill."""
        self.announcing: Span | None = None
        """The run that the journal is to tell of next."""
        self._moved = asyncio.Event()
        self.checkpoint: Checkpointed | None = None
        self.checkpointed = core.checkpointed
        self._decider = Decider(processor, core.store, index, around.incarnation, around.observer, around.partitions)
        self._limit = DeadLetterLimit(around.options)
        self._checkpoint_s = around.clock.monotonic_s()
        self._entities = 0
        self._processor = processor
        self._around = around
        self._opened_number = core.position.number
        self._inherited_ms = max(around.clock.now_ms(), core.position.now_ms)
        """Deadlines up to then may be the last owner's (messages that wait for a new one have `caution`)."""

    # -- arriving -----------------------------------------------------------------------------------------------

    def arrive(self, queue: InputQueue, chunk: Chunk) -> None:
        """Decode fetched records at or above `queue.fed`, and begin to find out what they need."""
        processor, fed = self._processor, queue.fed
        items: list[Item] = []
        undated = not self._around.broker.stamps
        context: Context | None = None
        for record in chunk.records:
            if record.offset < fed:
                continue
            if undated and record.timestamp_ms != chunk.fetched_ms:
                # The time that the journal keeps, whoever fetched it: a replay has no other.
                record = msgspec.structs.replace(record, timestamp_ms=chunk.fetched_ms)  # noqa: PLW2901
            if self.caution is not None and self.caution.passes(queue.topic, record.offset):
                items.append(Passed(record))
                continue
            item = decode_arrival(processor, record)
            items.append(item)
            if isinstance(item, Arrival) and item.message is not None:
                if context is None:
                    context = self._context_of_arrival(chunk.fetched_ms)
                self._needs(queue, item, context)
        if items:
            queue.add(chunk.fetched_ms, items, chunk.records[-1].offset + 1)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until journal records were acknowledged after which that holds, or the partition is closed."""
        while not (self.closed or reached()):
            self._moved.clear()
            await self._moved.wait()

    def _context_of_arrival(self, now_ms: int) -> Context:
        number = self.position.number + 1
        now_ms = max(now_ms, self.position.now_ms)
        around = self._around
        live = around.references.live()
        return Context(now_ms, live, {}, self.index, number, around.incarnation, around.partitions)

    def _needs(self, queue: InputQueue, arrival: Arrival, context: Context) -> None:
        try:
            needs = self._processor.needs(self.store, arrival, context)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - `decide` will meet the same and say so in the journalled way
            return
        if needs:
            queue.waiting[arrival.record.offset] = self._around.resolver.ask(needs)

    def backlog(self) -> int:
        """Records that wait in memory."""
        return sum(queue.size for queue in self.queues.values())

    def oldest_ms(self) -> int | None:
        """When the oldest of what waits in memory was appended; None where nothing does."""
        return min((queue.oldest_ms for queue in self.queues.values() if queue.size), default=None)

    # -- time ---------------------------------------------------------------------------------------------------

    def seen_ms(self) -> int:
        """Everything that was appended to the inputs up to then has been decided."""
        return min(queue.seen_ms for queue in self.queues.values())

    def has_due(self, now_ms: int) -> bool:
        """Whether a deadline has passed."""
        first = self.store.deadlines.next_ms()
        return first is not None and first <= max(now_ms, self.position.now_ms)

    def behind_ms(self, now_ms: int) -> int:
        """How long the first of what is to be taken waits: since a message was appended, or a deadline passed."""
        since = (self.oldest_ms(), self.store.deadlines.next_ms())
        return max((now_ms - one for one in since if one is not None and one <= now_ms), default=0)

    def idle(self, now_ms: int) -> bool:
        """Whether there is nothing to be taken: no record, no deadline, no checkpoint."""
        for queue in self.queues.values():
            if queue.size:
                return False
        return self.checkpoint is None and self.announcing is None and not self.has_due(now_ms)

    # -- the cycle ----------------------------------------------------------------------------------------------

    def take(self, share: int, now_ms: int, now_s: float) -> Work | None:
        """What this partition journals and decides in this cycle, or None."""
        work = Work(self.next_offset)
        if self.checkpoint is not None and self.checkpoint_ready():
            work.checkpoint = msgspec.structs.replace(
                self.checkpoint, epoch=self.epoch, ranges=self.state_log.ranges_then()
            )
            work.records.append(work.checkpoint)
            if self.position.number - self._opened_number >= self._around.options.reopen_entries:
                self._opened_number = self.position.number
                self.epoch = self.next_offset + 1
                work.records.append(Opened(self._around.incarnation, self._processor.version))
        full = self.lanes.unsent >= self._around.options.most_unsent
        self.lanes.awaited = full or self.checkpoint is not None
        if (self.guarded or not self.draining) and not full:
            self._take_causes(work, share, max(now_ms, self.position.now_ms), now_s)
        if self.announcing is not None and self.caution is not None:
            deaths = self.caution.deaths(*self.announcing[:2])
            work.records.append(Arriving(*self.announcing, self.epoch, deaths))
            self.announcing = None
        if not work.records:
            return None
        self.busy = True
        self.next_offset += len(work.records)
        return work

    def _take_causes(self, work: Work, share: int, now_ms: int, now_s: float) -> None:
        position = self.position
        until = min(now_ms, self.seen_ms())
        chunks: list[Taken] = []
        resolved: Answers = {}
        causes: list[EngineCause] = []
        ticks: list[Due] = []
        oldest: list[int] = []
        for at, (topic, queue) in enumerate(self.queues.items()):
            if queue.size:
                for start, stop, fetched_ms, items in queue.take(share, now_s):
                    if (
                        chunks
                        and chunks[-1].topic == topic
                        and (self._around.broker.stamps or chunks[-1].fetched_ms == fetched_ms)
                    ):
                        start = chunks.pop().start  # noqa: PLW2901 - the same run goes on
                    chunks.append(Taken(topic, start, stop, fetched_ms))
                    causes.extend(items)
                    oldest.append(items[0].record.timestamp_ms)
                    if queue.waiting:
                        self._collect(queue, items, resolved)
            if at == 0:
                ticks = self._due(work, until, share)
                causes.extend(Tick(tick.key, tick.deadline_ms) for tick in ticks)
        if not causes:
            return
        now = self._around.references.positions()
        moved = {topic: offset for topic, offset in now.items() if position.references.get(topic) != offset}
        number = position.number + 1
        entry = Entry(
            number, self.epoch, now_ms, self._processor.version, position.digest, chunks, ticks, moved, resolved
        )
        work.records.append(entry)
        if self.caution is not None:
            self._journal_passed(work, causes, number)
        work.causes = causes
        work.messages = len(causes) - len(ticks)
        work.since_ms = min(oldest, default=None)
        contexts = resolve_contexts(resolved) if resolved else {}
        work.frame = EntryFrame(number, now_ms, self._around.references.live(), contexts, position.digest)
        for taken in chunks:
            position.inputs[taken.topic] = taken.stop
        position.references.update(moved)
        position.number, position.now_ms = number, now_ms

    def _due(self, work: Work, until_ms: int, share: int) -> list[Due]:
        ticks = [Due(key, deadline_ms) for deadline_ms, key in self.store.deadlines.due(until_ms, share)]
        work.patient = any(tick.deadline_ms <= self._inherited_ms for tick in ticks)
        if not work.patient and until_ms >= self._inherited_ms:
            # What may have been the last owner's end is behind us.
            self._inherited_ms = NOTHING_INHERITED
        return ticks

    def _journal_passed(self, work: Work, causes: Sequence[EngineCause], number: int) -> None:
        # After the entry, as it must not count for another one of the same number.
        for index, cause in enumerate(causes):
            if isinstance(cause, Passed):
                work.records.append(Skipped(number, index, self.epoch))
                self._around.observer.skipped(self.index, number, index)

    def _collect(self, queue: InputQueue, items: Sequence[Item], resolved: Answers) -> None:
        """Move the answers of taken messages into the entry, in the form that a replay will read."""
        for item in items:
            offset = item.record.offset
            pending = queue.waiting.pop(offset, None)
            if pending is None:
                continue
            answers = self._around.resolver.answers(pending)
            if answers:
                plain = {name: _answer_decode(_answer_encode(answer)) for name, answer in answers.items()}
                resolved.setdefault(queue.topic, {})[offset] = plain

    def outputs(self, work: Work) -> list[Output]:
        """A cycle's journal records, ready to be written."""
        return [to_output(self.journal, self.index, record) for record in work.records]

    def decide(self, work: Work) -> None:
        """Decide the entry that was handed over; nothing leaves before `settle`."""
        if work.frame is not None:
            work.decision = self._decider.decide(work.frame, work.causes)
            self.position.digest = work.decision.digest

    def recall(self, work: Work) -> bool:
        """Let an entry that is decided only now see what it was taken by; False where that is forgotten."""
        if work.frame is None:
            return True
        references = self._around.references.still(self.position.references)
        if references is None:
            return False
        work.frame = msgspec.structs.replace(work.frame, references=references)
        return True

    def settle(self, work: Work) -> str | None:
        """The journal has the records: let outputs leave. Gives the reason to stop for good, or None."""
        self.busy = False
        self._moved.set()
        self._around.observer.journalled(self.index, len(work.records))
        decision = work.decision
        if decision is None or work.frame is None:
            return None
        self.lanes.put(work.frame.number, decision.outputs, work.since_ms)
        self._around.observer.decided(self.index, decision.messages, decision.ticks)
        self._around.observer.came_out(decision.outcomes)
        return self._limit.count(decision.tally)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def wants_checkpoint(self, now_s: float, *, force: bool = False) -> bool:
        """Whether a checkpoint should begin; only between two cycles."""
        behind = self.position.number - self.checkpointed
        if behind <= 0 or self.checkpoint is not None or self.busy or self.closed:
            return False
        due = now_s - self._checkpoint_s >= self._around.options.checkpoint_interval_s
        return force or due or behind >= self._around.options.checkpoint_entries

    def begin_checkpoint(self, now_s: float, wake: asyncio.Event) -> None:
        """Take a snapshot and let it be written."""
        position = self.position
        self._checkpoint_s = now_s
        self._entities = self.state_log.begin(self.epoch, position.number, now_s, wake)
        self.checkpoint = Checkpointed(
            number=position.number,
            epoch=self.epoch,
            opened_offset=self.epoch,
            ranges=[],
            positions=dict(position.inputs),
            references=dict(position.references),
            digest=position.digest,
            now_ms=position.now_ms,
        )

    def checkpoint_ready(self) -> bool:
        """Whether the state and all outputs of the checkpoint under way are acknowledged."""
        checkpoint = self.checkpoint
        return checkpoint is not None and self.lanes.acknowledged(checkpoint.number) and self.state_log.written()

    def undo_checkpoint(self) -> None:
        """The state log refused it; another is taken later."""
        self.state_log.undo()
        self.checkpoint = None

    def finish_checkpoint(self, checkpoint: Checkpointed) -> int | None:
        """The journal has the checkpoint. Gives where the state log may be cut, after a full turn."""
        cut = self.state_log.finish()
        self.checkpoint = None
        self.checkpointed = checkpoint.number
        self._around.observer.checkpointed(self.index, checkpoint.number, self._entities)
        return cut

    def close(self) -> None:
        """Let nothing more leave."""
        self.closed = True
        self.lanes.close()
        self.state_log.close()
        self._moved.set()
        for queue in self.queues.values():
            queue.room.set()
