"""The envelope: CloudEvents 1.0 in Kafka's binary mode, around one JSON object."""

from __future__ import annotations

from schemas.base import Message
from schemas.record import Headers

CONTENT_TYPE = ("content-type", b"application/json")
SPECVERSION = ("ce_specversion", b"1.0")
POSITION_HEADER = "doorstream-position"


def event_headers(event_id: str, source: str, type_: str, time: str) -> Headers:
    """The CloudEvents headers of a message. `time` is RFC 3339; `source` a URI reference such as `/doorstream/site`."""
    return (
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        SPECVERSION,
        ("ce_time", time.encode()),
        ("ce_type", type_.encode()),
        CONTENT_TYPE,
    )


def type_of(message: Message) -> str:
    """The message's `type`."""
    return str(getattr(message, "type"))  # noqa: B009 - each subclass declares it as its own literal
