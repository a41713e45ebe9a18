"""The stories of a day: who or what each is about, and when it begins."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from schemas.people import Cardholder
from schemas.places import AccessPoint
from schemas.vocabulary import FactorKind
from streams.simulator.people import People
from streams.simulator.places import Places
from streams.simulator.scene import Plan, Scene, Story
from streams.simulator.wallet import Wallet

WEDGED_S = 27.0
"""How long a door is wedged open: longer than a controller bears it, so that a guard can ask who is there."""

SILENT_FOR_S = 3.0
"""How much longer than its limit a controller is cut off."""

_WALK_S = 2.0
_KINDS = {
    Story.HELD_DOOR: "propped",
    Story.DYING_CONTROLLER: "falls_silent",
    Story.PIN_GUESSER: "guesses",
    Story.DURESS_PIN: "forced_by_somebody",
    Story.FORCED_DOOR: "forced",
    Story.LOCKDOWN_DRILL: "practises",
    Story.LOCKDOWN: "locked_down",
}
_BEGINS = {
    Story.HELD_DOOR: 0.05,
    Story.DYING_CONTROLLER: 0.15,
    Story.PIN_GUESSER: 0.25,
    Story.DURESS_PIN: 0.4,
    Story.FORCED_DOOR: 0.02,
    Story.LOCKDOWN_DRILL: 0.55,
    Story.LOCKDOWN: 0.95,
}
"""At which share of the time that it leaves a story begins.

