"""The oracle: what should come of every request, known from the campus and from what happened, not from the core.

It is asked in the order of `access.decisions`, which is the order in which the site decided, and each decision's own
`decided_at` is the time that schedules are judged at. So its answer is exact, whatever raced with what.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.people import Cardholder, Permission
from schemas.places import AccessPoint, Zone
from schemas.vocabulary import Direction, Enforcement, Reason
from streams.simulator.factors import CardShown, Shown
from streams.simulator.happenings import Happenings
from streams.simulator.lockdowns import OPEN, Lockdowns, Shut
from streams.simulator.lockouts import SECRETS, Attempt, Lockouts
from streams.simulator.people import People, Proof, unfit
from streams.simulator.places import Places
from streams.simulator.unlocked import Unlocked

Outcomes = frozenset[Reason | None]
"""The reasons that are right; None is a grant. More than one only where nobody can know."""

TWO = 2


class Expected(NamedTuple):
    """What should come of a request, and who asked; `attempt` is what counts towards a lockout.

    `failed` are the checks that fail, in their order, also where that keeps nobody from leaving.
    """

    outcomes: Outcomes
    holder: Cardholder | None
    permission: Permission | None
    duress: bool | None
    attempt: Attempt | None = None
    failed: tuple[Outcomes, ...] = ()

    def accounts_for(self, reasons: Sequence[Reason]) -> bool:
        """Whether these are the checks that should fail; one that may or may not fail may be missing."""
        left = list(reasons)
        for one in self.failed:
            if left and left[0] in one:
                left.pop(0)
            elif None not in one:
                return False
        return not left


class Oracle:
    """Expects; `happenings` is its picture of who is where, `lockouts`, `lockdowns` and `unlocked` of locks."""

    def __init__(self, people: People, places: Places, happenings: Happenings) -> None:
        self.happenings = happenings
        self.lockouts = Lockouts(people, places)
        self.lockdowns = Lockdowns(people, places)
        self.unlocked = Unlocked(people, places)
        self._people = people
        self._places = places

    def expect(
        self,
        point: AccessPoint,
        shown: Sequence[Shown],
        decided_at: datetime,
        at: datetime,
        asked_at: datetime | None = None,
        *,
        live: bool = True,
        shut: Shut = OPEN,
    ) -> Expected:
        """The right outcome of a request that is decided then and judged by the clocks `at` then.

        `asked_at` is when it was made, which locks are judged by; `live`: somebody stands at the door; `shut`: what is.
        """
        proof = self._people.prove(point, shown, at)
        attempt = Attempt(point, proof, asked_at or decided_at, decided_at, live)
        blocked = Reason.OUT_OF_SERVICE if shut.blocked else self.in_service(point)
        checks: list[Outcomes | Reason | None] = [blocked, Reason.LOCKDOWN if shut.lockdown else None]
        checks += self._authenticated(attempt)
        permission: Permission | None = None
        if proof.holder is not None:
            permission, failures = self._permission(point, proof.holder, at)
            checks += failures
            checks += self._rules(point, proof.holder, at, live=live)
        failed = [one if isinstance(one, frozenset) else frozenset({one}) for one in checks if one is not None]
        door = self._places.doors[point.door_id]
        if point.direction is Direction.EGRESS and door.egress == "free":
            return Expected(frozenset({None}), proof.holder, permission, proof.duress, attempt, tuple(failed))
        duress = self._heard(attempt) if proof.duress else False
        return Expected(_first(failed), proof.holder, permission, duress, attempt, tuple(failed))

    def _heard(self, attempt: Attempt) -> bool | None:
        """Whether a PIN is listened to; None where nobody can know whether a lock holds."""
        if self.in_service(attempt.point) is not None:
            return False
        if self.lockouts.exempt(attempt.proof):
            return True
        person = self.lockouts.person(attempt)
        if person or (self.lockouts.reader(attempt) and not attempt.proof.several):
            return False
        return True if person is False else None

    def _authenticated(self, attempt: Attempt) -> list[Outcomes | Reason | None]:
        """What authentication and lockout say; behind a lock nobody listens to a secret."""
        proof, lockouts = attempt.proof, self.lockouts
        if lockouts.exempt(proof):
            return [proof.failure]
        person, reader = lockouts.person(attempt), lockouts.reader(attempt)
        unheard = None if proof.failure in SECRETS else proof.failure
        if person:
            return [unheard, Reason.CREDENTIAL_LOCKOUT]
        if reader and not (proof.several and proof.failure is None):
            unknown = proof.failure is Reason.UNKNOWN_CREDENTIAL
            shut = None if unknown else unheard  # nor may anybody learn there which cards exist
            return [proof.failure if proof.several else shut, Reason.ACCESS_POINT_LOCKOUT]
        if person is None:
            return [frozenset({proof.failure, Reason.CREDENTIAL_LOCKOUT})]
        return [proof.failure]

    def snapshot(
        self, point: AccessPoint, shown: Sequence[Shown], at: datetime, *, shut: bool = False
    ) -> Reason | None:
        """What a controller may decide alone, from synced permissions: the card and its rights, no PIN, no state."""
        if point.direction is Direction.EGRESS and self._places.doors[point.door_id].egress == "free":
            return None
        if shut:
            return Reason.LOCKDOWN
        card = next((one for one in shown if isinstance(one, CardShown)), None)
        methods = self._people.policy_at(point).methods
        alone = any(method.kind == "single" and method.factor == "card" for method in methods)
        if card is None or not alone or self.in_service(point):
            return Reason.AUTHENTICATION_UNAVAILABLE
        known = self._people.cards.get(card.card_number)
        holder = self._people.holders.get(known.cardholder_id or "") if known is not None else None
        if known is None or holder is None or unfit(known, holder, at) is not None:
            return Reason.NO_ACCESS_RIGHTS
        zone = self._places.zones[point.zone_to]
        guided = zone.escort.enforcement is Enforcement.HARD and holder.needs_escort
        if not holder.exempt and (guided or zone.two_person.enforcement is Enforcement.HARD):
            return Reason.NO_ACCESS_RIGHTS  # nobody alone knows who else is there
        for permission in self._people.permissions[holder.cardholder_id]:
            # Whether a single use was made elsewhere can't be known alone.
            lasting = permission.site_id == point.site_id and permission.kind != "single_use"
            if lasting and not any(self._checks(permission, point, holder, at)):
                return None
        return Reason.NO_ACCESS_RIGHTS

    def permitted(self, point: AccessPoint, holder: Cardholder, shown: Sequence[Shown], at: datetime) -> bool:
        """Whether somebody may pass as far as records tell, whatever is going on."""
        proof = self._people.prove(point, shown, at)
        if self.in_service(point) or proof.failure or proof.holder is not holder:
            return False
        return not self._permission(point, holder, at)[1]

    def in_service(self, point: AccessPoint) -> Reason | None:
        """Why a reader serves nobody, as far as records tell."""
        return None if point.enabled and self._places.works(point) else Reason.OUT_OF_SERVICE

    def _permission(
        self, point: AccessPoint, holder: Cardholder, at: datetime
    ) -> tuple[Permission | None, list[Reason]]:
        """The permission that counts, and every check that fails with it."""
        found = [p for p in self._people.permissions[holder.cardholder_id] if p.site_id == point.site_id]
        if not found:
            return None, [Reason.NO_ACCESS_RIGHTS]
        judged = [(permission, self._checks(permission, point, holder, at)) for permission in found]
        # All is well with one; else the one that is meant for this door, and of those the one that comes farthest.
        permission, checks = max(judged, key=lambda one: (not any(one[1]), one[1][3] is None, _reach(one[1])))
        return permission, [reason for reason in checks if reason is not None]

    def _checks(
        self, permission: Permission, point: AccessPoint, holder: Cardholder, at: datetime
    ) -> tuple[Reason | None, Reason | None, Reason | None, Reason | None]:
        site, zone = self._places.sites[point.site_id], self._places.zones[point.zone_to]
        validity: Reason | None = None
        if permission.status != "active":
            validity = Reason.NO_ACCESS_RIGHTS
        elif permission.valid_from is not None and at < permission.valid_from:
            validity = Reason.CREDENTIAL_NOT_YET_ACTIVE
        elif permission.valid_until is not None and at >= permission.valid_until:
            validity = Reason.CREDENTIAL_EXPIRED
        kind: Reason | None = None
        if (zone.special and permission.kind != "special") or holder.clearance < zone.clearance:
            kind = Reason.ZONE_NO_ACCESS_RIGHTS
        elif permission.kind == "single_use":
            used_up = self.happenings.uses(permission.permission_id) >= permission.max_uses
            kind = Reason.MAX_USES if used_up and point.direction is Direction.ENTRY else None
        on_time = self._people.open_at(permission.schedule_id, site, at)
        here = (
            point.access_point_id in permission.access_point_ids
            or point.door_id in permission.door_ids
            or bool(set(permission.zone_ids) & self._around(point))
        )
        return (
            validity,
            kind,
            None if on_time else Reason.OUT_OF_TIME_RANGE,
            None if here else Reason.POINT_NO_ACCESS_RIGHTS,
        )

    def _around(self, point: AccessPoint) -> set[str]:
        """The zones whose permissions open a door; who may be in a zone may leave it, wherever that leads."""
        found = set(self._places.inside(point.zone_to) or (point.zone_to,))
        if point.direction is Direction.EGRESS:
            found.update(self._places.inside(point.zone_from) or (point.zone_from,))
        return found

    def _rules(
        self, point: AccessPoint, holder: Cardholder, at: datetime, *, live: bool
    ) -> list[Outcomes | Reason | None]:
        if holder.exempt:
            return []  # first responders break every rule softly
        zone = self._places.zones[point.zone_to]
        lasting: tuple[Outcomes | Reason | None, Outcomes | Reason | None] = (
            self._passback(point, holder, zone, at),
            self._first_person(point, holder, zone, at),
        )
        if not live:
            return [*lasting]  # who was where at that very moment is not known any more
        return [
            lasting[0],
            self._occupancy(point, holder),
            self._two_person(holder, zone, at),
            self._escort(holder, zone, at),
            self._interlock(point, at),
            lasting[1],
        ]

    def _passback(self, point: AccessPoint, holder: Cardholder, zone: Zone, at: datetime) -> Reason | None:
        if zone.passback.enforcement is not Enforcement.HARD:
            return None
        where = self.happenings.comes_from(point.site_id, holder.cardholder_id, at, zone.passback.presence_timeout_s)
        if where is None or where == point.zone_from:
            return None
        around = self._places.inside(where)
        if not around:  # all streets are one
            return None if self._places.zones[point.zone_from].kind == "outside" else Reason.PASSBACK
        return None if point.zone_from in around and point.zone_to not in around else Reason.PASSBACK

    def _occupancy(self, point: AccessPoint, holder: Cardholder) -> Reason | None:
        for zone_id in self.happenings.entered(point.site_id, holder.cardholder_id, point.zone_to):
            rule = self._places.zones[zone_id].occupancy
            expected = self.happenings.expected(zone_id, point.door_id, holder.cardholder_id)
            if rule.enforcement is Enforcement.HARD and self.happenings.count(zone_id) + expected >= rule.limit:
                return Reason.OCCUPANCY_LIMIT
        return None

    def _two_person(self, holder: Cardholder, zone: Zone, at: datetime) -> Reason | None:
        rule = zone.two_person
        if rule.enforcement is not Enforcement.HARD or self.happenings.count(zone.zone_id) >= TWO:
            return None
        other = self.happenings.candidate(zone.zone_id, at, timedelta(seconds=rule.window_s))
        return None if other is not None and other != holder.cardholder_id else Reason.NO_ACCOMPANIMENT

    def _escort(self, holder: Cardholder, zone: Zone, at: datetime) -> Reason | None:
        rule = zone.escort
        if rule.enforcement is not Enforcement.HARD or not holder.needs_escort:
            return None
        window = timedelta(seconds=rule.window_s)
        if self.happenings.escorted(zone.zone_id, at, window):
            return None
        other = self.happenings.candidate(zone.zone_id, at, window)
        alone = other is None or other == holder.cardholder_id
        return Reason.NO_ACCOMPANIMENT if alone else Reason.INCORRECT_ACCOMPANIMENT

    def _interlock(self, point: AccessPoint, at: datetime) -> Outcomes | None:
        rule = self._places.doors[point.door_id].interlock
        if rule is None or rule.enforcement is not Enforcement.HARD:
            return None
        answers: set[bool | None] = set()
        for door in self._places.doors.values():
            if door.door_id != point.door_id and door.interlock is not None and door.interlock.group == rule.group:
                answers.add(self.happenings.busy(door.door_id, at))
        if True in answers:
            return frozenset({Reason.INTERLOCK})
        return frozenset({Reason.INTERLOCK, None}) if None in answers else None

    def _first_person(self, point: AccessPoint, holder: Cardholder, zone: Zone, at: datetime) -> Reason | None:
        if zone.first_person_in.enforcement is not Enforcement.HARD or holder.first_person:
            return None
        return None if self.happenings.opened_today(point.site_id, zone.zone_id, at) else Reason.FIRST_PERSON_ABSENT


def _reach(checks: Sequence[Reason | None]) -> int:
    return next((index for index, reason in enumerate(checks) if reason is not None), len(checks))


def _first(failed: Sequence[Outcomes]) -> Outcomes:
    """The reason is the first check that fails; one that may or may not fail leaves the next one possible, too."""
    right: set[Reason | None] = set()
    for one in failed:
        right |= one - {None}
        if None not in one:
            return frozenset(right)
    return frozenset(right | {None})


__all__ = ["Expected", "Oracle", "Outcomes", "Proof"]
