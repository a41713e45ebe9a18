"""Ids derived from their cause, so that deciding again gives the same id and a repeat is recognised."""

from __future__ import annotations

from hashlib import blake2b

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derive(kind: str, *parts: str | int) -> str:
    """A UUID (version 8, RFC 9562) from a kind and the parts of the cause.

    Parts are length-prefixed, so that no two different causes give the same bytes.
    """
    text = f"{len(kind)}:{kind}"
    for part in parts:
        one = str(part)
        text += f"{len(one)}:{one}"
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:]}"


def request_id(device_id: str, boot: int, sequence: int, *, recorded: bool = False) -> str:
    """The id of a controller's request, or of its record in the backlog, whose numbers are counted on their own."""
    return derive("record" if recorded else "request", device_id, boot, sequence)
