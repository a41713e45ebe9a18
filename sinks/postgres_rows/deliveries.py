"""How the events of each subscription stand, by partition."""

from __future__ import annotations

from schemas.deliveries import Delivery
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, newest
from sinks.reading import whole, within

DELIVERY_STATES = newest(
    "delivery_states",
    {
        "subscription_id": "text",
        "partition": "integer",
        "outcome": "text",
        "delivery_id": "text",
        "pending": "bigint",
        "oldest_at": "timestamptz",
        "due_at": "timestamptz",
        "attempts": "bigint",
        "first_failed_at": "timestamptz",
        "retry_at": "timestamptz",
        "target": "text",
        "error": "text",
        "updated_at": "timestamptz",
        "position": "bigint",
    },
    ("subscription_id", "partition"),
)


def _state(message: Delivery, record: Record) -> Row:
    # Each type says what it knows: when a batch is due, how often it was tried, why events were dropped.
    outcome = str(getattr(message, "type", "?")).rpartition("_")[2]
    attempts = getattr(message, "attempts", None)
    times = [getattr(message, name, None) for name in ("oldest_at", "due_at", "first_failed_at", "retry_at")]
    oldest_at, due_at, failed_at, retry_at = (None if time is None else within(time) for time in times)
    error = getattr(message, "error", "") or getattr(message, "reason", "")
    what = (message.subscription_id, record.partition, outcome, message.delivery_id)
    how = (None if attempts is None else whole(attempts), failed_at, retry_at, getattr(message, "target", ""), error)
    return (*what, whole(message.pending), oldest_at, due_at, *how, within(message.updated_at), record.offset)


TABLES = (DELIVERY_STATES,)
MAKERS: dict[type, tuple[Maker, ...]] = {Delivery: ((DELIVERY_STATES, _state),)}
