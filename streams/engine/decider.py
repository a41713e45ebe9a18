"""Decides one journal entry: the same causes, context and state give the same outputs and digest, live or again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.record import Output, Record
from streams.core.processor import Arrival, Cause, Context, Outcome, Processor, References, Tick
from streams.engine.deadletters import NOT_UTF8_HEADER, Tally, dead_letter, safe_text
from streams.engine.marks import POSITION_HEADER, Marks
from streams.engine.observer import Observer
from streams.engine.state import StateStore

DIGEST_SIZE = 16
TICK_AGAIN_MS = 60_000
"""A deadline that could not be decided comes again after this, until it can be: nobody else would bring it back."""
NO_DIGEST = b""
_encode = msgspec.msgpack.Encoder().encode
_NOTHING: Mapping[str, Any] = {}


class Undecodable(msgspec.Struct, frozen=True, gc=False):
    """A record without a message; `text` is safe to be shown."""

    record: Record
    error_class: str
    text: str


class Passed(msgspec.Struct, frozen=True, gc=False):
    """A cause at which processes died; nothing of the processor touches it again, except `scrub`."""

    cause: Record | Tick

    @property
    def record(self) -> Record:
        """The message, where it is one."""
        if isinstance(self.cause, Tick):
            raise TypeError("a tick is no message")
        return self.cause


EngineCause = Cause | Undecodable | Passed


class Decision(msgspec.Struct, gc=False):
    """What an entry led to. `digest` is the rolling one, up to and with this entry."""

    outputs: list[Output]
    digest: bytes
    outcomes: list[Outcome] = msgspec.field(default_factory=list)
    messages: int = 0
    ticks: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)


class EntryFrame(msgspec.Struct, frozen=True, gc=False):
    """What all causes of an entry share."""

    number: int
    now_ms: int
    references: References
    resolved: Mapping[str, Mapping[int, Mapping[str, Any]]]
    digest: bytes


def decode_arrival(processor: Processor, record: Record) -> Arrival | Undecodable:
    """The message in a record, or why there is none."""
    for name, _ in record.headers:
        if name.startswith(NOT_UTF8_HEADER):
            return Undecodable(record, "UnicodeDecodeError", "a header's name is not UTF-8")
    try:
        return Arrival(record, processor.decode(record))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it raises, it would raise again
        return Undecodable(record, type(error).__name__, safe_text(error))


class Decider:
    """One partition's way from causes to outputs."""

    def __init__(
        self,
        processor: Processor,
        store: StateStore,
        partition: int,
        incarnation: int,
        observer: Observer,
        partitions: int = 0,
    ) -> None:
        self._processor = processor
        self._store = store
        self._partition = partition
        self._incarnation = incarnation
        self._observer = observer
        self._partitions = partitions
        self._source: Callable[[Arrival, Context], str | None] | None = getattr(processor, "source", None)
        self._overhears: frozenset[str] = getattr(processor, "overhears", frozenset())
        self._marks = Marks(store.get, store.put_mark)
        self._prefix = f"{processor.name}/{incarnation}/{partition}/"

    def decide(self, frame: EntryFrame, causes: Sequence[EngineCause]) -> Decision:
        """Decide and evolve all causes of an entry, in order."""
        run = self.start(frame)
        for cause in causes:
            self.step(frame, cause, run)
        return self.finish(frame, run)

    def start(self, frame: EntryFrame) -> _Run:
        """Begin an entry that is decided cause by cause (`step`, then `finish`)."""
        return _Run(f"{self._prefix}{frame.number}/", self._context(frame, _NOTHING), Decision([], frame.digest))

    def _context(self, frame: EntryFrame, resolved: Mapping[str, Any]) -> Context:
        return Context(
            frame.now_ms,
            frame.references,
            resolved,
            self._partition,
            frame.number,
            self._incarnation,
            self._partitions,
        )

    def finish(self, frame: EntryFrame, run: _Run) -> Decision:
        """End an entry: the digest now covers it."""
        self._store.commit()
        digest = blake2b(frame.digest, digest_size=DIGEST_SIZE)
        digest.update(b"%d" % frame.number)
        digest.update(b"".join(run.parts))
        run.decision.digest = digest.digest()
        return run.decision

    def step(self, frame: EntryFrame, cause: EngineCause, run: _Run) -> None:
        """Decide one cause."""
        decision, context = run.decision, run.context
        if isinstance(cause, Tick):
            if self._store.deadlines.armed.get(cause.key) != cause.deadline_ms:
                return
            decision.ticks += 1
        elif isinstance(cause, Arrival):
            decision.messages += 1
            record = cause.record
            if record.headers and not self._is_new(record):
                return
            if cause.message is None:
                decision.tally.passed()
                return
            if frame.resolved and (of_topic := frame.resolved.get(record.topic)) and record.offset in of_topic:
                context = self._context(frame, of_topic[record.offset])
        else:
            self._bury(cause, run)
            return
        self._decide_one(cause, context, run)

    def _is_new(self, record: Record) -> bool:
        header = record.header(POSITION_HEADER)
        return header is None or self._marks.accept(record.topic, record.partition, header)

    def _decide_one(self, cause: Cause, context: Context, run: _Run) -> None:
        processor, store = self._processor, self._store
        # The marks up to here stand, whatever becomes of this cause.
        store.commit()
        kept_outputs, kept_parts = len(run.decision.outputs), len(run.parts)
        try:
            outcomes = processor.decide(store, cause, context)
            for outcome in outcomes:
                for key, value in processor.evolve(store, outcome):
                    store.put(key, value)
            for outcome in outcomes:
                run.add(outcome, processor.publish(outcome, cause, context))
            store.commit()
        except MemoryError:
            # Not the message's: the next time there may be enough. If not, recoveries die of it, and are counted.
            raise
        except Exception as error:  # noqa: BLE001 - permanent by definition: the same on every replay
            store.rollback()
            run.cut(kept_outputs, kept_parts)
            self._refuse(cause, context, error, run)
            if isinstance(cause, Tick):
                store.put_off(cause.key, context.now_ms + TICK_AGAIN_MS)
        else:
            run.decision.outcomes.extend(outcomes)
            if isinstance(cause, Arrival):
                run.decision.tally.passed()
        if isinstance(cause, Tick) and store.deadlines.armed.get(cause.key) == cause.deadline_ms:
            store.disarm(cause.key)

    def _refuse(self, cause: Cause, context: Context, error: Exception, run: _Run) -> None:
        text = safe_text(error)
        kept_outputs, kept_parts = len(run.decision.outputs), len(run.parts)
        try:
            outcomes = self._processor.refuse(cause, context, text)
            for outcome in outcomes:
                run.add(outcome, self._processor.publish(outcome, cause, context))
            run.decision.outcomes.extend(outcomes)
        except Exception as again:  # noqa: BLE001 - then the dead letter alone tells of it
            run.cut(kept_outputs, kept_parts)
            text = f"{text}; refusing it: {safe_text(again)}"
        if isinstance(cause, Tick):
            self._observer.tick_failed(self._partition, cause.key, text)
            return
        source = self._source_of(cause, context)
        if source is not None:
            run.decision.tally.raised(source)
        self._die(cause.record, "decide", type(error).__name__, text, run)

    def _source_of(self, arrival: Arrival, context: Context) -> bytes | str | None:
        if self._source is None:
            return arrival.record.key or b""
        try:
            return self._source(arrival, context)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - then nobody knows whose message it is
            return None

    def _bury(self, cause: Undecodable | Passed, run: _Run) -> None:
        record = cause.record if isinstance(cause, Undecodable) else cause.cause
        if isinstance(record, Tick):
            self._store.disarm(record.key)
            return
        run.decision.messages += 1
        if record.headers and not self._is_new(record):
            return
        if isinstance(cause, Undecodable):
            if record.topic not in self._overhears:
                self._die(record, "decode", cause.error_class, cause.text, run)
        else:
            self._die(record, "recover", "Skipped", "two processes died at this message", run)

    def _die(self, record: Record, stage: str, error_class: str, text: str, run: _Run) -> None:
        letter = dead_letter(self._processor, record, stage, error_class, text)
        run.add_output(letter)
        run.parts.append(b"dead")
        self._observer.dead_letter(record.topic, record.partition, record.offset, stage, text)


