"""Counting failed attempts at a site (A4): per credential at one access point, per cardholder, per access point.

The three are independent. Only what an authentication failed for counts, and only while nothing is locked: a policy's
denial, a factor that nobody could verify, and what a lock refused anyway do not. A failure counts at the broker's time
of its request; one that a controller recorded alone counts at its own time, no later than when it was sent, and can
lock only from now on. At a free exit nothing can be guessed, so nothing is counted there.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.access import AccessDenied, AccessGranted
from schemas.factors import Card
from schemas.ids import derive
from schemas.lockouts import AuthenticationFailed
from schemas.rules import LockoutLimits
from schemas.vocabulary import Enforcement, Reason
from streams.core import lockout_events
from streams.core.checks import in_service
from streams.core.counting import Times, next_lock, with_failure, with_number, would_be_over
from streams.core.lockout_state import Failures, Guesses, LockCause, Lockout, failures_key, guesses_key, lockout_key
from streams.core.lockouts import Everywhere, is_exempt, locks_on
from streams.core.processor import Outcome
from streams.core.question import Question
from streams.core.times import from_ms

MOST_POINTS = 8
"""Access points at which one credential's failures are kept apart; of more, the longest untouched are forgotten."""

OF_THE_CREDENTIAL = frozenset(
    {
        Reason.CREDENTIAL_UNASSIGNED,
        Reason.CREDENTIAL_NOT_YET_ACTIVE,
        Reason.CREDENTIAL_EXPIRED,
        Reason.CREDENTIAL_DISABLED,
        Reason.CREDENTIAL_LOST,
        Reason.CREDENTIAL_STOLEN,
    }
)
"""Failures that say nothing of the cardholder: who finds a lost card must not be able to lock its owner's new one."""

COUNTED = OF_THE_CREDENTIAL | {
    Reason.UNKNOWN_CREDENTIAL,
    Reason.INCORRECT_AUTHENTICATION_FACTOR,
    Reason.VERIFICATION_FAILED,
}
_CARDHOLDER = ""
"""A cardholder's failures are counted across doors: under no access point's name."""


class Kept(msgspec.Struct, frozen=True, gc=False, tag="kept"):
    """A counter's or a lock's new value; None = nothing of it is left."""

    key: str
    entity: Failures | Guesses | Lockout | None


def count_attempt(question: Question, decision: AccessGranted | AccessDenied, request: Any) -> Iterator[Outcome]:
    """What an attempt does to the counters, and the locks that come of it."""
    known, locks = question.authentication, question.locks
    if locks.lifted is not None and known.cardholder is not None:
        yield from _lifted(question, locks.lifted, known.cardholder.cardholder_id)
    if known.failure is None:
        if known.credential is not None and locks.subject is None:
            yield from _succeeded(question, known.credential.credential_id)
        return
    if known.failure not in COUNTED or not in_service(question.point, question.device):
        return
    several = known.method is not None and "+" in known.method
    if not question.live:
        # A lock that began since then lets no offline failure count either: it must not be replaced by another.
        locks = locks_on(
            question.state, question.context.references, question.site.site_id, question.point.access_point_id,
            known.credential, known.cardholder, max(question.event_ms, question.context.now_ms), live=True,
        )  # fmt: skip
    if locks.subject is not None or question.locks.subject is not None or (locks.point and not several):
        return
    if not is_exempt(known.credential, known.cardholder):
        yield from _Attempt(question, decision).count_person()
    if not locks.point:
        yield from _Attempt(question, decision).count_point(_number_of(request))


def _lifted(question: Question, lifted: Everywhere, cardholder_id: str) -> Iterator[Outcome]:
    """What an operator has ended at another site is over at this one, too, with all that was counted by then."""
    state, site_id, until_ms = question.state, question.site.site_id, lifted.lifted_ms or 0
    key = lockout_key(site_id, "cardholder", cardholder_id)
    lock: Lockout | None = state.get(key)
    if lock is not None and lock.since_ms <= until_ms:
        if lock.cause is not None:
            yield lockout_events.ended(lock, "cardholder", "site", lifted.lifted, question.context)
        yield Kept(key, None)
    key = failures_key(site_id, "cardholder", cardholder_id)
    failures: Failures | None = state.get(key)
    if failures is not None:
        left = _after(failures.times, until_ms)
        if left != failures.times:
            yield Kept(key, Failures(left, failures.until_ms) if left else None)


