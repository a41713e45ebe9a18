"""How each kind of scene goes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from streams.simulator.device_plays import breaks, falls_silent, outage, rereads, restarts
from streams.simulator.factors import CardShown
from streams.simulator.foul import FOUL, STRANGER, play_foul
from streams.simulator.judge import Judge
from streams.simulator.lockdown_plays import LOCKDOWNS
from streams.simulator.scene import Scene
from streams.simulator.stage import Stage
from streams.simulator.story_plays import STORIES

_MOVING_KNOWN_S = 4.0
"""After that long everybody knows that a door stands open."""


async def play(stage: Stage, judge: Judge, scene: Scene, chance: random.Random) -> None:
    """Play a scene to its end."""
    holders = [one for one in scene.who if one in stage.people.holders]
    async with stage.engaged(holders):
        if scene.kind in FOUL:
            await play_foul(stage, judge, scene, chance)
        else:
            await PLAYS[scene.kind](stage, scene, chance)


async def go(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """Somebody walks to a zone."""
    await stage.go(scene.site_id, scene.who[0], scene.goal, chance)


async def commute(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """In, and out again."""
    street = stage.places.outside(scene.site_id) or ""
    goal = scene.goal if stage.where(scene.site_id, scene.who[0]) == street else street
    await stage.go(scene.site_id, scene.who[0], goal, chance)
    await stage.go(scene.site_id, scene.who[0], street if goal != street else scene.goal, chance)


async def stranger(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A card that nobody knows."""
    number = STRANGER + str(chance.randrange(10**9))
    if number not in stage.people.cards:
        await stage.show(scene.goal, [CardShown(number)])


async def bad_card(stage: Stage, scene: Scene, chance: random.Random) -> None:  # noqa: ARG001 - as every play
    """A card that is lost, stolen, expired, nobody's, ..."""
    card = stage.people.credentials[scene.who[0]]
    await stage.show(scene.goal, [CardShown(card.card_number or "", card.facility_code)])


