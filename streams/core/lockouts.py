"""Lockouts as access sees them (A4): who or what is locked, who is exempt, and when no secret is listened to.

While a lock refuses anyway, no PIN is verified: the answer would tell a guesser which one is right, uncounted.

What somebody asks at a door now is judged after all that was decided before it, and a lock ends for it by the broker's
time of the request. What a controller decided alone is judged by its own time, and by locks that had begun by then.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schemas.access import AccessRecorded, AccessRequested
from schemas.lockouts import LockoutEnded, LockoutStarted
from schemas.people import Cardholder, Credential
from schemas.record import Record
from schemas.registry import decode
from streams.core.lockout_state import Lockout, LockoutLet, let_key, lockout_key
from streams.core.processor import Context, References, State
from streams.core.times import from_ms, to_ms

TABLE = "lockout"
TOPIC = "lockouts.global"


class Everywhere(msgspec.Struct, frozen=True, gc=False):
    """A cardholder's lock at all sites, as it is read; `lifted`: an operator has ended it, at `lifted_ms`."""

    lockout_id: str
    since_ms: int
    until_ms: int | None
    lifted_ms: int | None = None
    lifted: LockoutEnded | None = None


class Locks(NamedTuple):
    """What is locked for somebody at an access point: `credential`, `cardholder` or neither, and the access point.

    `lifted` is the end by an operator, maybe at another site, of all that the cardholder was guilty of until then.
    """

    subject: str | None
    point: bool
    lifted: Everywhere | None = None


NONE = Locks(None, point=False)


def read_everywhere(value: bytes) -> Everywhere | None:
    """What a record of `lockouts.global` says; None of a lock that ran out."""
    message = decode(TOPIC, value)
    since_ms = to_ms(message.started_at)
    if isinstance(message, LockoutStarted):
        until_ms = None if message.locked_until is None else to_ms(message.locked_until)
        return Everywhere(message.lockout_id, since_ms, until_ms)
    if isinstance(message, LockoutEnded) and message.cause == "operator":
        return Everywhere(message.lockout_id, since_ms, None, to_ms(message.ended_at), message)
    return None


def event_ms_of(request: AccessRequested | AccessRecorded, record: Record, context: Context) -> int:
    """When an attempt was made, as far as windows and locks go (Unix, milliseconds): by the broker's append time.

    What a controller decided alone is believed to have happened when it says, but never after it was sent.
    """
    if isinstance(request, AccessRecorded):
        return min(to_ms(request.occurred_at), record.timestamp_ms)
    return min(record.timestamp_ms, context.now_ms)


def in_force(lock: Lockout | None, at_ms: int, *, live: bool) -> bool:
    """Whether a lock holds at that time."""
    if lock is None or (lock.until_ms is not None and at_ms >= lock.until_ms):
        return False
    return live or at_ms >= lock.since_ms


def locks_on(
    state: State,
    references: References,
    site_id: str,
    access_point_id: str,
    credential: Credential | None,
    cardholder: Cardholder | None,
    at_ms: int,
    *,
    live: bool,
) -> Locks:
    """What is locked for somebody at an access point, at that time."""
    get = state.get
    subject = lifted = None
    if credential is not None:
        lock = get(lockout_key(site_id, "credential", credential.credential_id))
        if lock is not None and in_force(lock, at_ms, live=live):
            subject = "credential"
    if cardholder is not None and subject is None:
        who = cardholder.cardholder_id
        lock, everywhere = get(lockout_key(site_id, "cardholder", who)), references.get(TABLE, who)
        if everywhere is not None and everywhere.lifted_ms is not None:
            lifted = everywhere
            lock = lock if lock is not None and lock.since_ms > everywhere.lifted_ms else None
        if (lock is not None and in_force(lock, at_ms, live=live)) or (
            everywhere is not None and everywhere_in_force(state, site_id, who, everywhere, at_ms, live=live)
        ):
            subject = "cardholder"
    lock = get(lockout_key(site_id, "access-point", access_point_id))
    point = lock is not None and in_force(lock, at_ms, live=live)
    return NONE if subject is None and lifted is None and not point else Locks(subject, point, lifted)


def everywhere_in_force(
    state: State, site_id: str, cardholder_id: str, everywhere: Everywhere | None, at_ms: int, *, live: bool
) -> bool:
    """Whether a cardholder's lock at all sites holds at this one, where an operator may have ended it just now."""
    if everywhere is None or everywhere.lifted_ms is not None:
        return False
    let: LockoutLet | None = state.get(let_key(site_id, cardholder_id))
    if let is not None and let.lockout_id == everywhere.lockout_id:
        return False
    return in_force(Lockout(everywhere.until_ms, everywhere.since_ms), at_ms, live=live)


def is_exempt(credential: Credential | None, cardholder: Cardholder | None) -> bool:
    """Whether locks don't hold somebody up: first responders and emergency credentials."""
    return (cardholder is not None and cardholder.exempt) or (credential is not None and credential.emergency)


def refuses_unheard(
    locks: Locks, credential: Credential | None, cardholder: Cardholder | None, *, several: bool
) -> bool:
    """Whether a lock refuses whatever a secret would prove; `several` factors still open a locked access point."""
    if locks is NONE or is_exempt(credential, cardholder):
        return False
    return locks.subject is not None or (locks.point and not several)


def until(state: State, references: References, site_id: str, subject: str, id_: str) -> str:
    """When a lock ends, for people."""
    lock: Lockout | None = state.get(lockout_key(site_id, subject, id_))
    everywhere: Everywhere | None = references.get(TABLE, id_) if subject == "cardholder" else None
    ends = [one.until_ms for one in (lock, everywhere) if one is not None]
    last = None if not ends or None in ends else max(one for one in ends if one is not None)
    return "somebody ends it" if last is None else from_ms(last).isoformat(timespec="seconds")
