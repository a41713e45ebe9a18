"""What the machine tells the outside about itself. Metrics and logs implement it; the default stays silent."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.record import Record
from streams.core.processor import Outcome


class Observer:
    """Called on the event loop; must not block or raise. Subclass what you need."""

    def cycle(self, seconds: float, messages: int, partitions: int) -> None:
        """One cycle went round: how long it took from taking chunks to handing over outputs."""

    def decided(self, partition: int, messages: int, ticks: int) -> None:
        """An entry was decided (not counting recoveries)."""

    def came_out(self, outcomes: Sequence[Outcome]) -> None:
        """What came out of an entry, refusals included; like `decided` not counting recoveries."""

    def journalled(self, partition: int, records: int) -> None:
        """Journal records were acknowledged."""

    def acknowledged(self, topic: str, since_ms: int) -> None:
        """An entry's outputs to a topic were acknowledged; its oldest message was appended at `since_ms`."""

    def dead_letter(self, topic: str, partition: int, offset: int, stage: str, error: str) -> None:
        """A record became a dead letter of `topic`; `error` is free of the record's content."""

    def tick_failed(self, partition: int, key: str, error: str) -> None:
        """A tick made `decide` or `evolve` raise; it was refused and comes again a minute later."""

    def checkpointed(self, partition: int, number: int, entities: int) -> None:
        """A checkpoint counts from now on."""

    def recovered(self, partition: int, entries: int, seconds: float) -> None:
        """A partition takes part in cycles, after deciding that many entries again."""

    def dropped(self, partition: int, reason: str) -> None:
        """A partition was given up; it is recovered if still owned."""

    def halted(self, partition: int, reason: str) -> None:
        """A partition stopped for good, until a person acts; critical."""

    def drift(self, partition: int, number: int) -> None:
        """Deciding entry `number` again gave other outcomes; critical."""

    def skipped(self, partition: int, number: int, index: int) -> None:
        """A cause at which recoveries died twice was passed over; critical."""

    def reference_refused(self, record: Record) -> None:
        """A reference record counts as never written: nobody entitled wrote it, or it is an old one; critical."""

    def retried(self, step: str, error: str) -> None:
        """A transient failure of a step; it is tried again."""

    def verifiers_hung(self, threads: int) -> None:
        """So many threads hang in a verification; told when the number changes."""

    def clock_skew(self, milliseconds: int) -> None:
        """The worker's clock less the broker's, where above the limit; critical."""
