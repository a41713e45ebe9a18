"""Message authentication: who holds a device's key can speak and be spoken to as that device.

The header `doorstream-mac` is `v1:<key version>:<hex HMAC-SHA256>`. The MAC covers, each length-prefixed (4 bytes, big
endian): `doorstream-mac/v1`, the topic, the key, the value, and then name and value of each covered header in the order
of their names. Covered are the headers that begin with `ce_`, and `doorstream-not-after` and `doorstream-nonce`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from hmac import compare_digest
from struct import Struct

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

MAC_HEADER = "doorstream-mac"
NOT_AFTER_HEADER = "doorstream-not-after"
NONCE_HEADER = "doorstream-nonce"
_VERSION = b"doorstream-mac/v1"
_HEADER_PARTS = 3
KEYS_KEPT = 10_000
"""Keys that are kept ready; the longest unused goes first."""


def _framed(part: bytes) -> bytes:
    return _length(len(part)) + part


_length = Struct(">I").pack
_NAMES = {
    name: _framed(name.encode())
    for name in ("ce_id", "ce_source", "ce_specversion", "ce_time", "ce_type", NOT_AFTER_HEADER, NONCE_HEADER)
}
"""The covered headers that are usual, framed; any other that begins with `ce_` is covered as well."""


@cache
def _beginning(topic: str) -> bytes:
    return _framed(_VERSION) + _framed(topic.encode())


def _covered(topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bytes:
    """What the mac covers.

    Raises:
        TypeError: a covered header has no value: Kafka lets that pass.
    """
    key, value = key or b"", value or b""
    parts = [_beginning(topic), _length(len(key)), key, _length(len(value)), value]
    covered = [header for header in headers if header[0] in _NAMES or header[0].startswith("ce_")]
    covered.sort()
    for name, content in covered:
        framed = _NAMES[name] if name in _NAMES else _framed(name.encode())
        parts += (framed, _length(len(content)), content)
    return b"".join(parts)


@lru_cache(KEYS_KEPT)
def _keyed(secret: bytes) -> HMAC:
    return HMAC(secret, SHA256())


def _mac(secret: bytes, covered: bytes) -> str:
    # A copy of what has taken its key costs half of beginning anew.
    made = _keyed(secret).copy()
    made.update(covered)
    return made.finalize().hex()


def sign(
    secret: bytes,
    key_version: int,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]] = (),
) -> tuple[str, bytes]:
    """The `doorstream-mac` header of a message."""
    mac = _mac(secret, _covered(topic, key, value, headers))
    return MAC_HEADER, f"v1:{key_version}:{mac}".encode()


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
    try:
        expected = _mac(secret, _covered(topic, key, value, headers)).encode()
    except TypeError:
        return False  # a header without a value, which nobody signs
    return compare_digest(header.rpartition(b":")[2], expected)
