"""The campus as one walks through it: zones, doors and readers, found by what leads where."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.vocabulary import Direction
from streams.loading.campus import Campus
from streams.simulator.timings import timings

Records = Mapping[str, Any]


class Step(NamedTuple):
    """Through one door: past a reader, or out by the exit button where there is no reader on this side."""

    door_id: str
    zone_to: str
    access_point_id: str | None


class Places:
    """Where everything is. All maps are by id."""

    def __init__(self, campus: Campus) -> None:
        records = campus.records
        self.sites: dict[str, Site] = _typed(records, "site", Site)
        self.zones: dict[str, Zone] = _typed(records, "zone", Zone)
        self.doors: dict[str, Door] = _typed(records, "door", Door)
        self.points: dict[str, AccessPoint] = _typed(records, "access-point", AccessPoint)
        self.devices: dict[str, Device] = _typed(records, "device", Device)
        self.timings = timings(campus)
        self.paths = {zone_id: tuple(self._path(zone_id)) for zone_id in self.zones}
        self._steps: dict[str, list[Step]] = defaultdict(list)
        sides = {(point.door_id, point.zone_from) for point in self.points.values()}
        for point in self.points.values():
            self._steps[point.zone_from].append(Step(point.door_id, point.zone_to, point.access_point_id))
            if point.direction is Direction.ENTRY and (point.door_id, point.zone_to) not in sides:
                self._steps[point.zone_to].append(Step(point.door_id, point.zone_from, None))

    def inside(self, zone_id: str | None) -> tuple[str, ...]:
        """The zones that somebody in a zone is counted in; nobody is counted on the street."""
        zone = self.zones.get(zone_id or "")
        return () if zone is None or zone.kind == "outside" else self.paths[zone.zone_id]

    def outside(self, site_id: str) -> str | None:
        """The street before a site; None where the campus has none."""
        found = (z.zone_id for z in self.zones.values() if z.site_id == site_id and z.kind == "outside")
        return next(found, None)

    def entrances(self, site_id: str) -> list[AccessPoint]:
        """The readers on the street."""
        street = self.outside(site_id)
        return [p for p in self.points.values() if p.zone_from == street and p.enabled and self.works(p)]

    def doors_into(self, zone_id: str) -> list[str]:
        """The doors that lead into a zone or anything within it."""
        entries = (p for p in self.points.values() if p.direction is Direction.ENTRY)
        return sorted({p.door_id for p in entries if zone_id in self.paths.get(p.zone_to, ())})

    def works(self, point: AccessPoint) -> bool:
        """Whether a reader's controller is in service."""
        return self.devices[self.doors[point.door_id].device_id].status == "active"

    def steps(self, zone_id: str) -> Iterator[Step]:
        """The ways out of a zone; a zone shares those of the zones around it that don't lead back into itself."""
        for around in self.paths[zone_id]:
            for step in self._steps[around]:
                if around == zone_id or step.zone_to not in self.paths[zone_id]:
                    yield step

    def route(self, start: str, goal: str, chance: Random | None = None) -> list[Step] | None:
        """A shortest way from one zone to another, past enabled readers; None where there is none.

        Of equally short ones `chance` takes any.
        """
        came: dict[str, tuple[str, Step] | None] = {start: None}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            if here == goal:
                return list(reversed(list(_back(came, here))))
            steps = list(self.steps(here))
            if chance is not None:
                chance.shuffle(steps)
            for step in steps:
                if step.zone_to not in came and (
                    step.access_point_id is None or self.points[step.access_point_id].enabled
                ):
                    came[step.zone_to] = (here, step)
                    queue.append(step.zone_to)
        return None

    def _path(self, zone_id: str) -> Iterator[str]:
        seen: set[str] = set()
        here: str | None = zone_id
        while here is not None and here in self.zones and here not in seen:
            seen.add(here)
            yield here
            here = self.zones[here].parent_id


def _back(came: Mapping[str, tuple[str, Step] | None], zone_id: str) -> Iterator[Step]:
    link = came[zone_id]
    while link is not None:
        zone_id, step = link
        yield step
        link = came[zone_id]


def _typed(records: Mapping[str, Records], entity: str, model: type[Any]) -> dict[str, Any]:
    return {id_: record for id_, record in records.get(entity, {}).items() if isinstance(record, model)}
