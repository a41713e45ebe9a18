"""How the scenes go in which a building is locked down: operators do it, and this is what happens at its doors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from streams.simulator.device_plays import CAUGHT_UP_S, nobody_at_its_doors
from streams.simulator.scene import Scene
from streams.simulator.stage import Stage

STARTED_WITHIN_S = 20.0
MISSED_WITHIN_S = 25.0
RELEASED_WITHIN_S = 60.0
"""How long operators, and what they use, may take for each step; then the scene goes on without it."""

SEEN_FOR_S = 1.5
"""How long the missing doors are known to be missing before they are back."""


async def practises(stage: Stage, scene: Scene, chance: random.Random) -> None:  # noqa: ARG001 - as every play
    """A drill: nothing happens at the doors."""
    stage.tell(scene, f"a lockdown of {_name(stage, scene)} is practised", "lockdown_drill")


async def locked_down(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A building is locked down while some of its controllers are away, and people try to get in."""
    people = [one for one in scene.who if one in stage.people.holders]
    away = [one for one in scene.who if one in stage.places.devices]
    since, zone_id, lockdowns = stage.premises.moment().clock, scene.goal, stage.lockdowns
    missing = [door.door_id for door in stage.places.doors.values() if door.device_id in away]
    missing = sorted({*missing} & {*stage.places.doors_into(zone_id)})
    for device_id in away:
        async with nobody_at_its_doors(stage, device_id):
            stage.premises.disconnect(device_id)
    try:
        what = f"an intruder is seen in {_name(stage, scene)}; {' and '.join(away)} have no network"
        stage.tell(scene, what, "lockdown")
        if await stage.until(lambda: lockdowns.course(zone_id, since) != "none", STARTED_WITHIN_S):
            await _knock(stage, scene, people, away, chance)
            await stage.until(lambda: lockdowns.missing(missing), MISSED_WITHIN_S)
            await asyncio.sleep(SEEN_FOR_S)
    except asyncio.CancelledError:
        for device_id in away:
            stage.premises.reconnect(device_id)
        raise
    stage.tell_more(scene, "back", f"{' and '.join(away)} have their network again")
    await asyncio.gather(*(_back(stage, device_id) for device_id in away))
    await stage.until(lambda: lockdowns.course(zone_id, since) == "released", RELEASED_WITHIN_S)


async def _back(stage: Stage, device_id: str) -> None:
    async with nobody_at_its_doors(stage, device_id):
        stage.premises.reconnect(device_id)
        await asyncio.sleep(CAUGHT_UP_S)


async def _knock(stage: Stage, scene: Scene, people: Sequence[str], away: Sequence[str], chance: random.Random) -> None:
    """People try the doors that can be reached."""
    doors = [id_ for id_ in stage.places.doors_into(scene.goal) if stage.places.doors[id_].device_id not in away]
    points = [p for _id, p in sorted(stage.places.points.items()) if p.door_id in doors and p.enabled]
    entries = [p for p in points if p.direction == "entry" and stage.places.works(p)]
    for who in people if entries else ():
        point = chance.choice(entries)
        shown = stage.wallet(who, chance).shows(point) or stage.any_card(who)
        if shown is not None:
            await stage.show(point.access_point_id, shown)


def _name(stage: Stage, scene: Scene) -> str:
    return f"{stage.places.zones[scene.goal].name} ({scene.goal})"


LOCKDOWNS = (practises, locked_down)
