"""PINs and templates into boxes sealed for the decide role; unchanged ones are found by opening what is there.

A box is sealed with a new key each time and a hash has a new salt, so bytes tell nothing: what is there is opened with
the master secret, and the PIN verified against its hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from schemas.people import Credential, Secret
from schemas.sealing import Opener, Sealer
from schemas.vocabulary import FactorKind
from streams.hashing import PinHashing
from streams.loading.campus import Campus, PlainPin, Templates
from streams.loading.plan import Differences, Ownership, gone
from streams.loading.present import Present, decoded


class SecretBoxes:
    """Seals and compares secrets. `workers` threads hash at a time; argon2 lets go of the interpreter's lock."""

    def __init__(self, master: bytes, pins: PinHashing | None = None, workers: int | None = None) -> None:
        self._pins = pins or PinHashing(master)
        self._sealer = Sealer.of_master(master)
        self._opener = Opener(master)
        self._workers = workers or os.cpu_count() or 1

    def compare(
        self,
        campus: Campus,
        there: Mapping[str, Present],
        owner: Ownership,
        found: Differences,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Compare all secrets of a campus with what is there; seal those that differ. `progress` is called for each."""
        wanted: dict[str, PlainPin | Templates] = {**campus.pins, **campus.templates}
        credentials = campus.records["credential"]
        with ThreadPoolExecutor(self._workers) as threads:
            running = {}
            for id_, plain in wanted.items():
                present = there.get(id_)
                if present is not None and owner.foreign(present):
                    found.foreign.append(("secret", id_, str(present.home)))
                    continue
                credential = credentials[id_]
                if not isinstance(credential, Credential):
                    raise TypeError(f"{id_} is no credential")
                known = present if present is not None and present.signed and present.home == owner.home else None
                running[threads.submit(self._sealed, credential, plain, known)] = id_
            for done in as_completed(running):
                id_, secret, present = running[done], done.result(), there.get(running[done])
                if secret is None:
                    found.unchanged["secret"] += 1
                elif present is None:
                    found.new["secret"][id_] = secret
                else:
                    found.changed["secret"][id_] = (present, secret)
                progress()
        gone("secret", wanted, there, owner, found)

    def _sealed(self, credential: Credential, plain: PlainPin | Templates, present: Present | None) -> Secret | None:
        """The secret record; None where what is present says the same."""
        if present is not None and self._same(credential.kind, plain, present):
            return None
        if isinstance(plain, PlainPin):
            content = self._pins.enrol(plain.pin, plain.duress_pin)
        else:
            content = {"templates": plain.templates, "model": plain.model}
        sealed = self._sealer.seal(json.dumps(content, separators=(",", ":")).encode())
        return Secret(credential_id=credential.credential_id, kind=credential.kind, sealed=sealed)

    def _same(self, kind: FactorKind, plain: PlainPin | Templates, present: Present) -> bool:
        secret = decoded("secret", present)
        if not isinstance(secret, Secret) or secret.kind is not kind:
            return False
        try:
            content: Mapping[str, Any] = json.loads(self._opener.open(secret.sealed))
            if isinstance(plain, PlainPin):
                return self._same_pin(plain, content)
            return (tuple(map(tuple, content["templates"])), content["model"]) == (plain.templates, plain.model)
        except (ValueError, KeyError, TypeError):
            return False

    def _same_pin(self, plain: PlainPin, content: Mapping[str, Any]) -> bool:
        duress = content["duress_hash"]
        if (duress is None) != (plain.duress_pin is None):
            return False
        if not self._pins.matches(content["pin_hash"], plain.pin):
            return False
        return duress is None or self._pins.matches(duress, plain.duress_pin or "")
