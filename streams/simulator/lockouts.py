"""Who is locked out, as the oracle sees it (A4): worked out of whole histories of failures, of which nothing is let go.

Part of the oracle: written from the process design, sharing no code with the decisions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.places import AccessPoint
from schemas.rules import LockoutLimits
from schemas.vocabulary import Direction, Enforcement, Reason
from streams.simulator.factors import CardShown, Shown
from streams.simulator.people import People, Proof
from streams.simulator.places import Places

SLOWLY = timedelta(seconds=10)
"""How long it may take at most, on the slowest machine, until a site knows what failed at another."""

_BAD_CARD = {
    Reason.CREDENTIAL_LOST,
    Reason.CREDENTIAL_STOLEN,
    Reason.CREDENTIAL_DISABLED,
    Reason.CREDENTIAL_EXPIRED,
    Reason.CREDENTIAL_NOT_YET_ACTIVE,
    Reason.CREDENTIAL_UNASSIGNED,
}
_GUESSED = {Reason.UNKNOWN_CREDENTIAL, Reason.INCORRECT_AUTHENTICATION_FACTOR, Reason.VERIFICATION_FAILED}
COUNTED = _BAD_CARD | _GUESSED
"""What counts at all."""

SECRETS = {Reason.INCORRECT_AUTHENTICATION_FACTOR, Reason.VERIFICATION_FAILED}
"""What fails only where a secret is listened to."""


class Attempt(NamedTuple):
    """Somebody at a reader: when it happened, when it was decided, and whether they stood there then (`live`)."""

    point: AccessPoint
    proof: Proof
    at: datetime
    decided_at: datetime
    live: bool


@dataclass
class _Lock:
    since: datetime
    until: datetime | None
    ended: bool = False

    def holds(self, at: datetime, *, live: bool) -> bool:
        if self.ended or (self.until is not None and at >= self.until):
            return False
        return live or at >= self.since


@dataclass
class _History:
    """All that one subject is guilty of: failures (with the number tried and the site), and the locks they led to."""

    failures: list[tuple[datetime, str]] = field(default_factory=list)
    locks: list[_Lock] = field(default_factory=list)

    def locked(self, at: datetime, *, live: bool) -> bool:
        return any(lock.holds(at, live=live) for lock in self.locks)

    def end(self) -> bool:
        """End what holds; the next begins afresh."""
        held = any(not lock.ended for lock in self.locks)
        self.failures.clear()
        self.locks.clear()
        return held


class Lockouts:
    """What is locked at all sites. It is told of attempts in the order in which each site decided them."""

    def __init__(self, people: People, places: Places) -> None:
        self._people, self._places = people, places
        self._at_reader: dict[tuple[str, str, str], _History] = defaultdict(_History)
        self._credentials: dict[tuple[str, str], _History] = defaultdict(_History)
        self._holders: dict[tuple[str, str], _History] = defaultdict(_History)
        self._points: dict[str, _History] = defaultdict(_History)
        self._everywhere: dict[str, _History] = defaultdict(_History)

    def person(self, attempt: Attempt) -> bool | None:
        """Whether the credential or its holder is locked at that site; None where another site may have locked them."""
        proof, site, how = attempt.proof, attempt.point.site_id, {"live": attempt.live}
        own = self._credentials[site, proof.credential.credential_id] if proof.credential is not None else _History()
        if own.locked(attempt.at, **how):
            return True
        if proof.holder is None:
            return False
        if self._holders[site, proof.holder.cardholder_id].locked(attempt.at, **how):
            return True
        spread = self._everywhere[proof.holder.cardholder_id]
        return None if spread.locked(attempt.at - SLOWLY, live=True) or spread.locked(attempt.at, live=True) else False

    def reader(self, attempt: Attempt) -> bool:
        """Whether the reader is locked for single factors."""
        return self._points[attempt.point.access_point_id].locked(attempt.at, live=attempt.live)

    def exempt(self, proof: Proof) -> bool:
        """Whether locks don't concern somebody."""
        return (proof.holder is not None and proof.holder.exempt) or (
            proof.credential is not None and proof.credential.emergency
        )

    def attempted(self, attempt: Attempt | None, shown: Sequence[Shown], got: Reason | None) -> None:
        """Count an attempt of which that came; what a lock refused is not counted."""
        if attempt is None or got is Reason.CREDENTIAL_LOCKOUT:
            return
        point, proof = attempt.point, attempt.proof
        if point.direction is Direction.EGRESS and self._places.doors[point.door_id].egress == "free":
            return
        if not (point.enabled and self._places.works(point)):
            return
        locked = self.person(attempt) or self.person(self._now(attempt))
        if proof.failure is None:
            if proof.credential is not None and not self.person(attempt):
                kept = self._at_reader[point.site_id, proof.credential.credential_id, point.access_point_id]
                kept.failures = [one for one in kept.failures if one[0] > attempt.at]
            return
        reader = self.reader(attempt) or self.reader(self._now(attempt))
        if locked or proof.failure not in COUNTED or (reader and not proof.several):
            return
        if not self.exempt(proof):
            self._count_person(attempt)
        if not reader:
            self._count_reader(attempt, _number(shown))

    def ended(self, site_id: str, subject: str, subject_id: str) -> None:
        """An operator has ended a lock."""
        if subject == "access-point":
            self._points[subject_id].end()
            return
        credentials = {subject_id}
        if subject == "cardholder":
            credentials = {one.credential_id for one in self._people.of[subject_id]}
            self._holders[site_id, subject_id].end()
            for (_site, holder), history in self._holders.items():
                if holder == subject_id:  # ended here, it is known to be ended at the other sites, too
                    for lock in history.locks:
                        lock.ended = True
            self._everywhere[subject_id].end()
        for credential in credentials:
            self._credentials[site_id, credential].end()
            for (site, one, _point), history in self._at_reader.items():
                if (site, one) == (site_id, credential):
                    history.failures.clear()

    def _now(self, attempt: Attempt) -> Attempt:
        """What is locked by now concerns what was recorded before, too: it is not counted any more."""
        return attempt if attempt.live else attempt._replace(at=max(attempt.at, attempt.decided_at), live=True)

    def _count_person(self, attempt: Attempt) -> None:
        point, proof, limits = attempt.point, attempt.proof, self._people.policy_at(attempt.point).lockout
        if proof.credential is not None:
            id_ = proof.credential.credential_id
            here = self._at_reader[point.site_id, id_, point.access_point_id]
            if _too_many(here, attempt, limits.credential):
                _lock(self._credentials[point.site_id, id_], here, attempt, limits.credential)
        if proof.holder is not None and proof.failure not in _BAD_CARD:
            own = self._holders[point.site_id, proof.holder.cardholder_id]
            if _too_many(own, attempt, limits.cardholder):
                _lock(own, own, attempt, limits.cardholder)
            spread = self._everywhere[proof.holder.cardholder_id]
            if not spread.locked(attempt.at, live=True) and _too_many(spread, attempt, limits.cardholder):
                _lock(spread, spread, attempt, limits.cardholder)

    def _count_reader(self, attempt: Attempt, number: str) -> None:
        limits = self._people.policy_at(attempt.point).lockout.access_point
        history = self._points[attempt.point.access_point_id]
        history.failures.append((attempt.at, number))
        if limits.enforcement is not Enforcement.HARD:
            return
        newest = max(at for at, _number in history.failures)
        window = [one for one in history.failures if one[0] > newest - timedelta(seconds=limits.window_s)]
        if len(window) >= limits.failures and len({number for _at, number in window}) >= limits.numbers:
            until = newest + timedelta(seconds=limits.lock_s)
            if attempt.live or until > attempt.decided_at:
                history.locks.append(_Lock(newest if attempt.live else attempt.decided_at, until))
                history.failures.clear()


def _too_many(history: _History, attempt: Attempt, limits: LockoutLimits) -> bool:
    history.failures.append((attempt.at, ""))
    newest = max(at for at, _number in history.failures)
    return sum(at > newest - timedelta(seconds=limits.window_s) for at, _number in history.failures) >= limits.failures


def _lock(subject: _History, counter: _History, attempt: Attempt, limits: LockoutLimits) -> None:
    newest = max(at for at, _number in counter.failures)
    day = [lock for lock in subject.locks if lock.since > newest - timedelta(seconds=limits.ladder_s)]
    lasts = min(limits.lock_s * 2 ** len(day), limits.longest_lock_s)
    for_good = len(day) >= limits.permanent_after
    until = newest + timedelta(seconds=limits.longest_lock_s if for_good else lasts)
    if attempt.live or until > attempt.decided_at:
        subject.locks.append(_Lock(newest if attempt.live else attempt.decided_at, None if for_good else until))
        counter.failures.clear()


def _number(shown: Sequence[Shown]) -> str:
    card = next((one.card_number for one in shown if isinstance(one, CardShown)), None)
    claimed = next((one.cardholder_id for one in shown if not isinstance(one, CardShown) and one.cardholder_id), None)
    return card or claimed or ""
