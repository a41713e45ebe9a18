"""How the scenes go in which a controller is cut off, breaks or starts anew."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from streams.simulator.scene import Scene
from streams.simulator.stage import Stage
from streams.simulator.stories import SILENT_FOR_S

TOLD_WITHIN_S = 20.0
"""How much longer a controller stays away, if that has not been told yet."""

STARTS_WITHIN_S = 3.0
"""How long a controller takes to start again, and says nothing."""

CAUGHT_UP_S = 1.0
"""How long nobody uses the doors of a controller that catches up, so that its old events meet no new grant."""


async def outage(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A controller loses the server, decides alone, and catches up; as often as not it has to say everything twice."""
    async with nobody_at_its_doors(stage, scene.goal):
        stage.premises.disconnect(scene.goal)
    await asyncio.sleep(stage.tempo.outage_s)
    async with nobody_at_its_doors(stage, scene.goal):
        stage.premises.reconnect(scene.goal, unheard=chance.random() < 0.5)  # noqa: PLR2004 - as often as not
        await asyncio.sleep(CAUGHT_UP_S)


async def falls_silent(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A controller is cut off for so long that it counts as offline."""
    device = stage.places.devices[scene.goal]
    async with nobody_at_its_doors(stage, scene.goal):
        what = f"{device.device_id} ({device.name}) loses its network and says nothing any more"
        stage.tell(scene, what, "controller_offline", device_id=device.device_id)
        stage.premises.disconnect(scene.goal)
    await asyncio.sleep(stage.places.timings[scene.goal].offline_after_s + SILENT_FOR_S)
    watch = stage.watch
    if watch is not None:
        await stage.until(lambda: watch.is_lost(scene.goal), TOLD_WITHIN_S)
    async with nobody_at_its_doors(stage, scene.goal):
        stage.premises.reconnect(scene.goal, unheard=chance.random() < 0.5)  # noqa: PLR2004 - as often as not
        await asyncio.sleep(CAUGHT_UP_S)


async def breaks(stage: Stage, scene: Scene, chance: random.Random) -> None:
    """A reader of a controller stops answering, and works again a little later."""
    code = f"reader_{chance.randrange(1, 5)}_lost"
    stage.premises.fail(scene.goal, code, "the reader does not answer")
    await asyncio.sleep(stage.tempo.outage_s)
    stage.premises.mend(scene.goal, code)


async def rereads(stage: Stage, scene: Scene, chance: random.Random) -> None:  # noqa: ARG001
    """A controller reads its last commands once more: each is confirmed again, and no door opens."""
    stage.premises.reread(scene.goal)


async def restarts(stage: Stage, scene: Scene, chance: random.Random) -> None:  # noqa: ARG001
    """A controller starts anew and reads its last commands once more: their numbers tell that they are done."""
    async with nobody_at_its_doors(stage, scene.goal):
        await asyncio.sleep(STARTS_WITHIN_S)
        stage.premises.restart(scene.goal)
        stage.premises.reread(scene.goal)


@asynccontextmanager
async def nobody_at_its_doors(stage: Stage, device_id: str) -> AsyncIterator[None]:
    """All doors of a controller are kept free meanwhile."""
    async with AsyncExitStack() as kept:
        for door in sorted(stage.places.doors.values(), key=lambda door: door.door_id):
            if door.device_id == device_id:
                await kept.enter_async_context(stage.premises.turns[door.door_id])
        yield
