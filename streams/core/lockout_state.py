"""What is kept of failed attempts and of locks (A4): small frozen entities, and what their keys look like."""

from __future__ import annotations

import msgspec


class LockCause(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What led to a lock, or to the fear of one: where the last failure was, and how many at how many sites."""

    lockout_id: str
    site_id: str
    subject_id: str
    cardholder_id: str | None
    credential_id: str | None
    access_point_id: str
    door_id: str | None
    failures: int
    numbers: int | None
    window_s: int
    first_ms: int
    last_ms: int
    reason: str
    decision_id: str
    sites: int = 1


class Lockout(msgspec.Struct, frozen=True, gc=False, tag="lockout", array_like=True):
    """A lock: `lockout/<site>/<credential, cardholder or access-point>/<id>`; `until_ms` None = until somebody ends it.

    What a controller decided alone before `since_ms` is no concern of it. `cause` is None as soon as its end was told;
    then it is kept for `starts` alone, those of the locks that count towards longer ones, until `forget_ms`.
    """

    until_ms: int | None
    since_ms: int = 0
    starts: tuple[int, ...] = ()
    forget_ms: int = 0
    cause: LockCause | None = None


class Failures(msgspec.Struct, frozen=True, gc=False, tag="failures", array_like=True):
    """Counted failures: `failures/<site>/<credential or cardholder>/<id>`, forgotten at `until_ms`.

    Times (Unix, milliseconds) in order; a credential's by access point, a cardholder's under no name.
    """

    times: tuple[tuple[str, tuple[int, ...]], ...]
    until_ms: int


class Guesses(msgspec.Struct, frozen=True, gc=False, tag="guesses", array_like=True):
    """Failures at an access point: `guesses/<access point>`, forgotten at `until_ms`.

    `times` are as many of the latest as lock; `numbers` are the latest different numbers that were tried (digests),
    each with its latest time, as many as lock. That is enough to know exactly when both limits are reached.
    """

    times: tuple[int, ...]
    numbers: tuple[tuple[int, int], ...]
    until_ms: int
    told_ms: int | None = None


class LockoutLet(msgspec.Struct, frozen=True, gc=False, tag="let", array_like=True):
    """A cardholder's lock everywhere that was ended at this site: `let/<site>/<cardholder>`, until that is known."""

    lockout_id: str
    until_ms: int


def lockout_key(site_id: str, subject: str, id_: str) -> str:
    """`lockout/<site>/<subject>/<id>`."""
    return f"lockout/{site_id}/{subject}/{id_}"


def failures_key(site_id: str, subject: str, id_: str) -> str:
    """`failures/<site>/<subject>/<id>`."""
    return f"failures/{site_id}/{subject}/{id_}"


def guesses_key(access_point_id: str) -> str:
    """`guesses/<access point>`."""
    return f"guesses/{access_point_id}"


def let_key(site_id: str, cardholder_id: str) -> str:
    """`let/<site>/<cardholder>`."""
    return f"let/{site_id}/{cardholder_id}"
