"""When records were appended, where the broker doesn't say: as near as their reader can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from aiokafka import ConsumerRecord

from streams.engine.kafka_reading import LOG_APPEND_TIME

LIVE_MS = 2_000
"""A partition that was read to its end so lately is live: what comes has just been appended."""
STEP_MS = 1_000


def runs(
    records: Sequence[ConsumerRecord], read_ms: int | None, fetched_ms: int
) -> Iterator[tuple[int, Sequence[ConsumerRecord]]]:
    """Fetched records in runs, each with the Unix time in ms at which they count as appended.

    They came between `read_ms`, when their partition was last seen to its end (None: never), and `fetched_ms`. Where
    that is no matter of seconds, because a worker begins or stood still, the sender's stamp says how long they have
    lain there, within these bounds: no request opens a door after an outage because nobody could tell its age.
    """
    if records[0].timestamp_type == LOG_APPEND_TIME or (read_ms is not None and fetched_ms - read_ms <= LIVE_MS):
        yield fetched_ms, records
        return

    def appended(record: ConsumerRecord) -> int:
        if record.timestamp < 0:
            return fetched_ms
        sent_ms: int = record.timestamp - record.timestamp % STEP_MS
        return min(fetched_ms, max(read_ms or 0, sent_ms))

    for at, run in groupby(records, appended):
        yield at, tuple(run)
