"""Fetches in sessions (KIP-227): a request names only what changed, and an answer only what has something new.

aiokafka's consumer looks at every partition whenever anything happens, names every one in every fetch, and the broker
answers for every one: with a hundred of them that costs both a millisecond, however little comes. In a session the
broker remembers what is fetched from where. There is one for each broker; whatever may have left both sides with
different ideas of it (a fetch that failed or was cancelled, an error of the session) ends it, and the next fetch names
everything again. A broker that offers none (it answers with session 0, or knows only older requests) is asked for
everything each time, as aiokafka does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import FetchSessionIdNotFound, InvalidFetchSessionEpoch, for_code
from aiokafka.protocol.fetch import FetchRequest

from streams.engine.kafka_records import TolerantConsumer
from streams.engine.load import Load, allowed_cores

FIRST_EPOCH = 0
"""Of a fetch that names everything, and begins a session."""
LAST_EPOCH = 2**31 - 1
SESSIONS_SINCE = 7
"""The version of the request that has them."""
NO_LEADER = (None, -1)

GATHER_S = 0.015
"""A busy consumer asks a broker that seldom, at most: what comes meanwhile is fetched, decided and written together."""

Place = tuple[str, int]
Actions = tuple[list[tuple[int, FetchRequest]], dict[int, list[Any]], float, bool, list[Any]]
"""aiokafka's: fetches by broker, partitions whose position is to be asked for by broker, seconds until the next look,
whether metadata is to be asked for as a partition has no leader, and what else to wait for."""


class FetchSession:
    """One broker's: what it remembers, and under which number. `epoch` is that of the next fetch."""

    def __init__(self) -> None:
        self.id = 0
        self.epoch = FIRST_EPOCH
        self.known: dict[Place, int] = {}
        """From which offset each partition is fetched."""

    def begin_anew(self) -> None:
        """Name everything in the next fetch, which ends this session where the broker still has it."""
        self.epoch = FIRST_EPOCH
        self.known = {}

    def answered(self, id_: int, wanted: dict[Place, int]) -> None:
        """The broker took a fetch in: it now remembers these. `id_`: 0 where it keeps no session."""
        self.id = id_
        if id_:
            self.epoch = 1 if self.epoch == LAST_EPOCH else self.epoch + 1
            self.known = wanted
        else:
            self.begin_anew()


class SessionFetch(FetchRequest):  # type: ignore[misc]
    """A fetch of all that is wanted of a broker, which leaves as what differs from what the broker remembers.

    `wanted`: from which offset each partition is fetched, at most `partition_bytes` of it. `limits`: aiokafka's first
    four of a fetch (milliseconds to wait, bytes at least and at most, isolation).
    """

    session: FetchSession

    def __init__(self, limits: tuple[int, int, int, int], partition_bytes: int, wanted: dict[Place, int]) -> None:
        super().__init__(*limits, topics=[])
        self.wanted = wanted
        self._partition_bytes = partition_bytes
        self._named: Iterable[Place] = wanted

    @property
    def topics(self) -> list[tuple[str, list[Any]]]:
        """Where aiokafka looks up from where what was answered had been fetched; before, all that is wanted."""
        return self._rows(self._named)

    def answered(self, response: Any) -> None:
        """Keep at hand which partitions have something new."""
        self._named = [
            (topic, row[0]) for topic, rows in response.topics for row in rows if (topic, row[0]) in self.wanted
        ]

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request as it leaves; without a session where the broker's version has none."""
        if request_struct_class.API_VERSION < SESSIONS_SINCE:
            self._topics = self._shuffled()
            return super().build(request_struct_class)
        session, known = self.session, self.session.known
        changed = [place for place, offset in self.wanted.items() if known.get(place) != offset]
        self._topics = self._rows(changed) if known else self._shuffled()
        struct = super().build(request_struct_class)
        struct.session_id, struct.session_epoch = session.id, session.epoch
        struct.forgotten_topics_data = _by_topic((place, place[1]) for place in known if place not in self.wanted)
        return struct

    def _shuffled(self) -> list[tuple[str, list[Any]]]:
        # In a session the broker itself lets those wait that have just had their turn.
        return self._rows(random.sample(list(self.wanted), len(self.wanted)))

    def _rows(self, places: Iterable[Place]) -> list[tuple[str, list[Any]]]:
        return _by_topic((place, (place[1], self.wanted[place], self._partition_bytes)) for place in places)


