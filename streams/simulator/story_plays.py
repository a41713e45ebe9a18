"""How the stories begin: what somebody is to be told of, done so that it surely happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from streams.simulator.factors import Shown
from streams.simulator.places import Step
from streams.simulator.scene import Scene
from streams.simulator.stage import Stage
from streams.simulator.stories import WEDGED_S

RIGHT_GUESS = 3
"""Which of a guesser's PINs, counted from 0, is the right one: the first that is too late."""

FORCED_OPEN_S = 1.0
"""How long a door that was broken open stands open."""

TRIES = 8
"""How often somebody sets out for a door before giving up: there may be a crowd, or a controller that hears nobody."""

_AGAIN_S = 0.5


async def guesses(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """Somebody has found a card and tries PINs, with the right one among the last: it comes too late."""
    point, holder = stage.places.points[scene.goal], stage.people.holders[scene.who[0]]
    wallet = stage.wallet(holder.cardholder_id, chance)
    shown = wallet.shows(point)
    if shown is None:
        return
    what = f"somebody tries PINs with the card of {holder.name} ({holder.cardholder_id}) at {scene.goal}"
    stage.tell(scene, what, "credential_lockout", cardholder_id=holder.cardholder_id)
    for number in range(5):
        await stage.show(scene.goal, shown if number == RIGHT_GUESS else wallet.mistyped(shown))


async def forced_by_somebody(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """The PIN that calls for help."""
    who = scene.who[0]
    wallet = stage.wallet(who, chance)
    point = stage.places.points.get(scene.goal)
    if point is None:
        await stage.go(scene.site_id, who, scene.goal, chance, wallet.forced)
        return
    asked = False

    def threatened(shown: list[Shown]) -> list[Shown]:
        nonlocal asked
        if not asked:
            what = f"{stage.people.holders[who].name} ({who}) types the duress PIN at {scene.goal}"
            stage.tell(scene, what, "duress", access_point_id=scene.goal, cardholder_id=who)
        asked = True
        return wallet.forced(shown)

    step = Step(point.door_id, point.zone_to, point.access_point_id)
    for _ in range(TRIES):
        if await stage.go(scene.site_id, who, point.zone_from, chance):
            await stage.pass_door(scene.site_id, who, step, chance, threatened)
        if asked or stage.closing:
            return
        await asyncio.sleep(_AGAIN_S)


async def propped(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A door is wedged open until it complains."""
    who, point = scene.who[0], stage.places.points[scene.goal]
    for _ in range(TRIES):
        shown = stage.wallet(who, chance).shows(point)
        there = shown is not None and await stage.go(scene.site_id, who, point.zone_from, chance)
        if stage.closing or (shown is not None and there and await _wedged(stage, scene, shown)):
            return
        await asyncio.sleep(_AGAIN_S)


async def _wedged(stage: Stage, scene: Scene, shown: Sequence[Shown]) -> bool:
    who, point = scene.who[0], stage.places.points[scene.goal]
    if stage.premises.controller_of(point.door_id) is None:
        return False
    async with stage.premises.turns[point.door_id]:
        reply = await stage.premises.ask(point.access_point_id, shown)
        if not reply.granted:
            return False
        door = stage.places.doors[point.door_id]
        stage.tell(
            scene, f"{door.door_id} ({door.name}) is wedged open by {who}", "door_held_open", door_id=door.door_id
        )
        await stage.premises.walk_through(point.door_id, None if reply.alone else reply.key, WEDGED_S)
        stage.stands(scene.site_id, who, point.zone_to)
    return True


async def forced(stage: Stage, scene: Scene, chance: random.Random) -> None:  # noqa: ARG001 - as every play
    """A door is broken open."""
    door = stage.places.doors[stage.places.points[scene.goal].door_id]
    async with stage.premises.turns[door.door_id]:
        what = f"{door.door_id} ({door.name}) is broken open"
        stage.tell(scene, what, "door_forced_open", door_id=door.door_id)
        await stage.premises.walk_through(door.door_id, None, FORCED_OPEN_S)


STORIES = (guesses, forced_by_somebody, propped, forced)
