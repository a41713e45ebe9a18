"""A run: controllers and people against any broker, judged by the oracle, watched by the auditor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.access import AccessRequested
from streams.loading.campus import Campus
from streams.simulator.audit import Auditor
from streams.simulator.book import Book, RequestKey
from streams.simulator.broker import (
    COMMANDS,
    DECISIONS,
    DURESS,
    INCIDENTS,
    MODES,
    SNAPSHOTS,
    STATES,
    Arrived,
    Line,
    Marks,
    OnSent,
    Opened,
)
from streams.simulator.day import Planner
from streams.simulator.happenings import Happenings
from streams.simulator.judge import Judge
from streams.simulator.knocking import knock_everywhere
from streams.simulator.lock import Now, present
from streams.simulator.oracle import Oracle
from streams.simulator.people import People
from streams.simulator.places import Places
from streams.simulator.plays import play
from streams.simulator.premises import TICK_S, Premises
from streams.simulator.progress import Progress
from streams.simulator.report import Report, report_of
from streams.simulator.scene import OnStory, Scene
from streams.simulator.stage import Stage, Tempo
from streams.simulator.timetable import play_all
from streams.simulator.watch import EVENTS, Watch
from streams.simulator.wire import Outgoing

DRAIN_S = 20.0
"""How long the last decisions and passages are waited for; a passage that does not come is known after 10 s."""

FRAME_S = 0.25
_RECENT = 500
_LINES = 20


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Options:
    """What is simulated: about `rate` requests/s for `seconds`. `devices`: judge what is told of controllers, too.

    `operators`: somebody is there who starts lockdowns when it is time to, and ends them.
    """

    seconds: float = 60.0
    rate: float = 17.0
    seed: int = 1
    scenario: str = "day"
    drain_s: float = DRAIN_S
    devices: bool = False
    operators: bool = False


class Simulation:
    """One run. `line` opens the line to the broker; it is given what hears of each record when it is sent.

    `on_story` hears which stories are on the day, and of each when it begins.
    """

    def __init__(
        self,
        line: Callable[[OnSent], Opened],
        master: bytes,
        campus: Campus,
        options: Options,
        now: Now = present,
        on_story: OnStory = lambda _told: None,
    ) -> None:
        self._opened = line
        self._now = now
        self._options = options
        self._on_story = on_story
        self._places = Places(campus)
        self._people = People(campus, self._places)
        self._happenings = Happenings(self._places)
        self._oracle = Oracle(self._people, self._places, self._happenings)
        self._book = Book()
        self._auditor = Auditor()
        self._judge = Judge(self._oracle, self._people, self._places, self._book)
        self._watch = Watch(campus) if options.devices else None
        self._readers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            DURESS: self._judge.duress,
            INCIDENTS: self._oracle.lockdowns.told,
            MODES: self._mode,
            STATES: self._watch.told if self._watch is not None else _unread,
        }
        self._marks = Marks()
        self._line: Line | None = None
        self._premises = Premises(self._places, self._oracle, self._book, self._auditor, master, self._say, now)
        self._judge.on_passage = self._premises.passage
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._sent_at: deque[float] = deque(maxlen=_RECENT)
        self._stopping = asyncio.Event()
        self._began_s = self._ended_s = 0.0

    def stop(self) -> None:
        """End the day early; `run` then gives the report of what happened."""
        self._stopping.set()

    async def run(self, on_progress: OnProgress = lambda _progress: None) -> Report:
        """Play the scenario and give its report.

        Raises:
            TopicsMissingError: the broker lacks a topic.
            NobodyDecidesError: no worker decides, or the campus is not loaded.
            ValueError: nobody may enter anywhere.
        """
        began = self._now().clock
        scenes = self._plan()  # before anything is said: nobody listens while a day is planned
        async with self._opened(self._sent) as line:
            self._line = line
            async for arrived in line.history():
                self._hear(arrived, before=True)
            tasks = [asyncio.create_task(one) for one in (self._listen(line), self._tick(), self._show(on_progress))]
            try:
                self._premises.start()
                await self._while_listening(self._workers_answer(), tasks)
                await self._while_listening(self._day(scenes), tasks)
                await self._while_listening(self._drain(line), tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            self._judge.conclude()
            self._judge.differences += self._oracle.unlocked.differences(began, self._now().clock)
            on_progress(self._progress())
            name = (self._options.scenario, self._options.seed, len(self._places.sites))
            seconds = self._ended_s - self._began_s
            unsent = len(line.failures)
            kept_in = self._auditor.kept_in(self._now())
            found = report_of(name, seconds, self._book, self._judge, self._auditor, kept_in, unsent, self._watch)
            return replace(found, interrupted=self._stopping.is_set())

    async def _while_listening(self, work: Coroutine[Any, Any, None], tasks: Sequence[asyncio.Task[None]]) -> None:
        """Do something while everything else goes on; whatever fails there fails here."""
        working: asyncio.Task[None] = asyncio.ensure_future(work)
        try:
            await asyncio.wait([working, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await working
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working

    async def _workers_answer(self) -> None:
        chance = random.Random(self._options.seed)  # noqa: S311 - numbers of cards, not secrets
        await knock_everywhere(self._places, self._premises, self._book, chance, self._stopping, self._now)

    def _plan(self) -> list[Scene]:
        options = self._options
        planner = Planner(self._people, self._places, self._oracle, self._now().clock, options.seed, options.seconds)
        planner.operators = options.operators
        scenes = planner.plan(options.scenario, int(options.seconds * options.rate))
        for plan in planner.stories:
            self._on_story(plan)
        return scenes

    async def _day(self, scenes: Sequence[Scene]) -> None:
        options = self._options
        per_site = options.rate / max(1, len(self._places.sites))
        tempo = Tempo(
            pause_s=min(0.3, 6.0 / per_site), swing_s=min(0.15, 3.0 / per_site), outage_s=min(8.0, options.seconds / 6)
        )
        lockdowns = self._oracle.lockdowns
        stage = Stage(
            self._premises,
            self._people,
            self._places,
            self._happenings,
            lockdowns,
            tempo,
            self._on_story,
            self._watch,
        )

        async def play_one(number: int, scene: Scene) -> None:
            chance = random.Random(f"{options.seed}/{number}")  # noqa: S311 - behaviour, not secrets
            await play(stage, self._judge, scene, chance)

        self._began_s = self._now().timer_s
        try:
            await play_all(scenes, play_one, options.seconds, self._stopping, stage.close, self._now)
        finally:
            self._ended_s = self._now().timer_s

    async def _drain(self, line: Line) -> None:
        """Wait for what is still to come."""
        deadline = self._now().timer_s + self._options.drain_s
        while self._now().timer_s < deadline and not self._settled(line):  # noqa: ASYNC110 - the listener settles it
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)

    def _settled(self, line: Line) -> bool:
        if self._watch is not None and self._watch.waiting:
            return False
        if self._options.operators and self._oracle.lockdowns.standing and not self._stopping.is_set():
            return False
        return line.quiet and not self._book.waiting and not self._book.uncommanded and not self._judge.open_ends

    async def _listen(self, line: Line) -> None:
        while True:
            for arrived in await line.hear(0.2):
                self._hear(arrived)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._premises.tick()

    async def _show(self, on_progress: OnProgress) -> None:
        while True:
            await asyncio.sleep(FRAME_S)
            on_progress(self._progress())

    def _hear(self, arrived: Arrived, *, before: bool = False) -> None:
        fresh = self._marks.fresh(arrived.topic, arrived.partition, arrived.headers)
        if arrived.topic == COMMANDS:
            if fresh:
                self._premises.seen_command(arrived)
            self._premises.commanded(arrived)  # controllers hear repeats, too: it is theirs to tell
            return
        if arrived.topic == SNAPSHOTS:
            self._premises.commanded(arrived)
            return
        if not fresh:
            return
        try:
            fields = json.loads(arrived.value)
        except ValueError:
            return
        if arrived.topic != DECISIONS:
            self._readers.get(arrived.topic, _unread)(fields)
            return
        key = self._judge.read(fields, before=before)
        if key is not None:
            self._decided(key, fields)

    def _mode(self, fields: Mapping[str, Any]) -> None:
        self._oracle.lockdowns.mode(fields)
        self._oracle.unlocked.mode(fields)

    def _decided(self, key: RequestKey, fields: Mapping[str, Any]) -> None:
        granted = fields["type"] == "access_granted"
        if key.backlog:
            return
        self._book.counts["granted" if granted else "denied"] += 1
        if granted:
            self._auditor.granted(key.device_id, (key.boot, key.sequence))
        holder = self._people.holders.get(fields.get("cardholder_id") or "")
        who = holder.name if holder is not None else "unknown"
        what = "granted" if granted else f"denied: {fields['reason']}"
        self._lines.append(f"{fields['decided_at'][11:19]}  {fields['access_point_id']:<14} {who:<20} {what}")

    def _say(self, outgoing: Outgoing) -> None:
        if self._line is not None:
            self._line.say(outgoing)

    def _sent(self, outgoing: Outgoing, at_s: float) -> None:
        message = outgoing.message
        if self._watch is not None and outgoing.topic == EVENTS:
            self._watch.sent(message, self._now().timer_s)
        if isinstance(message, AccessRequested):
            asked = self._book.asked.get(RequestKey(message.device_id, message.boot, message.sequence))
            if asked is not None and asked.sent_s is None:
                asked.sent_s = at_s
                self._sent_at.append(self._now().timer_s)

    def _progress(self) -> Progress:
        now, counts, times = self._now().timer_s, self._book.counts, self._book.times
        elapsed_s = (self._ended_s or now) - self._began_s if self._began_s else 0.0
        return Progress(
            elapsed_s=elapsed_s,
            seconds=self._options.seconds,
            requests=counts["requests"],
            granted=counts["granted"],
            denied=counts["denied"],
            commands=counts["commands"],
            confirmed=counts["confirmed"],
            waiting=self._book.waiting,
            rate=sum(now - at <= 1.0 for at in self._sent_at),
            p50_ms=times.quantile_ms(0.5, _RECENT) or 0.0,
            p99_ms=times.quantile_ms(0.99, _RECENT) or 0.0,
            doors=self._premises.door_states(),
            last=tuple(self._lines),
        )


def _unread(_fields: Mapping[str, Any]) -> None:
    """Nobody reads it."""