class FetchSessions:
    """Stands between a consumer and its client, and makes its fetches incremental."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._sessions: dict[int, FetchSession] = {}
        self._send = client.send

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """`AIOKafkaClient.send`."""
        if type(request) is not SessionFetch:
            return await self._send(node_id, request, **options)
        session = self._sessions.get(node_id)
        if session is None:
            session = self._sessions[node_id] = FetchSession()
        request.session = session
        try:
            response = await self._fetch(node_id, request, **options)
        except (FetchSessionIdNotFound, InvalidFetchSessionEpoch):
            # The broker has forgotten the session, or counts otherwise: ask once more, for everything.
            response = await self._fetch(node_id, request, **options)
        request.answered(response)
        return response

    async def _fetch(self, node_id: int, fetch: SessionFetch, **options: Any) -> Any:
        session = fetch.session
        try:
            response = await self._send(node_id, fetch, **options)
        except BaseException:
            session.begin_anew()
            raise
        if response.API_VERSION < SESSIONS_SINCE:
            return response
        if response.error_code:
            session.begin_anew()
            # aiokafka, which has no sessions, does not look at it, and would ask again at once.
            raise for_code(response.error_code)
        session.answered(response.session_id, fetch.wanted)
        return response


class FetchPlan:
    """Stands in for a fetcher's look at what to do next (`Fetcher._get_actions_per_node`, whose rules these are).

    The fetcher looks twice a fetch, when the answer came and when somebody took it. A broker that owes an answer is
    asked for nothing, nor is one of whose answer something lies unread that is about to be taken (it is in `open_`):
    then its partition can be asked for, too. aiokafka waits for all that is unread, up to a tenth of a second, even
    where it is of a partition that has enough to do. Who leads which is worked out once for each assignment and each
    time that metadata came. Leaders alone are asked: no `client_rack` is given. While `busy` (it is told the time in
    seconds of `clock`), a broker is asked at most once in `GATHER_S`.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        open_: Container[Place],
        busy: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._open = open_
        self._busy = busy
        self._clock = clock
        self._asked_s: dict[Any, float] = {}
        self._limits = (
            fetcher._fetch_max_wait_ms,  # noqa: SLF001 - what aiokafka makes its own fetches of
            fetcher._fetch_min_bytes,  # noqa: SLF001
            fetcher._fetch_max_bytes,  # noqa: SLF001
            fetcher._isolation_level,  # noqa: SLF001
        )
        self._made_of: tuple[Any, Any] = (None, None)
        self._led: dict[Any, list[tuple[Place, Any]]] = {}

    def actions(self, assignment: Any) -> Actions:
        """What to do now, of which broker."""
        fetcher = self._fetcher
        self._look_up(assignment)
        unread: dict[Any, float] = {}
        for place, records in fetcher._records.items():  # noqa: SLF001
            wait_s = records.calculate_backoff() if place in self._open else 0
            if wait_s:
                node_id = fetcher._client.cluster.leader_for_partition(place)  # noqa: SLF001
                unread[node_id] = max(wait_s, unread.get(node_id, 0))
        now_s = self._clock()
        gathers_s = GATHER_S if self._busy(now_s) else 0
        waits_s = list(unread.values())
        fetches: list[tuple[int, FetchRequest]] = []
        unplaced: dict[int, list[Any]] = {}
        resumptions: list[Any] = []
        for node_id, states in self._led.items():
            if node_id in NO_LEADER or node_id in fetcher._in_flight or node_id in unread:  # noqa: SLF001
                continue
            wait_s = self._asked_s.get(node_id, float("-inf")) + gathers_s - now_s
            if wait_s > 0:
                waits_s.append(wait_s)
                continue
            wanted, without, paused = self._look(states)
            resumptions += paused
            if without:
                unplaced[node_id] = without
            elif wanted:
                fetches.append((node_id, self._fetch(wanted)))
                self._asked_s[node_id] = now_s
        timeout_s = min(waits_s, default=fetcher._fetcher_timeout)  # noqa: SLF001
        return fetches, unplaced, timeout_s, any(node_id in NO_LEADER for node_id in self._led), resumptions

    def _look_up(self, assignment: Any) -> None:
        cluster = self._fetcher._client.cluster  # noqa: SLF001
        if self._made_of[0] is assignment and self._made_of[1] is cluster._partitions:  # noqa: SLF001
            return
        self._made_of = assignment, cluster._partitions  # noqa: SLF001 - it is made anew with each metadata
        self._led = {}
        for place in assignment.tps:
            led = self._led.setdefault(cluster.leader_for_partition(place), [])
            led.append((place, assignment.state_value(place)))

    def _look(self, states: Iterable[tuple[Place, Any]]) -> tuple[dict[Place, int], list[Any], list[Any]]:
        records = self._fetcher._records  # noqa: SLF001
        wanted: dict[Place, int] = {}
        without: list[Any] = []
        paused: list[Any] = []
        for place, state in states:
            if place in records:
                continue
            if not state.has_valid_position:
                without.append(place)
            elif state.paused:
                paused.append(state.resume_fut)
            else:
                wanted[place] = state.position
        return wanted, without, paused

    def _fetch(self, wanted: dict[Place, int]) -> SessionFetch:
        return SessionFetch(self._limits, self._fetcher._max_partition_fetch_bytes, wanted)  # noqa: SLF001


class SessionConsumer(TolerantConsumer):
    """A consumer of many partitions, for long. `open_` has those that may be read from."""

    def __init__(self, *topics: str, open_: Container[Place], **options: Any) -> None:
        super().__init__(*topics, **options)
        self._open = open_
        self._client.send = FetchSessions(self._client).send

    async def start(self) -> None:
        """Connect, and fetch in sessions."""
        await super().start()
        plan = FetchPlan(self._fetcher, self._open, Load(cores=allowed_cores()).busy)
        self._fetcher._get_actions_per_node = plan.actions  # noqa: SLF001 - there is no other place


def _by_topic(rows: Iterable[tuple[Place, Any]]) -> list[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for place, row in rows:
        found.setdefault(place[0], []).append(row)
    return list(found.items())
