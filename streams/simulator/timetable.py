"""Plays scenes at their times, until the day is over or somebody ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from streams.simulator.lock import Now, present
from streams.simulator.scene import Scene

CLOSING_S = 15.0
"""When the day is over, nobody begins another door; those at one have that long to pass."""

Play = Callable[[int, Scene], Coroutine[Any, Any, None]]


async def play_all(
    scenes: Sequence[Scene],
    play: Play,
    seconds: float,
    stopping: asyncio.Event,
    close: Callable[[], None],
    now: Now = present,
) -> None:
    """Play every scene at its share of `seconds`; `close` is called when nobody is to begin anything any more.

    What goes wrong in a scene ends the day with that error.
    """
    began_s = now().timer_s
    playing: set[asyncio.Task[None]] = set()
    stop: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
    try:
        for number, scene in enumerate(scenes):
            wait_s = began_s + scene.at * seconds - now().timer_s
            if wait_s > 0:
                await asyncio.wait([stop], timeout=wait_s)
            if stop.done():
                break
            playing.add(asyncio.create_task(play(number, scene)))
            playing = _unfinished(playing)
        while playing and not stop.done() and (left_s := began_s + seconds - now().timer_s) > 0:
            await asyncio.wait([*playing, stop], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            playing = _unfinished(playing)
        close()
        if playing:
            await asyncio.wait(playing, timeout=CLOSING_S)
            playing = _unfinished(playing)
    finally:
        stop.cancel()
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


def _unfinished(playing: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    for task in playing:
        if task.done():
            task.result()
    return {task for task in playing if not task.done()}