def _after(times: tuple[tuple[str, Times], ...], at_ms: int) -> tuple[tuple[str, Times], ...]:
    return tuple((name, left) for name, kept in times if (left := tuple(one for one in kept if one > at_ms)))


def _succeeded(question: Question, credential_id: str) -> Iterator[Outcome]:
    """A success clears the credential's own counter at this access point, of what had failed by then."""
    key = failures_key(question.site.site_id, "credential", credential_id)
    found: Failures | None = question.state.get(key)
    if found is None or not in_service(question.point, question.device):
        return
    point, at_ms = question.point.access_point_id, question.event_ms
    times = tuple(
        (name, left)
        for name, kept in found.times
        if (left := kept if name != point else tuple(one for one in kept if one > at_ms))
    )
    if times != found.times:
        yield Kept(key, Failures(times, found.until_ms) if times else None)


def _number_of(request: Any) -> int:
    """The number that was tried, as a digest: a card's, or the id that another factor claims; 0 for none."""
    for factor in sorted(request.factors, key=lambda one: not isinstance(one, Card)):
        number = factor.card_number if isinstance(factor, Card) else factor.cardholder_id or factor.credential_id
        if number is not None:
            return int.from_bytes(blake2b(number.encode(), digest_size=4).digest(), "big") | 1
    return 0


