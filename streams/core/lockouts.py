"""Lockouts as access sees them (A4): who or what is locked, who is exempt, and when no secret is listened to.

While a lock refuses anyway, no PIN is verified: the answer would tell a guesser which one is right, uncounted.
"""

from __future__ import annotations

from schemas.people import Cardholder, Credential
from streams.core.entities import Lockout, lockout_key
from streams.core.processor import State


def is_locked(state: State, subject: str, id_: str, now_ms: int) -> bool:
    """Whether a subject (`credential`, `cardholder`, `access-point`) is locked now."""
    lock: Lockout | None = state.get(lockout_key(subject, id_))
    return lock is not None and (lock.until_ms is None or now_ms < lock.until_ms)


def locked_subject(
    state: State, credential: Credential | None, cardholder: Cardholder | None, now_ms: int
) -> str | None:
    """Which of somebody's subjects is locked: `credential` or `cardholder`."""
    if credential is not None and is_locked(state, "credential", credential.credential_id, now_ms):
        return "credential"
    if cardholder is not None and is_locked(state, "cardholder", cardholder.cardholder_id, now_ms):
        return "cardholder"
    return None


def is_exempt(credential: Credential | None, cardholder: Cardholder | None) -> bool:
    """Whether locks don't hold somebody up: first responders and emergency credentials."""
    return (cardholder is not None and cardholder.exempt) or (credential is not None and credential.emergency)


def refuses_unheard(
    state: State,
    access_point_id: str,
    credential: Credential | None,
    cardholder: Cardholder | None,
    now_ms: int,
    *,
    several: bool,
) -> bool:
    """Whether a lock refuses whatever a secret would prove; `several` factors still open a locked access point."""
    if is_exempt(credential, cardholder):
        return False
    if locked_subject(state, credential, cardholder, now_ms) is not None:
        return True
    return not several and is_locked(state, "access-point", access_point_id, now_ms)
