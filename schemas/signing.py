"""Message authentication: who holds a device's key can speak and be spoken to as that device.

The header `doorstream-mac` is `v1:<key version>:<hex HMAC-SHA256>`. The MAC covers, each length-prefixed (4 bytes, big
endian): `doorstream-mac/v1`, the topic, the key, the value, and then name and value of each covered header in the order
of their names. Covered are the headers that begin with `ce_`, and `doorstream-not-after` and `doorstream-nonce`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

MAC_HEADER = "doorstream-mac"
NOT_AFTER_HEADER = "doorstream-not-after"
NONCE_HEADER = "doorstream-nonce"
_VERSION = b"doorstream-mac/v1"
_OWN = (NOT_AFTER_HEADER, NONCE_HEADER)
_HEADER_PARTS = 3


def _covered(topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bytes:
    parts = [_VERSION, topic.encode(), key or b"", value or b""]
    for name, content in sorted(h for h in headers if h[0].startswith("ce_") or h[0] in _OWN):
        parts.append(name.encode())
        parts.append(content)
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def sign(
    secret: bytes,
    key_version: int,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]] = (),
) -> tuple[str, bytes]:
    """The `doorstream-mac` header of a message."""
    mac = hmac.digest(secret, _covered(topic, key, value, headers), sha256)
    return MAC_HEADER, f"v1:{key_version}:{mac.hex()}".encode()


def key_version_of(header: bytes | None) -> int | None:
    """The key version that a `doorstream-mac` header names, or None where there is no well-formed one."""
    if header is None:
        return None
    parts = header.split(b":")
    if len(parts) != _HEADER_PARTS or parts[0] != b"v1" or not parts[1].isdigit() or len(parts[1]) > 9:  # noqa: PLR2004
        return None
    return int(parts[1])


def verify(
    secret: bytes,
    header: bytes,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
) -> bool:
    """Whether a `doorstream-mac` header is right; compared in constant time."""
    expected = hmac.digest(secret, _covered(topic, key, value, headers), sha256).hex().encode()
    return hmac.compare_digest(header.rpartition(b":")[2], expected)
