"""What is locked down, as the oracle sees it, and whether each decision says so.

Decisions, lockdowns and modes travel on topics of their own. Each names its entry in the site's journal, so that it is
known which came first, whichever was read first; within an entry what operators ask for comes before what people do.
So a decision's word is taken at once, and looked into when all has been read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from schemas.lockdown_plans import USUAL_PLAN
from schemas.places import AccessPoint
from schemas.vocabulary import Direction, DoorMode
from streams.simulator.people import People
from streams.simulator.places import Places

Fields = Mapping[str, Any]
_NEVER = float("inf")
_SKEW = timedelta(seconds=1)


class Shut(NamedTuple):
    """What keeps everybody out whatever they show: a lockdown, or a door that is blocked."""

    lockdown: bool = False
    blocked: bool = False


OPEN = Shut()


class Claim(NamedTuple):
    """What a decision says of what is shut. `clearance` is that of whoever proved who they are; None: nobody did.

    `blocked` is None where the door is out of service anyway. `sure`: nothing else decides who has the clearance.
    `at`: when it happened, of what a controller decided alone and told later.
    """

    what: str
    point: AccessPoint
    clearance: int | None
    number: int
    lockdown: bool
    blocked: bool | None
    sure: bool = True
    at: datetime | None = None


@dataclass
class _Lockdown:
    """In force from one entry of the journal to another. `exact`: no decision of the first entry may be before it.

    `begun_at`: since when it is one of this zone. `missing` doors are told to have not confirmed, and why.
    """

    clearance: int | None
    started_at: datetime
    begun_at: datetime
    since: int
    exact: bool
    drill: bool = False
    until: float = _NEVER
    released: bool = False
    missing: frozenset[str] = frozenset()


class Lockdowns:
    """Learns `incidents` and `door.modes`, in the order of each, and the claims of decisions."""

    def __init__(self, people: People, places: Places) -> None:
        self._people, self._places = people, places
        self._known: dict[tuple[str, str], _Lockdown] = {}
        self._modes: dict[str, list[tuple[int, DoorMode]]] = defaultdict(list)
        self._claims: list[Claim] = []

    def told(self, fields: Fields) -> None:
        """A message of `incidents`. A drill refuses nobody, unless it is one with real commands."""
        if (fields["drill"] and not fields.get("drill_commands")) or fields["zone_id"] not in self._places.zones:
            return
        number, incident_id = int(fields["journal"]["number"]), fields["incident_id"]
        before = [one for (id_, _zone), one in self._known.items() if id_ == incident_id]
        here = self._known.get((incident_id, fields["zone_id"]))
        if here is None:
            started = datetime.fromisoformat(fields["started_at"])
            begun = datetime.fromisoformat(fields["decided_at"]) if before else started
            since = number if before or fields["type"] == "lockdown_started" else 0
            exact = bool(before) or fields["cause"] == "operator"
            here = self._known[incident_id, fields["zone_id"]] = _Lockdown(
                self._clearance(fields), started, begun, since, exact, fields["drill"]
            )
        here.missing = frozenset(one["door_id"] for one in fields["unconfirmed"] if one["why"])
        for one in (*before, here):
            if one is not here or fields["releasing_at"] is not None:  # released, or another zone has taken its place
                one.until = min(one.until, number)
            one.released = one is not here or fields["released_at"] is not None

    def mode(self, fields: Fields) -> None:
        """A message of `door.modes`."""
        self._modes[fields["door_id"]].append((int(fields["journal"]["number"]), DoorMode(fields["mode"])))

    def missing(self, door_ids: Collection[str]) -> bool:
        """Whether a lockdown tells of each of these doors that it has not confirmed, with the reason."""
        return any(one.missing.issuperset(door_ids) for one in self._known.values() if not one.released)

    def course(self, zone_id: str, since: datetime) -> Literal["none", "in force", "released"]:
        """How far a lockdown of just that zone is that was started since then."""
        found = [one for (_id, zone), one in self._known.items() if zone == zone_id and one.started_at >= since - _SKEW]
        if not found:
            return "none"
        return "released" if all(one.released for one in found) else "in force"

    def claimed(self, claim: Claim) -> None:
        """A decision was made."""
        self._claims.append(claim)

    @property
    def standing(self) -> bool:
        """Whether a lockdown has not been released to its end."""
        return any(not one.released for one in self._known.values())

    def differences(self) -> list[str]:
        """When all has been read: a sentence for each decision that was made as if something else were shut."""
        return [f"{claim.what}: {problem}" for claim in self._claims if (problem := self._problem(claim)) is not None]

    def _problem(self, claim: Claim) -> str | None:
        if claim.point.direction is Direction.EGRESS:
            return "kept in by a lockdown" if claim.lockdown or claim.blocked else None
        right = self._right(claim)
        if claim.lockdown not in right:
            state = "is" if right == {True} else "is not"
            return f"{claim.point.zone_to} {state} locked down at {claim.number} of the journal"
        if claim.blocked is not None and claim.blocked is not self._blocked(claim.point.door_id, claim.number):
            return f"{claim.point.door_id} is {'not ' if claim.blocked else ''}blocked at {claim.number} of the journal"
        return None

    def _right(self, claim: Claim) -> set[bool]:
        """Whether a lockdown refuses that; both where nobody can know. A drill gives way to a real one."""
        around = self._places.paths[claim.point.zone_to]
        here = [
            one
            for (_id, zone_id), one in self._known.items()
            if zone_id in around and one.since <= claim.number < one.until
        ]
        if claim.at is not None:
            here = [one for one in here if claim.at >= one.begun_at - _SKEW]
        real = [one for one in here if not one.drill]
        found = {False}
        for one in real or here:
            near = claim.at is not None and claim.at <= one.begun_at + _SKEW
            cleared = claim.clearance is not None and one.clearance is not None and claim.clearance >= one.clearance
            if not cleared and not near and (one.exact or claim.number > one.since):
                return {True}
            if not cleared or not claim.sure:
                found.add(True)
        return found

    def _blocked(self, door_id: str, number: int) -> bool:
        modes = [mode for since, mode in self._modes[door_id] if since <= number]
        return bool(modes) and modes[-1] is DoorMode.BLOCKED

    def _clearance(self, fields: Fields) -> int | None:
        """Who has at least that much passes all the same, by the plan on file; None: nobody does."""
        policy = self._people.policies[self._places.sites[fields["site_id"]].policy_id]
        plans = {plan.plan_id: plan for plan in policy.lockdowns or (USUAL_PLAN,)}
        return plans[fields["plan_id"]].clearance
