"""PINs as they are kept: argon2id, peppered with a key that only holders of the master secret have."""

from __future__ import annotations

from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from schemas.keys import derive_key

TIME_COST = 2
MEMORY_KIB = 19 * 1024
PARALLELISM = 1
"""OWASP's first choice for argon2id: 19 MiB, two passes."""


def hasher(memory_kib: int = MEMORY_KIB, time_cost: int = TIME_COST) -> PasswordHasher:
    """What hashes PINs."""
    return PasswordHasher(time_cost, memory_kib, PARALLELISM, type=Type.ID)


class PinHashing:
    """Hashes and checks PINs, peppered with a key that only holders of the master secret have."""

    def __init__(self, master: bytes, argon2: PasswordHasher | None = None) -> None:
        self._pepper = derive_key(master, "pepper", "pin").hex()
        self._argon2 = argon2 or hasher()

    def enrol(self, pin: str, duress_pin: str | None = None) -> dict[str, Any]:
        """What goes into the secret box of a PIN credential.

        Raises:
            ValueError: the duress PIN is the PIN.
        """
        if pin == duress_pin:
            raise ValueError("the duress PIN must differ from the PIN")
        duress = self._argon2.hash(self._peppered(duress_pin)) if duress_pin is not None else None
        return {"pin_hash": self._argon2.hash(self._peppered(pin)), "duress_hash": duress}

    def matches(self, hash_: str, pin: str) -> bool:
        """Whether a PIN is the one that was hashed."""
        try:
            return self._argon2.verify(hash_, self._peppered(pin))
        except (VerificationError, InvalidHashError):
            return False

    def _peppered(self, pin: str) -> str:
        return f"{self._pepper}:{pin}"