The forced door comes first: after others it may be raised as critical at once, and nothing is left to escalate.
"""

NEAR = 3
"""So many doors lead a person of a story to the one that it is about, at most."""

_CASTING = (
    Story.HELD_DOOR,
    Story.PIN_GUESSER,
    Story.DURESS_PIN,
    Story.FORCED_DOOR,
    Story.LOCKDOWN,
    Story.LOCKDOWN_DRILL,
    Story.DYING_CONTROLLER,
)
"""The controllers come last: they are some that no other story needs."""

AWAY = 2
"""So many controllers are away when a building is locked down."""

KNOCK = 3
"""So many people try to get into it all the same."""

_LOCKDOWN_S = 20.0
"""How long a lockdown takes from the call to the all-clear, with the time after which a missing door is told of."""

LOCKDOWNS = (Story.LOCKDOWN_DRILL, Story.LOCKDOWN)
"""What operators begin and end."""

Part = tuple[tuple[str, ...], str, int]
"""Who takes part, the goal, and about how many requests that makes."""


class Cast(Protocol):
    """Who may go where, as the planner of the day knows it."""

    def ways(self, site_id: str, holder: Cardholder) -> list[str]:
        """The zones that somebody may walk to from the street, nearest first."""


class StoryTeller:
    """Casts the stories of one site. `regulars` are the people who have a day of their own there."""

    def __init__(
        self, people: People, places: Places, cast: Cast, site_id: str, regulars: Sequence[Cardholder]
    ) -> None:
        self._people, self._places, self._cast = people, places, cast
        self._site_id = site_id
        self._regulars = regulars
        self._entrances = {place.access_point_id for place in places.entrances(site_id)}
        self._taken: set[str] = set()
        self._doors: set[str] = set()
        self._devices: set[str] = set()
        self.plans: list[Plan] = []

    def scenes(self, seconds: float, chance: random.Random, *, operators: bool = False) -> Iterator[Scene]:
        """The stories for which a day of so many seconds is long enough; lockdowns only where there are operators."""
        for story in _CASTING:
            if story in LOCKDOWNS and not operators:
                continue
            begins_s = (seconds - self._takes_s(story)) * _BEGINS[story]
            found = None if begins_s < 0 else self._cast_of(story, chance)
            missing = "" if found else "the campus has nothing for it"
            if begins_s < 0:
                missing = f"it takes {self._takes_s(story):.0f} s of a day"
            self.plans.append(Plan(story, self._site_id, missing))
            if found:
                who, goal, cost = found
                yield Scene(begins_s / seconds, _KINDS[story], self._site_id, who, goal, cost, story)

    def _takes_s(self, story: Story) -> float:
        """How long what causes the alert, and ends it, goes on."""
        if story is Story.HELD_DOOR:
            return WEDGED_S + _WALK_S
        if story is Story.DYING_CONTROLLER:
            limits = [self._places.timings[id_].offline_after_s for id_ in self._spare()]
            return max(limits, default=0) + SILENT_FOR_S + _WALK_S
        if story is Story.LOCKDOWN:
            return _LOCKDOWN_S
        return 3 * _WALK_S

    def _cast_of(self, story: Story, chance: random.Random) -> Part | None:
        if story is Story.DYING_CONTROLLER:
            spare = self._spare()
            return ((), chance.choice(spare), 0) if spare else None
        if story is Story.FORCED_DOOR:
            points = [p for p in self._points(self._entrances) if self._places.doors[p.door_id].has_dps]
            return self._at(None, chance.choice(points), 0) if points else None
        busy = {holder.cardholder_id for holder in self._regulars}
        everybody = sorted(self._people.holders.items())
        people = [one for id_, one in everybody if not one.needs_escort and id_ not in self._taken]
        chance.shuffle(people)
        people.sort(key=lambda holder: holder.cardholder_id in busy)
        if story in LOCKDOWNS:
            return self._building(people, chance, away=AWAY if story is Story.LOCKDOWN else 0)
        if story is Story.HELD_DOOR:
            return self._holding(people)
        return self._with_pin(people, chance, duress=story is Story.DURESS_PIN)

    def _building(self, people: Sequence[Cardholder], chance: random.Random, away: int) -> Part | None:
        """A building with few doors of other stories, controllers of it that may be away, and who knocks."""
        found: list[tuple[int, str, list[str]]] = []
        spare = set(self._spare())
        for zone in self._places.zones.values():
            doors = self._places.doors_into(zone.zone_id)
            devices = {self._places.doors[door_id].device_id for door_id in doors}
            if zone.site_id == self._site_id and zone.kind == "building" and len(devices) > away:
                found.append((len(self._doors & set(doors)), zone.zone_id, sorted(devices & spare)))
        found = [one for one in sorted(found) if len(one[2]) >= away]
        if not found:
            return None
        _shared, zone_id, devices_there = found[0]
        absent = chance.sample(devices_there, away)
        self._devices.update(absent)
        here = (one for one in people if self._cast.ways(self._site_id, one))
        carrying = [one.cardholder_id for one in here if self._people.own(one.cardholder_id, FactorKind.CARD)]
        knocking = carrying[:KNOCK] if away else []
        self._taken.update(knocking)
        return (*knocking, *absent), zone_id, len(knocking)

    def _holding(self, people: Sequence[Cardholder]) -> Part | None:
        """Somebody at a door of a room to which no other way leads on, so that few want to pass there."""
        for holder in people:
            for point in self._near(holder):
                door = self._places.doors[point.door_id]
                further = [step for step in self._places.steps(point.zone_to) if step.door_id != point.door_id]
                if door.has_dps and door.interlock is None and not further:
                    return self._at(holder, point, 4)
        return None

    def _with_pin(self, people: Sequence[Cardholder], chance: random.Random, *, duress: bool) -> Part | None:
        """Somebody who has a PIN, at a reader that wants a card and a PIN; for duress one that calls for help, too."""
        for holder in people:
            wallet = Wallet(self._people, holder, chance)
            for point in self._near(holder):
                shown = wallet.shows(point)
                if shown is None or {one.kind.value for one in shown} != {"card", "pin"}:
                    continue
                if wallet.forced(shown) != list(shown) if duress else not holder.exempt:
                    return self._at(holder, point, 4)
        return None

    def _near(self, holder: Cardholder) -> Iterator[AccessPoint]:
        """Readers that let somebody in, a few doors from the street, and have no other part in a story."""
        street = self._places.outside(self._site_id) or ""
        points = self._points({p.access_point_id for p in self._places.points.values()} - self._entrances)
        for zone_id in self._cast.ways(self._site_id, holder):
            if len(self._places.route(street, zone_id) or ()) <= NEAR:
                yield from (point for point in points if point.zone_to == zone_id)

    def _points(self, among: Collection[str]) -> list[AccessPoint]:
        """Readers in service, of doors without another part; what stands unlocked is neither forced nor held open."""
        found = (self._places.points[id_] for id_ in sorted(among))
        return [
            p
            for p in found
            if p.site_id == self._site_id
            and p.enabled
            and self._places.works(p)
            and p.door_id not in self._doors
            and self._places.doors[p.door_id].unlock_schedule_id is None
        ]

    def _spare(self) -> list[str]:
        """Controllers in service, behind the entrances, that have no other part in a story."""
        kept = {self._places.doors[self._places.points[id_].door_id].device_id for id_ in self._entrances}
        devices = self._places.devices.values()
        return sorted(
            d.device_id
            for d in devices
            if d.site_id == self._site_id and d.status == "active" and d.device_id not in kept | self._devices
        )

    def _at(self, holder: Cardholder | None, point: AccessPoint, cost: int) -> Part:
        self._doors.add(point.door_id)
        way = self._places.route(self._places.outside(self._site_id) or "", point.zone_from) or []
        self._devices |= {
            self._places.doors[door_id].device_id for door_id in (point.door_id, *(s.door_id for s in way))
        }
        who = (holder.cardholder_id,) if holder is not None else ()
        self._taken.update(who)
        return who, point.access_point_id, cost
