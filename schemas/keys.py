"""Keys derived from the one master secret, so that nothing per device is stored (HKDF-SHA256, RFC 5869)."""

from __future__ import annotations

import hmac
from hashlib import sha256

DEVICE = "device"
OPERATOR = "operator"
ADMINISTRATION = "administration"
SEALING = "sealing"
LOCKOUTS = "lockouts"
SUBSCRIPTION = "subscription"
EVERYWHERE_ID = "everywhere"

MINIMUM_SECRET_BYTES = 16
_CONTEXT = b"doorstream/v1"


def derive_key(master: bytes, role: str, id_: str, key_version: int = 1) -> bytes:
    """The 32-byte key of a device, operator or role.

    Info is the length-prefixed (4 bytes, big endian) sequence of `doorstream/v1`, role, id and key version.

    Raises:
        ValueError: the master secret is shorter than 16 bytes.
    """
    if len(master) < MINIMUM_SECRET_BYTES:
        raise ValueError("the master secret is too short: give at least 16 random bytes")
    parts = (_CONTEXT, role.encode(), id_.encode(), str(key_version).encode())
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    extracted = hmac.digest(bytes(32), master, sha256)
    return hmac.digest(extracted, info + b"\x01", sha256)


def administration_key(master: bytes) -> bytes:
    """The key that reference records are signed with."""
    return derive_key(master, ADMINISTRATION, "reference")


def lockouts_key(master: bytes) -> bytes:
    """The key that doorstream signs what locks and unlocks cardholders at all sites with."""
    return derive_key(master, LOCKOUTS, EVERYWHERE_ID)


def read_master_secret(text: str) -> bytes:
    """The master secret from a file's text: hexadecimal.

    Raises:
        ValueError: not hexadecimal or too short.
    """
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        raise ValueError("the master secret must be hexadecimal, such as `openssl rand -hex 32` writes") from None
    if len(secret) < MINIMUM_SECRET_BYTES:
        raise ValueError("the master secret is too short: give at least 32 hexadecimal digits")
    return secret
