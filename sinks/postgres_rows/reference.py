"""The entities of the administration, for look-ups; these records count by their signature, not by their type."""

from __future__ import annotations

from typing import Any

from schemas.record import Record
from schemas.reference import ENTITIES
from sinks.postgres_rows.table import Row, json_text, newest

ENTITY_OF = {entity.topic: entity.name for entity in ENTITIES}
REFERENCE_COLUMNS = {
    "entity": "text",
    "id": "text",
    "value": "jsonb",
    "card_number": "text",
    "cardholder_id": "text",
    "position": "bigint",
    "until_ms": "bigint",
}
_REFERENCE = newest("reference", REFERENCE_COLUMNS, ("entity", "id"))


def _merge_references(old: Row, new: Row) -> Row:
    return new if new[-2] > old[-2] and new[-1] >= old[-1] else old


# As the views of the decide role take them: a signature that ends sooner is an old record, sent again.
REFERENCE = _REFERENCE._replace(
    conflict=_REFERENCE.conflict
    + " and (excluded.incarnation > reference.incarnation or excluded.until_ms >= reference.until_ms)",
    merge=_merge_references,
)


def reference_row(record: Record, message: Any, until_ms: int) -> Row:
    """An entity as it is, or as it was taken away; `until_ms`: until when its signature counts."""
    id_ = (record.key or b"").decode("utf-8", "replace").replace("\0", "\ufffd")
    value = None if message is None else json_text(message, record)
    card, holder = getattr(message, "card_number", None), getattr(message, "cardholder_id", None)
    return (ENTITY_OF[record.topic], id_, value, card, holder, record.offset, until_ms)


TABLES = (REFERENCE,)