async def curious(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """Somebody tries a door that is none of their business."""
    here = stage.where(scene.site_id, scene.who[0])
    steps = [step for step in stage.places.steps(here) if step.access_point_id is not None]
    if steps:
        await stage.pass_door(scene.site_id, scene.who[0], chance.choice(steps), chance)


async def turns_back(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """The door is released, and nobody goes in."""
    here, street = stage.where(scene.site_id, scene.who[0]), stage.places.outside(scene.site_id)
    steps = [s for s in stage.places.steps(here) if s.access_point_id is not None and street not in (here, s.zone_to)]
    card = stage.any_card(scene.who[0])
    if not steps or card is None:
        return
    step = chance.choice(steps)
    if stage.premises.controller_of(step.door_id) is not None:
        async with stage.premises.turns[step.door_id]:
            reply = await stage.premises.ask(step.access_point_id or "", card)
            if reply.granted:
                await asyncio.sleep(stage.places.doors[step.door_id].access_time_s + 0.5)


async def tailgates(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """One opens, another slips in behind without asking, and goes on as if nothing had been."""
    leader, follower = scene.who[0], scene.who[-1]
    here = stage.where(scene.site_id, leader)
    ahead = [step for step in stage.places.steps(here) if step.access_point_id is not None]
    if leader == follower or not ahead:
        return
    behind = (follower,) if stage.where(scene.site_id, follower) == here else ()
    step = chance.choice(ahead)
    if await stage.pass_door(scene.site_id, leader, step, chance, behind=behind) and behind:
        further = [one for one in stage.places.steps(step.zone_to) if one.access_point_id is not None]
        if further:
            await stage.pass_door(scene.site_id, follower, chance.choice(further), chance)


async def lends_card(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """Somebody goes in and hands the card back, and it is shown at the same reader again."""
    who = scene.who[0]
    steps = [s for s in stage.places.steps(stage.where(scene.site_id, who)) if s.access_point_id is not None]
    card = stage.any_card(who)
    if steps and card is not None:
        step = chance.choice(steps)
        if await stage.pass_door(scene.site_id, who, step, chance):
            async with stage.premises.turns[step.door_id]:
                reply = await stage.premises.ask(step.access_point_id or "", card)
                if reply.granted:
                    key = None if reply.alone else reply.key
                    await stage.premises.walk_through(step.door_id, key, stage.tempo.swing_s)


async def mistypes(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A wrong PIN, then the right one."""
    wallet = stage.wallet(scene.who[0], chance)
    await stage.go(scene.site_id, scene.who[0], scene.goal, chance, wallet.mistyped)
    await stage.go(scene.site_id, scene.who[0], scene.goal, chance)


async def forgets(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """Two wrong PINs, and that's it."""
    wallet = stage.wallet(scene.who[0], chance)
    for _ in range(2):
        await stage.go(scene.site_id, scene.who[0], scene.goal, chance, wallet.mistyped)


async def disguise(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """Another's card, one's own face; then the owner comes."""
    wallet = stage.wallet(scene.who[0], chance)
    await stage.go(scene.site_id, scene.who[0], scene.goal, chance, wallet.disguised)
    await stage.go(scene.site_id, scene.who[0], scene.goal, chance)


async def together(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A zone for two: the first is turned away, the second is let in, then the first."""
    first, second = scene.who
    way = stage.places.route(stage.where(scene.site_id, first), scene.goal) or []
    for one in (first, second):
        if way and not await stage.go(scene.site_id, one, _before(stage, scene.goal), chance):
            return
    for one in (first, second, first):
        await stage.go(scene.site_id, one, scene.goal, chance)


async def visits(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A guest is turned away alone, and let in behind the host."""
    host, guest = scene.who
    await stage.go(scene.site_id, guest, scene.goal, chance)
    if await stage.go(scene.site_id, host, scene.goal, chance):
        await stage.go(scene.site_id, guest, scene.goal, chance)


async def mantrap(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """While one stands in the open door, another tries the door that may not open with it."""
    inside, outside = scene.who
    point = next(p for p in stage.places.points.values() if p.door_id == scene.goal and p.direction == "entry")
    group = stage.places.doors[scene.goal].interlock
    others = [
        p
        for p in stage.places.points.values()
        if p.direction == "entry"
        and p.door_id != scene.goal
        and (lock := stage.places.doors[p.door_id].interlock) is not None
        and group is not None
        and lock.group == group.group
    ]
    shown = stage.wallet(inside, chance).shows(point)
    if shown is None or not others or stage.premises.controller_of(scene.goal) is None:
        return
    other_shown = stage.wallet(outside, chance).shows(others[0])
    if not await stage.go(scene.site_id, inside, point.zone_from, chance) or other_shown is None:
        return
    other, premises = others[0], stage.premises
    first, second = sorted({scene.goal, other.door_id})
    async with premises.turns[first], premises.turns[second]:
        reply = await premises.ask(point.access_point_id, shown)
        if not reply.granted or reply.alone:
            return
        premises.open(scene.goal, reply.key)
        stage.stands(scene.site_id, inside, point.zone_to)
        await asyncio.sleep(_MOVING_KNOWN_S)
        refused = await premises.ask(other.access_point_id, other_shown)
        if refused.granted:
            await premises.walk_through(other.door_id, None if refused.alone else refused.key, stage.tempo.swing_s)
        premises.close(scene.goal)
    await premises.known(reply.key)


def _before(stage: Stage, zone_id: str) -> str:
    return next(p.zone_from for p in stage.places.points.values() if p.zone_to == zone_id and p.direction == "entry")


PLAYS: dict[str, Callable[[Stage, Scene, random.Random], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        go,
        commute,
        stranger,
        bad_card,
        curious,
        turns_back,
        tailgates,
        lends_card,
        outage,
        falls_silent,
        breaks,
        mistypes,
        forgets,
        disguise,
        rereads,
        restarts,
        together,
        visits,
        mantrap,
        *STORIES,
        *LOCKDOWNS,
    )
}
