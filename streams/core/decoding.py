"""Reading a record's message, with an error that people may see."""

from __future__ import annotations

from typing import Any

from schemas.record import Record
from schemas.registry import decode
from streams.core.processor import UndecodableError


def message_in(record: Record) -> Any:
    """The message in a record, by its topic's models.

    Raises:
        UndecodableError: it is none; the text names the fields and repeats nothing of the content.
    """
    try:
        return decode(record.topic, record.value)
    except ValueError as error:
        raise UndecodableError(str(error)) from None
