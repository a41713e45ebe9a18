"""The end of locks: when they run out, and when an operator ends them early (A4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schemas.lockouts import LockoutLifted
from schemas.operators import LockoutEndRequested
from streams.core import lockout_events, reference
from streams.core.failures import Kept
from streams.core.lockout_state import Lockout, LockoutLet, failures_key, guesses_key, let_key, lockout_key
from streams.core.lockouts import TABLE, Everywhere, everywhere_in_force, in_force
from streams.core.operator_admission import Refused, accepted
from streams.core.processor import Context, Outcome, State
from streams.core.times import from_ms

LET_S = 3600
"""How long a site remembers that it ended a lock which holds everywhere, where that lock has no end of its own."""


class LetGo(msgspec.Struct, frozen=True, gc=False, tag="let_go"):
    """A cardholder's lock at all sites no longer holds at this one."""

    key: str
    let: LockoutLet


def run_out(key: str, state: State, context: Context) -> Iterator[Outcome]:
    """A lock's deadline: its end is told; then it is kept until it no longer makes the next one longer."""
    lock: Lockout | None = state.get(key)
    if lock is None:
        return
    if lock.cause is None:
        yield Kept(key, None)
        return
    yield lockout_events.expired(lock, lock_subject(key, lock), "site", context)
    yield Kept(key, msgspec.structs.replace(lock, cause=None) if lock.starts else None)


def lock_subject(key: str, lock: Lockout) -> str:
    """The subject of a lock, from its key and what led to it."""
    if lock.cause is None:
        raise ValueError("nobody knows any more what this lock is of")
    return key.removeprefix(f"lockout/{lock.cause.site_id}/").removesuffix(f"/{lock.cause.subject_id}")


def end_lockouts(request: LockoutEndRequested, state: State, context: Context) -> Iterator[Outcome]:
    """End a lock on an operator's request: the counters begin afresh, and the next lock is a first one again."""
    if not request.reason.strip():
        raise Refused("no_reason", "a lock is ended for a reason: give one")
    outcomes = list(_end(request, state, context))
    if not outcomes:
        known = f"{request.subject} {request.subject_id} is not locked at {request.site_id}"
        raise Refused("unknown_lockout", f"{known}: see `doorstream lockouts list`")
    yield accepted(request, context, subject=request.subject, subject_id=request.subject_id)
    yield from outcomes


def _end(request: LockoutEndRequested, state: State, context: Context) -> Iterator[Outcome]:
    site_id, subject, id_ = request.site_id, request.subject, request.subject_id
    ended = [(subject, id_)]
    if subject == "cardholder":
        ended += [("credential", one.credential_id) for one in reference.all_credentials_of(context.references, id_)]
    locked = False
    for kind, name in ended:
        key = lockout_key(site_id, kind, name)
        lock: Lockout | None = state.get(key)
        if lock is not None and lock.cause is not None and in_force(lock, context.now_ms, live=True):
            locked = True
            yield lockout_events.ended(lock, kind, "site", request, context)
            yield Kept(key, None)
    if subject == "cardholder":
        everywhere: Everywhere | None = context.references.get(TABLE, id_)
        if everywhere is not None and everywhere_in_force(state, site_id, id_, everywhere, context.now_ms, live=True):
            locked = True
            until_ms = everywhere.until_ms or context.now_ms + LET_S * 1000
            yield LetGo(let_key(site_id, id_), LockoutLet(everywhere.lockout_id, until_ms))
    if not locked:
        return
    yield from _cleared(request, ended, state)
    if subject == "cardholder":
        # Whatever the sites' failures have added up to meanwhile ends too.
        yield LockoutLifted(
            cardholder_id=id_,
            site_id=site_id,
            request_id=request.request_id,
            operator_id=request.operator_id,
            reason=request.reason,
            decided_at=from_ms(context.now_ms),
        )


def _cleared(request: Any, ended: Sequence[tuple[str, str]], state: State) -> Iterator[Outcome]:
    for kind, name in ended:
        key = guesses_key(name) if kind == "access-point" else failures_key(request.site_id, kind, name)
        if state.get(key) is not None:
            yield Kept(key, None)
