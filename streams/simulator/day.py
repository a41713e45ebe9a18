"""A seeded day of a campus: who goes where and when, and what goes wrong. The same seed gives the same day."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from schemas.people import Cardholder
from schemas.places import AccessPoint
from schemas.vocabulary import Direction, Enforcement
from streams.simulator.oracle import Oracle
from streams.simulator.people import People, unfit
from streams.simulator.places import Places
from streams.simulator.scene import Plan, Scene
from streams.simulator.stories import StoryTeller
from streams.simulator.wallet import Wallet

LAST_AT = 0.93
"""People set out for the last time at that share of the day; the rest of it is for their way."""

LEAST_CROWD = 60
REQUESTS_A_PERSON = 10
"""About what one person's day asks for, so that a crowd is large enough."""

FEW = 5


class Planner:
    """Plans days of one campus. `now` is only used to leave those alone whom the clock keeps out anyway.

    `operators`: some are there, so that there may be lockdowns.
    """

    def __init__(
        self, people: People, places: Places, oracle: Oracle, now: datetime, seed: int, seconds: float
    ) -> None:
        self._people, self._places, self._oracle = people, places, oracle
        self._now = now
        self._seed = seed
        self._seconds = seconds
        self._ways: dict[tuple[str, str], list[str]] = {}
        self._let_in: dict[str, list[Cardholder]] = {}
        self._crowd = LEAST_CROWD
        self.stories: list[Plan] = []
        self.operators = False

    def plan(self, scenario: str, requests: int) -> list[Scene]:
        """The scenes of all sites, in order, of about so many requests.

        Raises:
            ValueError: no site has both a street and people who may enter.
        """
        sites = sorted(self._places.sites)
        self._crowd = max(LEAST_CROWD, requests // (len(sites) * REQUESTS_A_PERSON))
        scenes: list[Scene] = []
        for site_id in sites:
            chance = random.Random(f"{self._seed}/{scenario}/{site_id}")  # noqa: S311 - a plan, not a secret
            scenes += _SCENARIOS[scenario](self, site_id, max(1, requests // len(sites)), chance)
        if not scenes:
            raise ValueError(
                "nobody may enter anywhere: the campus needs a zone of kind outside, doors and permissions"
            )
        return sorted(scenes, key=lambda scene: (scene.at, scene.site_id, scene.kind, scene.who))

    def day(self, site_id: str, requests: int, chance: random.Random) -> Iterator[Scene]:
        """People come, work, meet, eat and leave; and some things go wrong."""
        odd = list(self._odd(site_id, requests, chance))
        yield from odd
        yield from self._workers(site_id, requests - sum(scene.cost for scene in odd), chance)

    def rush(self, site_id: str, requests: int, chance: random.Random) -> Iterator[Scene]:
        """Everybody goes in and out at the entrances, as fast as doors allow."""
        street, regulars = self._places.outside(site_id), self._regulars(site_id)
        if street is None or not regulars:
            return
        chance.shuffle(regulars)
        per_person = max(1, requests // (2 * len(regulars)))
        for number, holder in enumerate(regulars):
            if number * per_person * 2 >= requests:
                return
            inside = next(iter(self.ways(site_id, holder)), None)
            for visit in range(per_person):
                at = (visit + chance.random()) / per_person
                yield Scene(at, "commute", site_id, (holder.cardholder_id,), inside or street, 2)

    def outage(self, site_id: str, requests: int, chance: random.Random) -> Iterator[Scene]:
        """A day on which a third of the controllers lose the server for a while."""
        devices = sorted({self._places.doors[p.door_id].device_id for p in self._places.entrances(site_id)})
        others = sorted(d.device_id for d in self._places.devices.values() if d.site_id == site_id)
        rest = [device_id for device_id in others if device_id not in devices and self._in_service(device_id)]
        for number, device_id in enumerate(devices + chance.sample(rest, len(rest) // 3)):
            yield Scene(0.2 + 0.4 * chance.random(), "outage", site_id, (), device_id, number and 1)
        yield from self.day(site_id, requests, chance)

    def ways(self, site_id: str, holder: Cardholder) -> list[str]:
        """The zones that somebody may walk to from the street, nearest first."""
        found = self._ways.get((site_id, holder.cardholder_id))
        if found is not None:
            return found
        street = self._places.outside(site_id)
        reached: list[str] = []
        if street is not None and any(p.site_id == site_id for p in self._people.permissions[holder.cardholder_id]):
            wallet, queue = Wallet(self._people, holder, random.Random(0)), [street]  # noqa: S311
            for here in queue:
                for step in self._places.steps(here):
                    if step.zone_to in queue or step.access_point_id is None:
                        continue
                    if self.may(wallet, holder, self._places.points[step.access_point_id]):
                        queue.append(step.zone_to)
                        reached.append(step.zone_to)
        self._ways[site_id, holder.cardholder_id] = reached
        return reached

    def may(self, wallet: Wallet, holder: Cardholder, point: AccessPoint) -> bool:
        """Whether somebody can pass a reader, as far as the records tell."""
        shown = wallet.shows(point)
        return shown is not None and self._oracle.permitted(point, holder, shown, self._now)

    def _regulars(self, site_id: str) -> list[Cardholder]:
        """Some of those whom the entrances let in: as many as the day needs, always the same ones."""
        found = self._let_in.get(site_id)
        if found is None:
            everybody = [holder for _id, holder in sorted(self._people.holders.items()) if not holder.needs_escort]
            random.Random(f"{self._seed}/{site_id}").shuffle(everybody)  # noqa: S311 - a plan, not a secret
            able = (holder for holder in everybody if self.ways(site_id, holder))
            found = self._let_in[site_id] = list(islice(able, self._crowd))
        return list(found)

    def _able(self, site_id: str, zone_id: str, chance: random.Random) -> list[Cardholder]:
        """A few who may go to a zone."""
        around = set(self._places.paths[zone_id])
        likely = [
            holder
            for id_, holder in sorted(self._people.holders.items())
            if not holder.needs_escort
            and any(p.site_id == site_id and around & set(p.zone_ids) for p in self._people.permissions[id_])
        ]
        chance.shuffle(likely)
        return list(islice((holder for holder in likely if zone_id in self.ways(site_id, holder)), FEW))

    def _workers(self, site_id: str, requests: int, chance: random.Random) -> Iterator[Scene]:
        street, regulars = self._places.outside(site_id), self._regulars(site_id)
        if street is None or not regulars:
            return
        chance.shuffle(regulars)
        meetings = max(1, requests // (len(regulars) * 12))
        spent = 0
        for holder in regulars:
            if spent >= requests:
                return
            for scene in self._workday(site_id, holder, street, meetings, chance):
                spent += scene.cost
                yield scene

    def _workday(
        self, site_id: str, holder: Cardholder, street: str, meetings: int, chance: random.Random
    ) -> Iterator[Scene]:
        ways, who = self.ways(site_id, holder), (holder.cardholder_id,)
        desk = chance.choice(ways[len(ways) // 2 :])

        def go(at: float, goal: str, start: str) -> Scene:
            return Scene(at, "go", site_id, who, goal, len(self._places.route(start, goal) or ()) or 1)

        yield go(chance.triangular(0.0, 0.25, 0.1), desk, street)
        for number in range(meetings):
            room = chance.choice(ways)
            at = 0.25 + 0.4 * (number + chance.random()) / meetings
            yield go(at, room, desk)
            yield go(at + 0.05 * chance.random(), desk, room)
        lunch = chance.triangular(0.4, 0.6, 0.5)
        yield go(lunch, street, desk)
        yield go(lunch + chance.uniform(0.04, 0.1), desk, street)
        yield go(chance.triangular(0.7, LAST_AT, 0.82), street, desk)

    def _odd(self, site_id: str, requests: int, chance: random.Random) -> Iterator[Scene]:
        """What goes wrong, a few of each; more on a longer day."""
        entrances = sorted(point.access_point_id for point in self._places.entrances(site_id))
        regulars = self._regulars(site_id)
        if not entrances or not regulars:
            return
        many = max(1, requests // 150)

        def somebody() -> tuple[str, ...]:
            return (chance.choice(regulars).cardholder_id,)

        def some(kind: str, count: int, cost: int, goals: Sequence[str] = (), people: int = 1) -> Iterator[Scene]:
            for _ in range(count):
                who = tuple(one for _ in range(people) for one in somebody())
                yield Scene(LAST_AT * chance.random(), kind, site_id, who, chance.choice(goals) if goals else "", cost)

        yield from some("stranger", many, 1, entrances, 0)
        yield from self._bad_cards(site_id, many, entrances, chance)
        yield from some("curious", many, 2)
        yield from some("turns_back", max(1, many // 3), 1)
        yield from some("tailgates", many, 3, people=2)
        yield from some("lends_card", max(1, many // 2), 2)
        yield from some("reads_twice", many, 1, entrances)
        for kind in ("replay", "altered", "reused_number", "unsigned"):
            yield from some(kind, max(1, many // 2), 1, entrances)
        devices = sorted({self._places.doors[self._places.points[id_].door_id].device_id for id_ in entrances})
        yield Scene(0.3 + 0.2 * chance.random(), "outage", site_id, (), chance.choice(devices), 0)
        yield from self._ailing(site_id, devices, chance)
        for kind in ("rereads", "restarts"):
            yield from (Scene(0.1 + 0.8 * chance.random(), kind, site_id, (), device_id, 0) for device_id in devices)
        yield from self._secrets(site_id, many, chance)
        yield from self._company(site_id, chance)
        teller = StoryTeller(self._people, self._places, self, site_id, regulars)
        yield from teller.scenes(self._seconds, chance, operators=self.operators)
        self.stories += teller.plans

    def _ailing(self, site_id: str, entrances: Sequence[str], chance: random.Random) -> Iterator[Scene]:
        """A controller that is not well, behind those of the entrances."""
        rest = sorted(
            device.device_id
            for device in self._places.devices.values()
            if device.site_id == site_id and device.device_id not in entrances and self._in_service(device.device_id)
        )
        if rest:
            yield Scene(0.5 * chance.random(), "breaks", site_id, (), chance.choice(rest), 0)

    def _bad_cards(self, site_id: str, many: int, entrances: Sequence[str], chance: random.Random) -> Iterator[Scene]:
        bad = [
            card.credential_id
            for _number, card in sorted(self._people.cards.items())
            if unfit(card, self._people.holders.get(card.cardholder_id or ""), self._now) is not None
        ]
        for card in chance.sample(bad, min(len(bad), 3 * many)):
            yield Scene(chance.random(), "bad_card", site_id, (card,), chance.choice(entrances))

    def _secrets(self, site_id: str, many: int, chance: random.Random) -> Iterator[Scene]:
        """At readers that want a PIN or a face: forgotten, mistyped, forced, in disguise."""
        for holder in chance.sample(regulars := self._regulars(site_id), len(regulars)):
            if many <= 0:
                return
            wallet = Wallet(self._people, holder, chance)
            for zone_id in self.ways(site_id, holder):
                for step in self._into(zone_id):
                    shown = wallet.shows(step)
                    kinds = {one.kind for one in shown or ()}
                    if many > 0 and kinds - {"card"}:
                        kind = chance.choice(["mistypes", "forgets", "forced_by_somebody"])
                        kind = "disguise" if "pin" not in kinds else kind
                        many -= 1
                        yield Scene(chance.random(), kind, site_id, (holder.cardholder_id,), zone_id, 4)

    def _company(self, site_id: str, chance: random.Random) -> Iterator[Scene]:
        """Zones that want two people, an escort, or one door at a time."""
        for zone_id, zone in sorted(self._places.zones.items()):
            if zone.site_id != site_id:
                continue
            rules = (zone.two_person.enforcement, zone.escort.enforcement)
            able = self._able(site_id, zone_id, chance) if Enforcement.HARD in rules else []
            if zone.two_person.enforcement is Enforcement.HARD and len(able) > 1:
                who = tuple(h.cardholder_id for h in chance.sample(able, 2))
                yield Scene(0.3 + 0.3 * chance.random(), "together", site_id, who, zone_id, 8)
            if zone.escort.enforcement is Enforcement.HARD:
                guests = [h for _id, h in sorted(self._people.holders.items()) if h.needs_escort]
                chance.shuffle(guests)
                guests = list(islice((guest for guest in guests if self.ways(site_id, guest)), FEW))
                hosts = [h for h in able if h.escort]
                if guests and hosts:
                    who = (chance.choice(hosts).cardholder_id, chance.choice(guests).cardholder_id)
                    yield Scene(0.2 + 0.5 * chance.random(), "visits", site_id, who, zone_id, 10)
        for door_id, door in sorted(self._places.doors.items()):
            rule = door.interlock if door.site_id == site_id else None
            if rule is not None and rule.enforcement is Enforcement.HARD:
                sides = [p for p in self._places.points.values() if p.door_id == door_id]
                inner = next((p.zone_to for p in sides if p.direction is Direction.ENTRY), site_id)
                able = self._able(site_id, inner, chance)
                if len(able) > 1:
                    who = tuple(h.cardholder_id for h in chance.sample(able, 2))
                    yield Scene(0.2 + 0.5 * chance.random(), "mantrap", site_id, who, door_id, 8)

    def _into(self, zone_id: str) -> Iterator[AccessPoint]:
        return (p for _id, p in sorted(self._places.points.items()) if p.zone_to == zone_id and p.enabled)

    def _in_service(self, device_id: str) -> bool:
        return self._places.devices[device_id].status == "active"


_SCENARIOS: dict[str, Callable[[Planner, str, int, random.Random], Iterator[Scene]]] = {
    "day": Planner.day,
    "rush": Planner.rush,
    "outage": Planner.outage,
}
SCENARIOS = tuple(_SCENARIOS)
