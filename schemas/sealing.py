"""Secrets on their way to the decide role: libsodium sealed boxes, so that who reads a topic learns no PIN."""

from __future__ import annotations

import base64
import binascii

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from schemas.keys import SEALING, derive_key


class Sealer:
    """Seals bytes for the decide role; holds its public key (32 bytes)."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key
        self._box = SealedBox(PublicKey(public_key))

    @classmethod
    def of_master(cls, master: bytes) -> Sealer:
        """The sealer whose boxes the holder of that master secret opens."""
        return cls(bytes(_private_key(master).public_key))

    def seal(self, content: bytes) -> str:
        """Base64 of the sealed box."""
        return base64.b64encode(self._box.encrypt(content)).decode()


class Opener:
    """Opens what was sealed for the decide role."""

    def __init__(self, master: bytes) -> None:
        self._box = SealedBox(_private_key(master))

    def open(self, sealed: str) -> bytes:
        """The content.

        Raises:
            ValueError: not base64, or sealed for another key, or altered.
        """
        try:
            return bytes(self._box.decrypt(base64.b64decode(sealed, validate=True)))
        except (CryptoError, binascii.Error, ValueError):
            raise ValueError("the sealed part cannot be opened with this decide role's key") from None


def _private_key(master: bytes) -> PrivateKey:
    return PrivateKey(derive_key(master, SEALING, "decide"))
