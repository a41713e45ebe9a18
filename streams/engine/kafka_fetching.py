"""Fetches in sessions (KIP-227): a request names only what changed, and an answer only what has something new.

aiokafka's consumer names every partition in every fetch, and the broker answers for every one: with a hundred of them
that costs both a millisecond, however little comes. In a session the broker remembers what is fetched from where. There
is one for each broker; whatever may have left both sides with different ideas of it (a fetch that failed or was
cancelled, an error of the session) ends it, and the next fetch names everything again. A broker that offers none (it
answers with session 0, or knows only older requests) is asked for everything each time, as aiokafka does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from streams.engine.kafka_records import TolerantConsumer

FIRST_EPOCH = 0
"""Of a fetch that names everything, and begins a session."""
LAST_EPOCH = 2**31 - 1
SESSIONS_SINCE = 7
"""The version of the request that has them."""

Place = tuple[str, int]
Wanted = tuple[int, int]
"""From which offset, and at most how many bytes."""


class FetchSession:
    """One broker's: what it remembers, and under which number. `epoch` is that of the next fetch."""

    def __init__(self) -> None:
        self.id = 0
        self.epoch = FIRST_EPOCH
        self.known: dict[Place, Wanted] = {}

    def begin_anew(self) -> None:
        """Name everything in the next fetch, which ends this session where the broker still has it."""
        self.epoch = FIRST_EPOCH
        self.known = {}

    def answered(self, id_: int, wanted: dict[Place, Wanted]) -> None:
        """The broker took a fetch in: it now remembers these. `id_`: 0 where it keeps no session."""
        self.id = id_
        if id_:
            self.epoch = 1 if self.epoch == LAST_EPOCH else self.epoch + 1
            self.known = wanted
        else:
            self.begin_anew()


class SessionFetch(FetchRequest):  # type: ignore[misc]
    """aiokafka's fetch of all that is wanted, which leaves as what differs from what the broker remembers."""

    def __init__(self, asked: FetchRequest, session: FetchSession) -> None:
        self.__dict__.update(vars(asked))  # it offers no other way to what it was made of
        self._session = session
        self.wanted: dict[Place, Wanted] = {
            (topic, partition): (offset, most)
            for topic, partitions in asked.topics
            for partition, offset, most in partitions
        }

    def build(self, request_struct_class: type[Any]) -> Any:
        """The request as it leaves; without a session where the broker's version has none."""
        if request_struct_class.API_VERSION < SESSIONS_SINCE:
            return super().build(request_struct_class)
        session, wanted, known = self._session, self.wanted, self._session.known
        self._topics = _by_topic(
            (place, (place[1], *which)) for place, which in wanted.items() if known.get(place) != which
        )
        struct = super().build(request_struct_class)
        struct.session_id, struct.session_epoch = session.id, session.epoch
        struct.forgotten_topics_data = _by_topic((place, place[1]) for place in known if place not in wanted)
        return struct


class FetchSessions:
    """Stands between a consumer and its client, and makes its fetches incremental."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._sessions: dict[int, FetchSession] = {}
        self._send = client.send

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """`AIOKafkaClient.send`."""
        if type(request) is not FetchRequest:
            return await self._send(node_id, request, **options)
        session = self._sessions.get(node_id)
        if session is None:
            session = self._sessions[node_id] = FetchSession()
        response = await self._fetch(node_id, request, session, **options)
        if response.API_VERSION >= SESSIONS_SINCE and response.error_code and not response.topics:
            # The broker has forgotten the session, or counts otherwise: ask once more, for everything.
            response = await self._fetch(node_id, request, session, **options)
        return response

    async def _fetch(self, node_id: int, request: FetchRequest, session: FetchSession, **options: Any) -> Any:
        fetch = SessionFetch(request, session)
        try:
            response = await self._send(node_id, fetch, **options)
        except BaseException:
            session.begin_anew()
            raise
        if response.API_VERSION >= SESSIONS_SINCE:
            if response.error_code:
                session.begin_anew()
            else:
                session.answered(response.session_id, fetch.wanted)
        return response


class SessionConsumer(TolerantConsumer):
    """A consumer of many partitions, for long."""

    def __init__(self, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **options)
        self._client.send = FetchSessions(self._client).send


def _by_topic(rows: Iterable[tuple[Place, Any]]) -> list[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for place, row in rows:
        found.setdefault(place[0], []).append(row)
    return list(found.items())
