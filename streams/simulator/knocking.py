"""Before the day: a stranger knocks at one door of each site, until a worker has answered every one."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from streams.simulator.book import Book
from streams.simulator.factors import CardShown
from streams.simulator.foul import STRANGER
from streams.simulator.lock import Now
from streams.simulator.places import Places
from streams.simulator.premises import Premises

WORKERS_WITHIN_S = 60.0
"""How long the first request at each site may take; workers may just be starting."""

LOOK_AGAIN_S = 0.05


class NobodyDecidesError(Exception):
    """The first requests were not decided, or the campus is not loaded."""


async def knock_everywhere(
    places: Places, premises: Premises, book: Book, chance: random.Random, stopping: asyncio.Event, now: Now
) -> None:
    """Return when each site has answered, or when the run is to stop.

    Raises:
        NobodyDecidesError: no worker decides, or the campus is not loaded.
    """
    points = [places.entrances(site_id)[:1] for site_id in places.sites]
    chosen = [point.access_point_id for found in points for point in found]
    knocking: asyncio.Future[Any] = asyncio.ensure_future(
        asyncio.gather(*(_knock(premises, book, id_, STRANGER + str(chance.randrange(10**9)), now) for id_ in chosen))
    )
    stop: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([knocking, stop], return_when=asyncio.FIRST_COMPLETED)
        if knocking.done():
            await knocking
    finally:
        knocking.cancel()
        stop.cancel()


async def _knock(premises: Premises, book: Book, point_id: str, card_number: str, now: Now) -> None:
    deadline = now().timer_s + WORKERS_WITHIN_S
    reply = await premises.ask(point_id, [CardShown(card_number)])
    while not book.asked[reply.key].decided:
        if now().timer_s > deadline:
            raise NobodyDecidesError("no decision came: is `doorstream worker decide` running, and the topics right?")
        await asyncio.sleep(LOOK_AGAIN_S)
    if book.reasons["unknown_access_point"]:
        raise NobodyDecidesError("the site does not know its doors: run `doorstream load` with the same folder")
    book.times.forget()
