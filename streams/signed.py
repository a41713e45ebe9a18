"""Messages of people and programs that administer: signed, with an end and a number used once."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import NamedTuple

from schemas.envelope import event_headers
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign


class Event(NamedTuple):
    """What the CloudEvents headers say: id, source (a URI reference), type, and time (RFC 3339)."""

    id: str
    source: str
    type: str
    time: str


def signed_headers(
    secret: bytes, event: Event, topic: str, key: bytes, value: bytes | None, end: datetime
) -> list[tuple[str, bytes]]:
    """CloudEvents headers, the end, the number used once, and the mac under a key of version 1."""
    headers = [
        *event_headers(*event),
        (NOT_AFTER_HEADER, end.isoformat().encode()),
        (NONCE_HEADER, secrets.token_hex(16).encode()),
    ]
    return [*headers, sign(secret, 1, topic, key, value, headers)]
