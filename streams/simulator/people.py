"""Who is who on the campus: cardholders, what they carry and may do, and whether what they show proves it.

Part of the oracle: written from the process design (A1, A2), sharing no code with the decisions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, Site
from schemas.rules import AllRequired, Fusion, HolidayCalendar, Method, Policy, Schedule, SingleMethod
from schemas.vocabulary import FactorKind, Reason
from streams.loading.campus import Campus
from streams.simulator.factors import BiometricRead, CardShown, PinTyped, Shown
from streams.simulator.places import Places

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BY_STATUS = {
    "lost": Reason.CREDENTIAL_LOST,
    "stolen": Reason.CREDENTIAL_STOLEN,
    "disabled": Reason.CREDENTIAL_DISABLED,
    "destroyed": Reason.CREDENTIAL_DISABLED,
}


class Proof(NamedTuple):
    """What was proved: whose it is where that is known, why it fails, whether it was a duress PIN.

    `credential` is what it is counted against (A4); `several`: the method has more than one factor.
    """

    holder: Cardholder | None
    failure: Reason | None
    duress: bool = False
    credential: Credential | None = None
    several: bool = False


class _Fact(NamedTuple):
    """What one factor shows."""

    failure: Reason | None
    holder: Cardholder | None
    score: float = 0.0
    duress: bool = False
    credential: Credential | None = None


class People:
    """Everybody on the campus."""

    def __init__(self, campus: Campus, places: Places) -> None:
        records: Any = campus.records
        self.holders: dict[str, Cardholder] = dict(records.get("cardholder", {}))
        self.credentials: dict[str, Credential] = dict(records.get("credential", {}))
        self.policies: dict[str, Policy] = dict(records.get("policy", {}))
        self.schedules: dict[str, Schedule] = dict(records.get("schedule", {}))
        self.calendars: dict[str, HolidayCalendar] = dict(records.get("holiday-calendar", {}))
        self._holidays = {
            id_: {holiday.date: holiday.kind for holiday in reversed(calendar.days)}
            for id_, calendar in self.calendars.items()
        }
        self.pins, self.templates = campus.pins, campus.templates
        self.places = places
        self.cards = {c.card_number: c for c in self.credentials.values() if c.card_number is not None}
        self.of: dict[str, list[Credential]] = defaultdict(list)
        for credential in self.credentials.values():
            if credential.cardholder_id is not None:
                self.of[credential.cardholder_id].append(credential)
        self.permissions: dict[str, list[Permission]] = defaultdict(list)
        for permission in records.get("permission", {}).values():
            self.permissions[permission.cardholder_id].append(permission)
        self.single_use = {p.permission_id for ps in self.permissions.values() for p in ps if p.kind == "single_use"}

    def policy_at(self, point: AccessPoint) -> Policy:
        """The policy of a reader."""
        return self.policies[point.policy_id or self.places.sites[point.site_id].policy_id]

    def own(self, holder_id: str, kind: FactorKind) -> list[Credential]:
        """The credentials of a kind that somebody has, the good ones first."""
        found = [credential for credential in self.of[holder_id] if credential.kind is kind]
        return sorted(found, key=lambda credential: credential.status != "active")

    def prove(self, point: AccessPoint, shown: Sequence[Shown], at: datetime) -> Proof:
        """Who is it, and do the factors prove it (A1)?"""
        policy = self.policy_at(point)
        by_kind = {one.kind: one for one in shown}
        method, complete = method_for(policy, set(by_kind))
        if method is None:
            return Proof(None, Reason.AUTHENTICATION_FACTOR_TIMEOUT)
        facts: dict[FactorKind, _Fact] = {}
        holder: Cardholder | None = None
        for kind in sorted(set(kinds_of(method)) & set(by_kind), key=lambda kind: _order(method, kind)):
            facts[kind] = self._fact(by_kind[kind], point, policy, holder, at)
            holder = holder or facts[kind].holder
        failure = next((fact.failure for fact in facts.values() if fact.failure is not None), None)
        if not complete:
            failure = failure or Reason.AUTHENTICATION_FACTOR_TIMEOUT
        elif len({fact.holder.cardholder_id for fact in facts.values() if fact.holder is not None}) > 1:
            failure = Reason.VERIFICATION_FAILED
        elif isinstance(method, Fusion):
            failure = _fused(method, facts)
        if failure is None and holder is None:
            failure = Reason.UNKNOWN_CREDENTIAL
        credential = next((fact.credential for fact in facts.values() if fact.credential is not None), None)
        duress = any(fact.duress for fact in facts.values())
        return Proof(holder, failure, duress, credential, len(kinds_of(method)) > 1)

    def open_at(self, schedule_id: str | None, site: Site, at: datetime) -> bool:
        """Whether a schedule allows access at a moment, by the clocks on the site's walls."""
        if schedule_id is None:
            return True
        schedule = self.schedules.get(schedule_id)
        if schedule is None or any(id_ not in self.calendars for id_ in site.holiday_calendar_ids):
            return False
        wall = at.astimezone(ZoneInfo(site.time_zone))
        minute = wall.hour * 60 + wall.minute
        for days_ago in (0, 1):
            for start, end in self._windows(schedule, site, wall - timedelta(days=days_ago)):
                last = end if end > start else end + 1440
                if start <= minute + 1440 * days_ago < last:
                    return True
        return False

    def _windows(self, schedule: Schedule, site: Site, day: datetime) -> Iterable[tuple[int, int]]:
        calendars = [self._holidays[id_] for id_ in site.holiday_calendar_ids]
        kind = next((days[day.date()] for days in calendars if day.date() in days), None)
        if kind is not None and schedule.observes_holidays:
            return [(_minute(w.start), _minute(w.end)) for w in schedule.holidays if w.kind == kind]
        return [(_minute(w.start), _minute(w.end)) for w in schedule.windows if DAYS[day.weekday()] in w.days]

    def _fact(self, shown: Shown, point: AccessPoint, policy: Policy, holder: Cardholder | None, at: datetime) -> _Fact:
        if isinstance(shown, CardShown):
            card = self.cards.get(shown.card_number)
            if card is None:
                return _Fact(Reason.UNKNOWN_CREDENTIAL, None)
            owner = self.holders.get(card.cardholder_id or "")
            failure = unfit(card, owner, at)
            return _Fact(failure, owner, 0.0 if failure else 1.0, credential=card)
        holder = holder or self.holders.get(shown.cardholder_id or "")
        if isinstance(shown, PinTyped):
            return self._pin(shown, holder, at)
        return self._biometric(shown, point, policy, holder, at)

    def _pin(self, shown: PinTyped, holder: Cardholder | None, at: datetime) -> _Fact:
        if holder is None:
            return _Fact(Reason.UNKNOWN_CREDENTIAL, None)
        own = self.own(holder.cardholder_id, FactorKind.PIN)
        if not own:
            return _Fact(Reason.INCORRECT_AUTHENTICATION_FACTOR, holder)
        failure = unfit(own[0], holder, at)
        plain = self.pins[own[0].credential_id]
        if failure is not None:
            return _Fact(failure, holder, duress=shown.pin == plain.duress_pin, credential=own[0])
        if shown.pin == plain.pin:
            return _Fact(None, holder, 1.0, credential=own[0])
        if shown.pin == plain.duress_pin:
            return _Fact(None, holder, 1.0, duress=True, credential=own[0])
        return _Fact(Reason.INCORRECT_AUTHENTICATION_FACTOR, holder, credential=own[0])

    def _biometric(
        self, shown: BiometricRead, point: AccessPoint, policy: Policy, holder: Cardholder | None, at: datetime
    ) -> _Fact:
        device = self.places.devices[self.places.doors[point.door_id].device_id]
        field = shown.kind.value
        threshold = getattr(device.thresholds, field)
        threshold = getattr(policy.thresholds, field) if threshold is None else threshold
        candidates = [holder.cardholder_id] if holder is not None else self._permitted(point)
        best: tuple[float, Credential] | None = None
        for id_ in candidates:
            for credential in self.own(id_, shown.kind):
                enrolled = self.templates.get(credential.credential_id)
                if enrolled is None or enrolled.model != shown.model or credential.status != "active":
                    continue
                score = max((likeness(shown.template, one) for one in enrolled.templates), default=0.0)
                if best is None or score > best[0]:
                    best = (score, credential)
        if best is None:
            return _Fact(Reason.VERIFICATION_FAILED, holder)
        score, credential = best
        owner = holder or self.holders.get(credential.cardholder_id or "")
        if score < threshold:
            return _Fact(Reason.VERIFICATION_FAILED, holder, score, credential=credential if holder else None)
        return _Fact(unfit(credential, owner, at), owner, score, credential=credential)

    def _permitted(self, point: AccessPoint) -> list[str]:
        around = set(self.places.paths[point.zone_to])
        return [
            id_
            for id_, permissions in self.permissions.items()
            if any(
                point.access_point_id in p.access_point_ids or point.door_id in p.door_ids or around & set(p.zone_ids)
                for p in permissions
            )
        ]


