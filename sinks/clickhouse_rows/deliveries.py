"""What became of the events that subscriptions want."""

from __future__ import annotations

from schemas.deliveries import Delivery
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, WORDS, Columns, Maker, Row, ms

DELIVERY_OUTCOMES: Columns = {
    "subscription_id": WORD,
    "delivery_id": "String",
    "outcome": WORD,
    "delivery": WORD,
    "partition": "UInt32",
    "journal_number": "UInt64",
    "events": "UInt32",
    "missing": "UInt32",
    "pending": "UInt64",
    "oldest_at": f"Nullable({TIME})",
    "attempts": "UInt32",
    "target": "String",
    "error": "String",
    "topics": WORDS,
    "offsets": "Array(UInt64)",
    "updated_at": TIME,
}


def _outcome(message: Delivery, record: Record) -> Row:
    # Each type says what it knows: which events, how often it was tried, why they were dropped.
    events = getattr(message, "events", ())
    outcome = str(getattr(message, "type", "?")).rpartition("_")[2]
    which = (message.subscription_id, message.delivery_id, outcome, getattr(message, "delivery", ""))
    where = (record.partition, message.journal.number)
    many = (len(events), getattr(message, "missing", 0), message.pending)
    how = (getattr(message, "attempts", 0), getattr(message, "target", ""))
    error = getattr(message, "error", "") or getattr(message, "reason", "")
    oldest = None if message.oldest_at is None else ms(message.oldest_at)
    places = ([topic for topic, _ in events], [offset for _, offset in events])
    return (*which, *where, *many, oldest, *how, error, *places, ms(message.updated_at))


TABLES: dict[str, Columns] = {"delivery_outcomes_rows": DELIVERY_OUTCOMES}
MAKERS: dict[type, Maker] = {Delivery: ("delivery_outcomes_rows", _outcome)}