class _Run:
    """An entry half-way decided. `context` is that of all causes about which nothing was found out.

    Outputs are counted per topic: a gap in the numbers of one would tell its readers of what is written to another.
    """

    __slots__ = ("context", "counts", "decision", "parts", "prefix")

    def __init__(self, prefix: str, context: Context, decision: Decision) -> None:
        self.context = context
        self.counts: dict[str, int] = {}
        self.decision = decision
        self.parts: list[bytes] = []
        self.prefix = prefix

    def cut(self, outputs: int, parts: int) -> None:
        """Forget all but the first outputs and parts."""
        for output in self.decision.outputs[outputs:]:
            self.counts[output.topic] -= 1
        del self.decision.outputs[outputs:]
        del self.parts[parts:]

    def add(self, outcome: Outcome, output: Output | None) -> None:
        """An outcome, and the record that it becomes (if it does)."""
        if output is None:
            self.parts.append(_encode(outcome))
        else:
            self.parts.append(output.value or b"")
            self.add_output(output)

    def add_output(self, output: Output) -> None:
        """Number an output."""
        topic = output.topic
        index = self.counts[topic] = self.counts.get(topic, -1) + 1
        position = f"{self.prefix}{index}".encode()
        self.decision.outputs.append(
            Output(
                topic,
                output.key,
                output.value,
                (*output.headers, (POSITION_HEADER, position)),
                output.partition or 0,
                output.timestamp_ms,
            )
        )