class _Attempt:
    """One failed attempt at an access point, on its way into the counters."""

    def __init__(self, question: Question, decision: AccessGranted | AccessDenied) -> None:
        self._question = question
        self._decision = decision
        self._limits = question.policy.lockout
        self._failure = question.authentication.failure or Reason.OUT_OF_SERVICE
        self._at_ms = question.event_ms
        lifted = question.locks.lifted
        self._lifted_ms = -1 if lifted is None or lifted.lifted_ms is None else lifted.lifted_ms

    def count_person(self) -> Iterator[Outcome]:
        """Count against the credential at this access point, and against the cardholder across doors."""
        known, point = self._question.authentication, self._question.point.access_point_id
        if known.credential is not None:
            yield from self._count("credential", known.credential.credential_id, point, self._limits.credential)
        if known.cardholder is not None and self._failure not in OF_THE_CREDENTIAL:
            who = known.cardholder.cardholder_id
            yield from self._count("cardholder", who, _CARDHOLDER, self._limits.cardholder)
            yield self._for_all_sites(who)

    def _count(self, subject: str, id_: str, point: str, limits: LockoutLimits) -> Iterator[Outcome]:
        key = failures_key(self._question.site.site_id, subject, id_)
        found: Failures = self._question.state.get(key) or Failures((), 0)
        before = dict(found.times if subject == "credential" else _after(found.times, self._lifted_ms))
        times = with_failure(before.pop(point, ()), self._at_ms, limits.window_s * 1000, limits.failures)
        if len(times) >= limits.failures:
            lock = self._lock(subject, id_, times, limits)
            if lock:
                yield self._kept(key, before, limits)
                yield from lock
                return
            times = times[1:]
        yield self._kept(key, {**before, point: times}, limits)

    def _kept(self, key: str, times: dict[str, Times], limits: LockoutLimits) -> Kept:
        """The counter with what is still in the window at any access point, the longest untouched first."""
        newest = max((one[-1] for one in times.values()), default=0)
        after = newest - limits.window_s * 1000
        left = sorted(((name, one) for name, one in times.items() if one[-1] > after), key=lambda x: (x[1][-1], x[0]))
        return Kept(key, Failures(tuple(left[-MOST_POINTS:]), newest + limits.window_s * 1000) if left else None)

    def _lock(self, subject: str, id_: str, times: Times, limits: LockoutLimits) -> list[Outcome]:
        """The lock that these failures lead to; nothing where it would be over before it could begin."""
        question, now_ms = self._question, self._question.context.now_ms
        key = lockout_key(question.site.site_id, subject, id_)
        old: Lockout = question.state.get(key) or Lockout(0)
        if subject == "cardholder" and old.since_ms <= self._lifted_ms:
            old = Lockout(0)
        until_ms, starts = next_lock(limits, old.starts, times[-1])
        if not question.live and would_be_over(limits, until_ms, times[-1], now_ms):
            return []
        lock = Lockout(
            until_ms,
            times[-1] if question.live else now_ms,
            starts,
            times[-1] + limits.ladder_s * 1000,
            self._cause(subject, id_, times, limits.window_s),
        )
        return self._begun(key, subject, old, lock)

    def _begun(self, key: str, subject: str, old: Lockout, lock: Lockout) -> list[Outcome]:
        context = self._question.context
        outcomes: list[Outcome] = []
        if old.cause is not None:
            # It ran out by the time of these requests, before its deadline's turn came.
            outcomes.append(lockout_events.expired(old, subject, "site", context))
        return [*outcomes, lockout_events.started(lock, subject, "site", context), Kept(key, lock)]

    def count_point(self, number: int) -> Iterator[Outcome]:
        """Count against the access point, whoever it was; tell before it is locked."""
        question, limits = self._question, self._limits.access_point
        if limits.enforcement is Enforcement.OFF:
            return
        point, window_ms = question.point.access_point_id, limits.window_s * 1000
        key = guesses_key(point)
        found: Guesses = question.state.get(key) or Guesses((), (), 0)
        times = with_failure(found.times, self._at_ms, window_ms, limits.failures)
        numbers = with_number(found.numbers, number, self._at_ms, times[-1], window_ms, limits.numbers)
        told_ms = found.told_ms if found.told_ms is not None and found.told_ms > times[-1] - window_ms else None
        if len(times) >= limits.failures and len(numbers) >= limits.numbers and limits.enforcement is Enforcement.HARD:
            lock = self._point_lock(times, len(numbers), question.live)
            if lock:
                yield Kept(key, None)
                yield from lock
                return
        if told_ms is None and 2 * len(times) >= limits.failures and 2 * len(numbers) >= limits.numbers:
            cause = self._cause("access-point", point, times, limits.window_s, len(numbers))
            yield lockout_events.impending(cause, question.context)
            told_ms = times[-1]
        yield Kept(key, Guesses(times, numbers, times[-1] + window_ms, told_ms))

    def _point_lock(self, times: Times, numbers: int, live: bool) -> list[Outcome]:
        """The access point's lock: always as short, never for good."""
        question, limits = self._question, self._limits.access_point
        point, now_ms = question.point.access_point_id, question.context.now_ms
        until_ms = times[-1] + limits.lock_s * 1000
        if not live and until_ms <= now_ms:
            return []
        cause = self._cause("access-point", point, times, limits.window_s, numbers)
        lock = Lockout(until_ms, times[-1] if live else now_ms, (), until_ms, cause)
        key = lockout_key(question.site.site_id, "access-point", point)
        return self._begun(key, "access-point", question.state.get(key) or Lockout(0), lock)

    def _cause(self, subject: str, id_: str, times: Times, window_s: int, numbers: int | None = None) -> LockCause:
        decision, person = self._decision, subject != "access-point"
        return LockCause(
            lockout_id=derive("lockout", decision.site_id, subject, id_, decision.decision_id),
            site_id=decision.site_id,
            subject_id=id_,
            cardholder_id=decision.cardholder_id if person else None,
            credential_id=decision.credential_id if person else None,
            access_point_id=decision.access_point_id,
            door_id=decision.door_id,
            failures=len(times),
            numbers=numbers,
            window_s=window_s,
            first_ms=times[0],
            last_ms=times[-1],
            reason=self._failure.value,
            decision_id=decision.decision_id,
        )

    def _for_all_sites(self, cardholder_id: str) -> AuthenticationFailed:
        decision = self._decision
        return AuthenticationFailed(
            cardholder_id=cardholder_id,
            credential_id=decision.credential_id,
            decision_id=decision.decision_id,
            site_id=decision.site_id,
            access_point_id=decision.access_point_id,
            door_id=decision.door_id,
            last_reason=self._failure,
            failed_at=from_ms(self._at_ms),
            live=self._question.live,
            limits=self._limits.cardholder,
            decided_at=decision.decided_at,
        )
