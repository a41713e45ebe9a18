"""The stage: people walk, show what they carry, wait for the answer, and pass or don't."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from schemas.vocabulary import FactorKind
from streams.simulator.factors import CardShown, Shown
from streams.simulator.happenings import Happenings
from streams.simulator.lockdowns import Lockdowns
from streams.simulator.people import People
from streams.simulator.places import Places, Step
from streams.simulator.premises import Premises, Reply
from streams.simulator.scene import Cause, OnStory, Scene, Turn
from streams.simulator.wallet import Wallet
from streams.simulator.watch import Watch

_LOOK_S = 0.1


@dataclass(frozen=True)
class Tempo:
    """How the day is compressed: seconds between two doors, a door's swing, and an outage."""

    pause_s: float
    swing_s: float
    outage_s: float


class Stage:
    """What people do. Each does one thing after the other, and stands where they really are."""

    def __init__(
        self,
        premises: Premises,
        people: People,
        places: Places,
        happenings: Happenings,
        lockdowns: Lockdowns,
        tempo: Tempo,
        on_story: OnStory = lambda _told: None,
        watch: Watch | None = None,
    ) -> None:
        self.premises, self.people, self.places = premises, people, places
        self.lockdowns, self.watch = lockdowns, watch
        self.tempo = tempo
        self.closing = False
        self._on_story = on_story
        self._happenings = happenings
        self._stands: dict[tuple[str, str], str] = {}
        self._busy: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def tell(self, scene: Scene, what: str, alert_kind: str, **place: str) -> None:
        """What a story begins with happens now, if the scene is one's."""
        if scene.story is not None:
            now = self.premises.moment().clock
            self._on_story(Cause(scene.story, scene.site_id, now, what, alert_kind, place, scene.goal))

    def tell_more(self, scene: Scene, kind: str, what: str) -> None:
        """Something more happens in a story, if the scene is one's."""
        if scene.story is not None:
            self._on_story(Turn(scene.story, scene.site_id, self.premises.moment().clock, kind, what))

    async def until(self, so: Callable[[], bool], within_s: float) -> bool:
        """Wait until it is so; says whether it is."""
        end_s = self.premises.moment().timer_s + within_s
        while not so():
            if self.premises.moment().timer_s > end_s:
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def close(self) -> None:
        """The day is over: nobody begins another door."""
        self.closing = True

    @asynccontextmanager
    async def engaged(self, holder_ids: Sequence[str]) -> AsyncIterator[None]:
        """These people do nothing else meanwhile."""
        people = sorted(set(holder_ids))  # in one order, so that two scenes never wait for each other
        for number, one in enumerate(people):
            try:
                await self._busy[one].acquire()
            except asyncio.CancelledError:
                for held in people[:number]:
                    self._busy[held].release()
                raise
        try:
            yield
        finally:
            for one in people:
                self._busy[one].release()

    def where(self, site_id: str, holder_id: str) -> str:
        """The zone in which somebody stands: where they went, or were seen last before this run, or the street."""
        found = self._stands.get((site_id, holder_id)) or self._happenings.where(site_id, holder_id)
        return found or self.places.outside(site_id) or ""

    def stands(self, site_id: str, holder_id: str, zone_id: str) -> None:
        """Somebody is in a zone now."""
        self._stands[site_id, holder_id] = zone_id

    def wallet(self, holder_id: str, chance: random.Random) -> Wallet:
        """What somebody carries."""
        return Wallet(self.people, self.people.holders[holder_id], chance)

    async def go(
        self,
        site_id: str,
        holder_id: str,
        goal: str,
        chance: random.Random,
        change: Callable[[list[Shown]], list[Shown]] | None = None,
    ) -> bool:
        """Walk to a zone, door by door. `change` what is shown at the last one. Says whether the person arrived."""
        route = self.places.route(self.where(site_id, holder_id), goal, chance)
        if route is None:
            return False
        for left, step in zip(range(len(route) - 1, -1, -1), route, strict=True):
            await self.pause(chance)
            if self.closing:
                return False
            last = left == 0
            if not await self.pass_door(site_id, holder_id, step, chance, change if last else None):
                return False
        return True

    async def pass_door(
        self,
        site_id: str,
        holder_id: str,
        step: Step,
        chance: random.Random,
        change: Callable[[list[Shown]], list[Shown]] | None = None,
        behind: Sequence[str] = (),
    ) -> bool:
        """Through one door, with `behind` slipping in after. Says whether the person passed."""
        if self.premises.controller_of(step.door_id) is None or self.closing:
            return False
        key = None
        async with self.premises.turns[step.door_id]:
            if step.access_point_id is None:
                self.premises.press_exit(step.door_id)
            else:
                shown = self.wallet(holder_id, chance).shows(self.places.points[step.access_point_id])
                shown = shown or self.any_card(holder_id)
                if shown is None:
                    return False
                reply = await self.premises.ask(step.access_point_id, change(shown) if change else shown)
                if not reply.granted:
                    return False
                key = None if reply.alone else reply.key
            await self.premises.walk_through(step.door_id, key, self.tempo.swing_s)
            for one in (holder_id, *behind):
                self.stands(site_id, one, step.zone_to)
        if key is not None:
            await self.premises.known(key)
        return True

    async def show(self, point_id: str, shown: Sequence[Shown]) -> Reply | None:
        """Show something at a reader and walk away."""
        door_id = self.places.points[point_id].door_id
        if self.premises.controller_of(door_id) is None:
            return None
        async with self.premises.turns[door_id]:
            return await self.premises.ask(point_id, shown)

    def any_card(self, holder_id: str) -> list[Shown] | None:
        """Any card of somebody, good or bad."""
        card = next(iter(self.people.own(holder_id, FactorKind.CARD)), None)
        return [CardShown(card.card_number or "", card.facility_code)] if card is not None else None

    async def pause(self, chance: random.Random) -> None:
        """Walk a little."""
        await asyncio.sleep(self.tempo.pause_s * chance.uniform(0.5, 1.5))
