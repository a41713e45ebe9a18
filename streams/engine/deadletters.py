"""Dead letters: `<topic>.dead` keeps what can't be decided, with Kafka Connect's header names."""

from __future__ import annotations

from collections import deque
from itertools import islice

import msgspec

from schemas.faults import kind_and_place
from schemas.record import Output, Record
from streams.core.processor import Processor, UndecodableError
from streams.engine.marks import POSITION_HEADER, SOURCE_POSITION_HEADER
from streams.engine.options import MachineOptions

LARGEST_VALUE = 512 * 1024
"""Bytes of a dead letter's value that are kept whole; producers refuse some 1 MB. The original lies in the source."""
KEPT_OF_LARGE = 64 * 1024
"""Bytes that are kept of what is larger; of the key, and of all original headers together, never more than this."""
CUT_HEADER = "doorstream-cut"
CUT_KEY_HEADER = "doorstream-cut-key"
CUT_HEADERS_HEADER = "doorstream-cut-headers"
NOT_UTF8_HEADER = "doorstream-not-utf8-"
"""Begins what stands for a header's name that is not UTF-8; its bytes follow in hex."""
_OURS = ("doorstream-", "__connect.errors.")
SEALED_HEADER = "doorstream-sealed"
_SHORT_TEXT = 300
_HEADER_BYTES = 16


def dead_topic(topic: str) -> str:
    """The topic that has another one's dead letters."""
    return f"{topic}.dead"


def safe_text(error: BaseException) -> str:
    """What may be said of an error without repeating a message's content."""
    return str(error)[:_SHORT_TEXT] if isinstance(error, UndecodableError) else kind_and_place(error)


def dead_letter(processor: Processor, record: Record, stage: str, error_class: str, text: str) -> Output:
    """The dead letter of a record: original key, headers and time, the scrubbed value, and why."""
    try:
        value, sealed = processor.scrub(record)
    except Exception:  # noqa: BLE001 - a scrubber that fails must not let the secret pass
        value, sealed = None, "removed"
    key, headers = _original(record)
    headers += [
        ("__connect.errors.topic", record.topic.encode()),
        ("__connect.errors.partition", str(record.partition).encode()),
        ("__connect.errors.offset", str(record.offset).encode()),
        ("__connect.errors.stage", stage.encode()),
        ("__connect.errors.class.name", _deciding_class(processor).encode()),
        ("__connect.errors.exception.class.name", error_class.encode()),
        ("__connect.errors.exception.message", text.encode()),
    ]
    if sealed:
        headers.append((SEALED_HEADER, sealed.encode()))
    if value is not None and len(value) > LARGEST_VALUE:
        headers.append((CUT_HEADER, str(len(value)).encode()))
        value = value[:KEPT_OF_LARGE]
    return Output(
        topic=dead_topic(record.topic),
        key=key,
        value=value,
        headers=tuple(headers),
        partition=record.partition,
        timestamp_ms=record.timestamp_ms,
    )


def _deciding_class(processor: Processor) -> str:
    """The class that decides; one that wraps it, to count or to watch, is not to blame."""
    classes = type(processor).__mro__
    return next((one for one in classes if "decide" in vars(one)), classes[0]).__qualname__


def _original(record: Record) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """The record's key and headers, cut to what any broker takes; no header passes for one of ours."""
    key = record.key
    kept: list[tuple[str, bytes]] = []
    told: list[tuple[str, bytes]] = []
    room = KEPT_OF_LARGE
    for name, given in record.headers:
        data = given or b""  # Kafka has headers without a value, aiokafka can't write them
        room -= len(name) + len(data) + _HEADER_BYTES
        if room < 0:
            told.append((CUT_HEADERS_HEADER, str(len(record.headers) - len(kept)).encode()))
            break
        renamed = f"source-{name}" if name.startswith(_OURS) else name
        kept.append((SOURCE_POSITION_HEADER if name == POSITION_HEADER else renamed, data))
    if key is not None and len(key) > KEPT_OF_LARGE:
        told.append((CUT_KEY_HEADER, str(len(key)).encode()))
        key = key[:KEPT_OF_LARGE]
    return key, kept + told


class Tally(msgspec.Struct, gc=False):
    """How the processor fared with an entry's messages. Those that nobody answers for are in none of the numbers.

    `judged`: it was asked about them; `failed`: it raised. `row` is how many of the last ones in a row it failed at.
    `sources` and `row_sources` have who sent them.
    """

    judged: int = 0
    failed: int = 0
    row: int = 0
    sources: set[bytes | str] = msgspec.field(default_factory=set)
    row_sources: set[bytes | str] = msgspec.field(default_factory=set)

    def passed(self) -> None:
        """It was through with a message."""
        self.judged += 1
        if self.row:
            self.row = 0
            self.row_sources = set()

    def raised(self, source: bytes | str) -> None:
        """It failed at one."""
        self.judged += 1
        self.failed += 1
        self.row += 1
        self.sources.add(source)
        self.row_sources.add(source)


class DeadLetterLimit:
    """Stops a bad deploy from draining a topic into the dead letters.

    Only failures of the processor count. Undecodable messages say nothing of the code, anybody may send them by the
    thousand, and a partition that stops closes all of its sites. For the same reason it takes failures at messages of
    several sources: code that is bad fails at everybody's, and one device that has found a message at which it fails
    may send that as often as it likes.
    """

    def __init__(self, options: MachineOptions) -> None:
        self._row_limit = options.dead_letter_consecutive
        self._ratio = options.dead_letter_ratio
        self._window = options.dead_letter_window
        self._least_sources = options.dead_letter_sources
        self._runs: deque[tuple[int, int, set[bytes | str]]] = deque()
        self._judged = self._failed = self._row = 0
        self._row_sources: set[bytes | str] = set()

    def count(self, tally: Tally) -> str | None:
        """Take one entry's numbers; gives the reason to stop, or None."""
        if not tally.judged:
            return None
        if tally.row < tally.judged:
            self._row, self._row_sources = 0, set()
        self._row += tally.row
        self._keep(self._row_sources, tally.row_sources)
        kept: set[bytes | str] = set()
        self._keep(kept, tally.sources)
        self._runs.append((tally.judged, tally.failed, kept))
        self._judged += tally.judged
        self._failed += tally.failed
        while self._runs and self._judged - self._runs[0][0] >= self._window:
            judged, failed, _ = self._runs.popleft()
            self._judged -= judged
            self._failed -= failed
        return self._reason()

    def _keep(self, known: set[bytes | str], more: set[bytes | str]) -> None:
        # As many as matter; a set of all would grow with whatever comes in.
        known.update(islice(more - known, self._least_sources - len(known)))

    def _reason(self) -> str | None:
        if self._row >= self._row_limit and len(self._row_sources) >= self._least_sources:
            return f"the code failed at {self._row} messages in a row, of {len(self._row_sources)} sources or more"
        if self._judged >= self._window and self._failed > self._ratio * self._judged:
            sources = set().union(*(sources for _, _, sources in self._runs))
            if len(sources) >= self._least_sources:
                return f"the code failed at {self._failed} of the last {self._judged} messages"
        return None
