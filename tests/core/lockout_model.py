"""What A4 says, as plainly as it can be written: whole histories, nothing let go, no code of the core."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

FOREVER = float("inf")
WINDOW_S, LOCK_S, LONGEST_S, DAY_S = 300, 300, 3600, 86_400
FAILURES, PERMANENT_AFTER = 3, 2
READER_FAILURES, READER_NUMBERS, READER_WINDOW_S, READER_LOCK_S = 6, 3, 60, 60

Told = tuple[str, int, float]
"""A lock that began: its key, its number, and its end (seconds)."""


@dataclass
class Subject:
    """A credential, a cardholder at one site, or a cardholder everywhere."""

    failures: list[float] = field(default_factory=list)
    locks: list[tuple[float, float]] = field(default_factory=list)

    def locked(self, now: float) -> bool:
        return any(now < until for _since, until in self.locks)

    def lock(self, now: float) -> tuple[int, float]:
        number = 1 + sum(since > now - DAY_S for since, _until in self.locks)
        until = now + min(LOCK_S * 2 ** (number - 1), LONGEST_S) if number <= PERMANENT_AFTER else FOREVER
        self.locks.append((now, until))
        return number, until

    def end(self) -> None:
        self.failures.clear()
        self.locks.clear()


def too_many(failures: list[float], now: float) -> bool:
    """Count a failure; when there are too many, they are forgotten."""
    failures.append(now)
    if sum(one > now - WINDOW_S for one in failures) < FAILURES:
        return False
    failures.clear()
    return True


class Model:
    """Sites with readers, people with one card each, and what is locked for whom."""

    def __init__(self) -> None:
        self.cards: dict[tuple[str, str], Subject] = defaultdict(Subject)
        self.at_reader: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self.holders: dict[tuple[str, str], Subject] = defaultdict(Subject)
        self.everywhere: dict[str, Subject] = defaultdict(Subject)
        self.lifted: dict[str, float] = {}
        self.readers: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.reader_locks: dict[str, float] = {}
        self.failed: list[tuple[str, str]] = []
        self.told: list[Told] = []

    def person_locked(self, site: str, who: str, now: float) -> bool:
        if self.cards[site, who].locked(now):
            return True
        # What an operator has ended elsewhere is over here, as soon as the cardholder comes by.
        own, lifted = self.holders[site, who], self.lifted.get(who, -1)
        own.locks = [lock for lock in own.locks if lock[0] > lifted]
        own.failures = [one for one in own.failures if one > lifted]
        return own.locked(now) or self.everywhere[who].locked(now)

    def ask(self, site: str, reader: str, who: str, now: float, *, pin: bool | None) -> str:
        """Somebody with a card and a right or wrong PIN, or (None) with the card alone."""
        reader_locked = now < self.reader_locks.get(reader, -1)
        if self.person_locked(site, who, now):
            return "credential_lockout"
        if reader_locked and pin is None:
            self.at_reader[site, who, reader].clear()
            return "access_point_lockout"
        if pin is not False:
            self.at_reader[site, who, reader].clear()
            return "granted"
        if too_many(self.at_reader[site, who, reader], now):
            self._tell(f"{site}/credential/{who}-card", *self.cards[site, who].lock(now))
        if too_many(self.holders[site, who].failures, now):
            self._tell(f"{site}/cardholder/{who}", *self.holders[site, who].lock(now))
        self.failed.append((site, who))
        if not reader_locked:
            self._at_reader(site, reader, f"{who}-no", now)
        return "incorrect_authentication_factor"

    def stranger(self, site: str, reader: str, number: str, now: float) -> str:
        """A card that nobody knows, alone."""
        if now < self.reader_locks.get(reader, -1):
            return "access_point_lockout"
        self._at_reader(site, reader, number, now)
        return "unknown_credential"

    def _at_reader(self, site: str, reader: str, number: str, now: float) -> None:
        tried = self.readers[reader]
        tried.append((now, number))
        window = [number for at, number in tried if at > now - READER_WINDOW_S]
        if len(window) >= READER_FAILURES and len(set(window)) >= READER_NUMBERS:
            self.reader_locks[reader] = now + READER_LOCK_S
            tried.clear()
            self._tell(f"{site}/access-point/{reader}", 1, now + READER_LOCK_S)

    def add_up(self, now: float) -> None:
        """What the sites have told of meanwhile."""
        for _site, who in self.failed:
            subject = self.everywhere[who]
            if not subject.locked(now) and too_many(subject.failures, now):
                self._tell(f"everywhere/cardholder/{who}", *subject.lock(now))
                self.lifted.pop(who, None)
        self.failed.clear()

    def end(self, site: str, subject: str, id_: str, now: float) -> bool:
        """An operator's request; false where nothing is locked."""
        if subject == "access-point":
            return self._end_reader(id_, now)
        who = id_.removesuffix("-card")
        card, holder, everywhere = self.cards[site, who], self.holders[site, who], self.everywhere[who]
        if subject == "credential":
            held = card.locked(now)
        else:
            held = card.locked(now) or holder.locked(now) or everywhere.locked(now)
        if not held:
            return False
        card.locks = [] if card.locked(now) else card.locks
        for (at_site, of, _reader), failures in self.at_reader.items():
            if (at_site, of) == (site, who):
                failures.clear()
        if subject == "cardholder":
            holder.failures.clear()
            holder.locks = [] if holder.locked(now) else holder.locks
            if everywhere.locked(now):
                self.lifted[who] = now
            everywhere.failures.clear()
            everywhere.locks = [] if everywhere.locked(now) else everywhere.locks
        return True

    def _end_reader(self, reader: str, now: float) -> bool:
        if now >= self.reader_locks.get(reader, -1):
            return False
        del self.reader_locks[reader]
        self.readers[reader].clear()
        return True

    def _tell(self, key: str, number: int, until: float) -> None:
        self.told.append((key, number, until))