def unfit(credential: Credential, holder: Cardholder | None, at: datetime) -> Reason | None:
    """Why a credential is no good, whatever else was shown."""
    if credential.status != "active":
        return _BY_STATUS[credential.status]
    if holder is None:
        return Reason.CREDENTIAL_UNASSIGNED
    if holder.status != "active":
        return Reason.CREDENTIAL_DISABLED
    for one in (credential, holder):
        if one.valid_from is not None and at < one.valid_from:
            return Reason.CREDENTIAL_NOT_YET_ACTIVE
    for one in (credential, holder):
        if one.valid_until is not None and at >= one.valid_until:
            return Reason.CREDENTIAL_EXPIRED
    return None


def kinds_of(method: Method) -> tuple[FactorKind, ...]:
    """The factors that a method needs."""
    if isinstance(method, SingleMethod):
        return (method.factor,)
    return method.factors if isinstance(method, AllRequired) else tuple(method.weights)


def method_for(policy: Policy, presented: set[FactorKind]) -> tuple[Method | None, bool]:
    """The method that counts for what was presented, and whether it is complete."""
    whole = [method for method in policy.methods if set(kinds_of(method)) <= presented]
    if whole:
        most = max(len(kinds_of(method)) for method in whole)
        return next(method for method in whole if len(kinds_of(method)) == most), True
    return next((method for method in policy.methods if set(kinds_of(method)) & presented), None), False


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine similarity; opposite and unrelated are both 0."""
    if len(one) != len(other):
        return 0.0
    lengths = math.sqrt(math.fsum(a * a for a in one)) * math.sqrt(math.fsum(b * b for b in other))
    if lengths == 0:
        return 0.0
    return min(1.0, max(0.0, math.fsum(a * b for a, b in zip(one, other, strict=True)) / lengths))


def _fused(method: Fusion, facts: dict[FactorKind, _Fact]) -> Reason | None:
    for kind in method.weights:
        failure = facts[kind].failure
        if failure not in {None, Reason.VERIFICATION_FAILED, Reason.INCORRECT_AUTHENTICATION_FACTOR}:
            return failure
    total = math.fsum(weight * facts[kind].score for kind, weight in method.weights.items())
    return None if round(total, 6) >= method.threshold else Reason.VERIFICATION_FAILED


def _order(method: Method, kind: FactorKind) -> tuple[bool, int]:
    return kind is not FactorKind.CARD, kinds_of(method).index(kind)


def _minute(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
