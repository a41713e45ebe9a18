"""A whole day in memory: the real decisions and virtual controllers on one event loop whose sleeps take no time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from schemas.envelope import type_of
from schemas.keys import OPERATOR, derive_key
from schemas.operators import OperatorRequest
from schemas.people import Credential, Secret
from schemas.record import Headers, Output, Record
from schemas.reference import BY_NAME
from schemas.sealing import Sealer
from streams import signed
from streams.agents.verification import SecretVerifier
from streams.core.devices import DevicesProcessor
from streams.core.processor import Arrival, Context, Lookup, Tick
from streams.core.site import SiteProcessor
from streams.engine.decider import Decider, EngineCause, EntryFrame, decode_arrival
from streams.engine.observer import Observer
from streams.engine.references import ReferenceTables
from streams.engine.state import StateStore
from streams.engine.virtual import VirtualLoop
from streams.hashing import PinHashing, hasher
from streams.loading.campus import Campus
from streams.simulator.broker import COMMANDS, DECISIONS, DURESS, INCIDENTS, MODES, SNAPSHOTS, Arrived, OnSent
from streams.simulator.lock import Moment
from streams.simulator.report import Report
from streams.simulator.run import Options, Simulation
from streams.simulator.scene import OnStory
from streams.simulator.watch import EVENTS
from streams.simulator.wire import Outgoing

MASTER = bytes(range(32))
TICK_S = 0.05
SLOWEST_S = 0.03
"""How long a record is on its way at most."""

_CHEAP = hasher(memory_kib=8, time_cost=1)
_TICKS = 1000
_INSTANT_S = 0.000_001


class VirtualClock:
    """The clocks of a virtual loop; the day begins at `start`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime) -> None:
        self._loop, self._start = loop, start
        self._asked = 0

    def moment(self) -> Moment:
        """This moment; no two are the same."""
        self._asked += 1
        seconds = self._loop.time() + self._asked * _INSTANT_S
        return Moment(seconds, self._start + timedelta(seconds=seconds))

    def now_ms(self) -> int:
        """Unix time, in milliseconds."""
        return round(self.moment().clock.timestamp() * 1000)

    def monotonic_s(self) -> float:
        """The timer."""
        return self.moment().timer_s


class MemorySite:
    """A processor (the site's) over a campus: a record in, what is published out. Nothing is kept but state."""

    def __init__(
        self,
        campus: Campus,
        clock: VirtualClock,
        on_output: Callable[[Output], None] = lambda _output: None,
        processor: SiteProcessor | DevicesProcessor | None = None,
    ) -> None:
        self.clock = clock
        self._on_output = on_output
        self.failed: list[str] = []
        self._processor = processor or SiteProcessor(MASTER)
        self._verifier = SecretVerifier(MASTER, _CHEAP)
        self._tables = ReferenceTables(self._processor.references, clock)
        self._views = self._tables.views(self._processor.references)
        self._store = StateStore(self._processor)
        self._decider = Decider(self._processor, self._store, 0, 1_772_000_000, _Failures(self.failed))
        self._offsets: dict[str, int] = defaultdict(int)
        self._number, self._digest = 0, b""
        for entity, records in campus.records.items():
            values = [(id_, record.to_json()) for id_, record in records.items()]
            self._load(BY_NAME[entity].topic, values)
        self._load(BY_NAME["secret"].topic, [(one.credential_id, one.to_json()) for one in _secrets(campus)])

    def _load(self, topic: str, values: list[tuple[str, bytes]]) -> None:
        if topic in self._views.topics:
            records = [Record(topic, 0, at, id_.encode(), value, (), 0) for at, (id_, value) in enumerate(values)]
            self._tables.apply(topic, records)

    def take(
        self, topic: str, key: bytes, value: bytes, headers: Headers, appended_ms: int | None = None
    ) -> list[Output]:
        """Decide a record that was appended then, or is now; what was due before comes first."""
        outputs = self.tick()
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        now_ms = self.clock.now_ms()
        record = Record(topic, 0, offset, key, value, headers, now_ms if appended_ms is None else appended_ms)
        cause = decode_arrival(self._processor, record)
        resolved = {}
        if isinstance(cause, Arrival):
            context = Context(now_ms, self._views.live(), {}, 0, self._number + 1, 1_772_000_000)
            for need in self._processor.needs(self._store, cause, context):
                resolved[need.name] = [] if isinstance(need, Lookup) else self._verifier.verify(need)
        return outputs + self._decide(cause, {topic: {offset: resolved}})

    def tick(self) -> list[Output]:
        """What is due."""
        outputs: list[Output] = []
        for deadline_ms, key in self._store.deadlines.due(self.clock.now_ms(), _TICKS):
            outputs += self._decide(Tick(key, deadline_ms), {})
        return outputs

    def _decide(self, cause: EngineCause, resolved: dict[str, dict[int, dict[str, object]]]) -> list[Output]:
        self._number += 1
        frame = EntryFrame(self._number, self.clock.now_ms(), self._views.live(), resolved, self._digest)
        decision = self._decider.decide(frame, [cause])
        self._digest = decision.digest
        self._store.changed.clear()
        for output in decision.outputs:
            self._on_output(output)
        return decision.outputs


