"""Verifies secrets, in threads: PINs by argon2id, templates by cosine similarity. Only answers leave this module."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from argon2 import PasswordHasher

from schemas.sealing import Opener
from streams.core.matching import normalised, scores
from streams.core.processor import Verification
from streams.core.verifying import Candidate, PinToVerify, TemplateToVerify
from streams.hashing import PinHashing

OPENED_KEPT = 10_000
"""Opened secrets that are kept; the longest unused goes first."""

_NOBODY = "nobody"


class SecretVerifier:
    """Answers the verifications of the site processor.

    A PIN gives `match`, `duress`, `mismatch` or `unavailable`, always after the same work: both hashes, and dummies
    where there are none. A template gives the best candidate's `{"score", "cardholder_id", "credential_id"}`.
    """

    def __init__(self, master: bytes, argon2: PasswordHasher | None = None) -> None:
        self._opener = Opener(master)
        self._pins = PinHashing(master, argon2)
        self._dummy = self._pins.enrol(_NOBODY)["pin_hash"]
        self._opened: OrderedDict[tuple[str, int], Mapping[str, Any]] = OrderedDict()
        self._lock = Lock()

    def verify(self, verification: Verification) -> Any:
        """The answer, without the secret."""
        payload = verification.payload
        if isinstance(payload, PinToVerify):
            return self._pin(payload)
        if isinstance(payload, TemplateToVerify):
            return self._template(payload)
        raise TypeError(f"unknown verification {verification.kind}")

    def _pin(self, asked: PinToVerify) -> str:
        try:
            pin = asked.pin if asked.pin is not None else self._presented(asked.sealed)["pin"]
            secret = self._secret(asked.candidate) if asked.candidate is not None else {}
        except (ValueError, KeyError, TypeError):
            return "unavailable"
        if not isinstance(pin, str) or not pin:
            return "unavailable"
        match = self._pins.matches(secret.get("pin_hash") or self._dummy, pin)
        duress = self._pins.matches(secret.get("duress_hash") or self._dummy, pin)
        if not secret.get("pin_hash"):
            return "mismatch"
        if match:
            return "match"
        return "duress" if duress and secret.get("duress_hash") else "mismatch"

    def _template(self, asked: TemplateToVerify) -> dict[str, Any] | str:
        try:
            if asked.template is not None:
                probe, model = asked.template, asked.model
            else:
                opened = self._presented(asked.sealed)
                probe, model = tuple(map(float, opened["template"])), opened.get("model", asked.model)
        except (ValueError, KeyError, TypeError):
            return "unavailable"
        best: tuple[float, Candidate] | None = None
        for candidate in asked.candidates:
            score = self._score(candidate, probe, model)
            if score is not None and (best is None or score > best[0]):
                best = (score, candidate)
        if best is None:
            return {"score": None}
        score, candidate = best
        return {
            "score": round(score, 6),
            "cardholder_id": candidate.cardholder_id,
            "credential_id": candidate.credential_id,
        }

    def _score(self, candidate: Candidate, probe: tuple[float, ...], model: str | None) -> float | None:
        try:
            secret = self._secret(candidate)
            enrolled = [template for template in secret["templates"] if len(template) == len(probe)]
        except (ValueError, KeyError, TypeError):
            return None
        if not enrolled or secret.get("model") != model:
            return None
        return float(scores(probe, normalised(enrolled)).max())

    def _presented(self, sealed: str | None) -> Mapping[str, Any]:
        opened = json.loads(self._opener.open(sealed or ""))
        if not isinstance(opened, dict):
            raise TypeError("a sealed factor holds one JSON object")
        return opened

    def _secret(self, candidate: Candidate) -> Mapping[str, Any]:
        key = (candidate.credential_id, candidate.position)
        with self._lock:
            found = self._opened.get(key)
            if found is not None:
                self._opened.move_to_end(key)
                return found
        opened = self._presented(candidate.sealed)
        with self._lock:
            self._opened[key] = opened
            if len(self._opened) > OPENED_KEPT:
                self._opened.popitem(last=False)
        return opened