class _Failures(Observer):
    def __init__(self, failed: list[str]) -> None:
        self._failed = failed

    def dead_letter(self, topic: str, partition: int, offset: int, stage: str, error: str) -> None:
        self._failed.append(f"{topic} {partition}/{offset} {stage}: {error}")


def _secrets(campus: Campus) -> list[Secret]:
    pins, sealer, found = PinHashing(MASTER, _CHEAP), Sealer.of_master(MASTER), []
    contents: dict[str, object] = {id_: pins.enrol(one.pin, one.duress_pin) for id_, one in campus.pins.items()}
    contents |= {id_: {"templates": one.templates, "model": one.model} for id_, one in campus.templates.items()}
    for id_, content in contents.items():
        credential = campus.records["credential"][id_]
        assert isinstance(credential, Credential)
        sealed = sealer.seal(json.dumps(content).encode())
        found.append(Secret(credential_id=id_, kind=credential.kind, sealed=sealed))
    return found


Post = Callable[..., None]
"""Asks for something: the kind of request, the operator, and its fields."""

Operators = Callable[[Post], Coroutine[Any, Any, None]]


class MemoryLine:
    """The line to a site in memory: each record takes its time there and back, in the order of its topic.

    Topics are read side by side: what was said first in one may arrive after what was said later in another.
    """

    def __init__(
        self, site: MemorySite, devices: MemorySite, on_sent: OnSent, chance: random.Random, slowest_s: float
    ) -> None:
        self.failures: list[str] = []
        self._site, self._devices, self._on_sent, self._chance = site, devices, on_sent, chance
        self._slowest_s = slowest_s
        self._loop = asyncio.get_running_loop()
        # Timers of the same moment ring in no order: each takes what was sent first.
        self._going: dict[str, deque[tuple[Outgoing, int]]] = defaultdict(deque)
        self._coming: dict[str, deque[Output]] = defaultdict(deque)
        self._there_s: dict[str, float] = defaultdict(float)
        self._back_s: dict[str, float] = defaultdict(float)
        self._heard: deque[Arrived] = deque()
        self._rings = asyncio.Event()
        self._offsets: dict[str, int] = defaultdict(int)

    def say(self, outgoing: Outgoing) -> None:
        """Publish a record after those said before."""
        self._going[outgoing.topic].append((outgoing, self._site.clock.now_ms()))
        self._on_sent(outgoing, self._loop.time())
        self._loop.call_at(self._later(self._there_s, outgoing.topic), self._arrive, outgoing.topic)

    def _later(self, lanes: dict[str, float], topic: str) -> float:
        """When a record arrives that leaves now: not before the one that left before it."""
        lanes[topic] = max(lanes[topic], self._loop.time() + self._chance.random() * self._slowest_s)
        return lanes[topic]

    def _arrive(self, topic: str) -> None:
        outgoing, appended_ms = self._going[topic].popleft()
        said = (outgoing.topic, outgoing.key, outgoing.value, outgoing.headers)
        self._publish(self._site.take(*said, appended_ms))
        if outgoing.topic == EVENTS:
            self._publish(self._devices.take(*said, appended_ms))

    def _publish(self, outputs: list[Output]) -> None:
        for output in outputs:
            if output.topic in (COMMANDS, DECISIONS, DURESS, SNAPSHOTS, INCIDENTS, MODES):
                self._coming[output.topic].append(output)
                self._loop.call_at(self._later(self._back_s, output.topic), self._hear, output.topic)

    def _hear(self, topic: str) -> None:
        output = self._coming[topic].popleft()
        offset, self._offsets[output.topic] = self._offsets[output.topic], self._offsets[output.topic] + 1
        value, at_s = output.value or b"", self._loop.time()
        self._heard.append(Arrived(output.topic, 0, offset, output.key, value, output.headers, at_s))
        self._rings.set()

    @property
    def quiet(self) -> bool:
        """Whether everything said has arrived."""
        return not any(self._going.values())

    async def hear(self, timeout_s: float) -> list[Arrived]:
        """What has arrived."""
        if not self._heard:
            self._rings.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rings.wait(), timeout_s)
        found = list(self._heard)
        self._heard.clear()
        return found

    async def history(self) -> AsyncIterator[Arrived]:
        """Nothing was decided before."""
        nothing: tuple[Arrived, ...] = ()
        for one in nothing:
            yield one

    def ask(self, kind: type[OperatorRequest], operator_id: str, **fields: Any) -> None:
        """An operator asks for something, signed, at the site of the campus or the one that is named."""
        now = self._site.clock.moment().clock
        named = {"request_id": f"{operator_id}-{now.timestamp()}", "site_id": "hq", "operator_id": operator_id}
        request = kind(**{**named, "occurred_at": now, **fields})
        topic, key, value = "operator.requests", request.site_id.encode(), request.to_json()
        event = signed.Event(request.request_id, f"/operators/{operator_id}", type_of(request), now.isoformat())
        secret, end = derive_key(MASTER, OPERATOR, operator_id), now + timedelta(seconds=30)
        headers = signed.signed_headers(secret, event, topic, key, value, end)
        self._publish(self._site.take(topic, key, value, tuple(headers)))

    async def tick(self) -> None:
        """Let the site's deadlines come due, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self._publish(self._site.tick())
            self._publish(self._devices.tick())


def simulate(
    campus: Campus,
    options: Options,
    start: datetime,
    on_story: OnStory = lambda _told: None,
    on_output: Callable[[Output], None] = lambda _output: None,
    operators: Operators | None = None,
    slowest_s: float = SLOWEST_S,
) -> tuple[Report, list[str]]:
    """The report of a day, and what the site could not decide. `operators` act on that day, too.

    A record is on its way for `slowest_s` at most, and so much later than one of another topic at most.
    """
    loop = VirtualLoop()
    clock = VirtualClock(loop, start)
    try:
        day = _simulate(campus, options, clock, on_story, on_output, operators or _nobody, slowest_s)
        return loop.run_until_complete(day)
    finally:
        loop.close()


async def _nobody(_post: Post) -> None:
    """No operator is there."""


async def _simulate(
    campus: Campus,
    options: Options,
    clock: VirtualClock,
    on_story: OnStory,
    on_output: Callable[[Output], None],
    operators: Operators,
    slowest_s: float,
) -> tuple[Report, list[str]]:
    site = MemorySite(campus, clock, on_output)
    devices = MemorySite(campus, clock, processor=DevicesProcessor(MASTER))

    @asynccontextmanager
    async def opened(on_sent: OnSent) -> AsyncIterator[MemoryLine]:
        line = MemoryLine(site, devices, on_sent, random.Random(options.seed), slowest_s)
        working = [asyncio.create_task(line.tick()), asyncio.create_task(operators(line.ask))]
        try:
            yield line
        finally:
            for task in working:
                task.cancel()
            for done in await asyncio.gather(*working, return_exceptions=True):
                if isinstance(done, Exception):
                    raise done

    report = await Simulation(opened, MASTER, campus, options, clock.moment, on_story).run()
    return report, [*site.failed, *devices.failed]
