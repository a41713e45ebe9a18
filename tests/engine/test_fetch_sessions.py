"""Fetches in sessions: what is named, and what happens where broker and consumer no longer agree."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.kafka_fetching import GATHER_S, FetchPlan, FetchSessions, SessionFetch

NODE = 1
INVALID_EPOCH, NO_SUCH_SESSION, NOT_AUTHORIZED = 71, 70, 31


class Answer(NamedTuple):
    """What a fetch is answered with."""

    session_id: int = 7
    error_code: int = 0
    topics: tuple[Any, ...] = ()
    API_VERSION: int = 11


class Client:
    """Builds what it is to send as a connection of that version would, and answers from a list."""

    def __init__(self, version: int = 11) -> None:
        self.version = version
        self.sent: list[Any] = []
        self.answers: list[Answer | BaseException] = []

    async def send(self, _node_id: int, request: Any) -> Any:
        self.sent.append(request.prepare({1: (0, self.version), 3: (0, 1)}))
        answer = self.answers.pop(0) if self.answers else Answer(API_VERSION=self.version)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def fetch(**offsets: int) -> SessionFetch:
    """Of partition 0 of these topics."""
    return SessionFetch((100, 1, 1_000_000, 0), 1_000, {(topic, 0): offset for topic, offset in offsets.items()})


def said(request: Any) -> tuple[int, int, dict[str, int], list[str]]:
    """Session, epoch, the offsets that it names and the topics to be forgotten."""
    named = {topic: row[2 if request.API_VERSION >= 9 else 1] for topic, rows in request.topics for row in rows}
    return request.session_id, request.session_epoch, named, [topic for topic, _ in request.forgotten_topics_data]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.mark.parametrize("version", [7, 8, 9, 11])
async def test_a_fetch_names_only_what_differs_from_the_one_before(version: int) -> None:
    client = Client(version)
    sessions = FetchSessions(client)
    for request in (fetch(a=1, b=2), fetch(a=1, b=3), fetch(b=3, c=9), fetch(a=1, b=3, c=9)):
        await sessions.send(NODE, request)
    assert [said(one) for one in client.sent] == [
        (0, 0, {"a": 1, "b": 2}, []),
        (7, 1, {"b": 3}, []),
        (7, 2, {"c": 9}, ["a"]),
        (7, 3, {"a": 1}, []),
    ]


@pytest.mark.parametrize("code", [NO_SUCH_SESSION, INVALID_EPOCH])
async def test_a_session_that_the_broker_has_lost_is_begun_anew_at_once(client: Client, code: int) -> None:
    sessions = FetchSessions(client)
    await sessions.send(NODE, fetch(a=1, b=2))
    client.answers = [Answer(session_id=0, error_code=code), Answer(session_id=8)]
    answer = await sessions.send(NODE, fetch(a=1, b=3))
    await sessions.send(NODE, fetch(a=1, b=4))
    assert answer.session_id == 8
    assert [said(one)[1:3] for one in client.sent[1:]] == [(1, {"b": 3}), (0, {"a": 1, "b": 3}), (1, {"b": 4})]


@pytest.mark.parametrize("error", [KafkaConnectionError(), asyncio.CancelledError()])
async def test_after_a_fetch_of_which_nobody_knows_the_next_names_everything(
    client: Client, error: BaseException
) -> None:
    sessions = FetchSessions(client)
    await sessions.send(NODE, fetch(a=1))
    client.answers = [error]
    with pytest.raises(type(error)):
        await sessions.send(NODE, fetch(a=2))
    await sessions.send(NODE, fetch(a=2))
    assert said(client.sent[-1]) == (7, 0, {"a": 2}, [])


async def test_a_broker_that_takes_no_fetch_is_not_asked_again_at_once(client: Client) -> None:
    sessions = FetchSessions(client)
    await sessions.send(NODE, fetch(a=1))
    client.answers = [Answer(session_id=0, error_code=NOT_AUTHORIZED)]
    with pytest.raises(ClusterAuthorizationFailedError):
        await sessions.send(NODE, fetch(a=2))
    await sessions.send(NODE, fetch(a=2))
    assert [said(one)[1:3] for one in client.sent] == [(0, {"a": 1}), (1, {"a": 2}), (0, {"a": 2})]


async def test_a_broker_that_keeps_no_session_is_asked_for_everything(client: Client) -> None:
    sessions = FetchSessions(client)
    client.answers = [Answer(session_id=0), Answer(session_id=0)]
    for _ in range(2):
        await sessions.send(NODE, fetch(a=1))
    assert [said(one) for one in client.sent] == [(0, 0, {"a": 1}, [])] * 2


async def test_a_broker_of_before_there_were_sessions_is_asked_as_ever() -> None:
    client = Client(version=4)
    sessions = FetchSessions(client)
    for _ in range(2):
        await sessions.send(NODE, fetch(a=1))
    assert [one.topics for one in client.sent] == [[("a", [(0, 1, 1_000)])]] * 2


async def test_every_node_has_a_session_of_its_own(client: Client) -> None:
    sessions = FetchSessions(client)
    for node_id in (1, 2, 1):
        await sessions.send(node_id, fetch(a=1))
    assert [said(one)[1] for one in client.sent] == [0, 0, 1]


async def test_epochs_begin_again_at_one(client: Client) -> None:
    sessions = FetchSessions(client)
    await sessions.send(NODE, fetch(a=1))
    sessions._sessions[NODE].epoch = 2**31 - 1
    for _ in range(2):
        await sessions.send(NODE, fetch(a=1))
    assert [said(one)[1] for one in client.sent] == [0, 2**31 - 1, 1]


async def test_other_requests_pass(client: Client) -> None:
    await FetchSessions(client).send(NODE, MetadataRequest([]))
    assert [one.API_KEY for one in client.sent] == [3]


async def test_an_answer_says_from_where_that_was_fetched_which_it_has(client: Client) -> None:
    request = fetch(a=1, b=2, c=3)
    assert sorted(request.topics) == [("a", [(0, 1, 1_000)]), ("b", [(0, 2, 1_000)]), ("c", [(0, 3, 1_000)])]
    client.answers = [Answer(topics=(("b", [(0, 0, 9, b"")]),))]
    await FetchSessions(client).send(NODE, request)
    assert request.topics == [("b", [(0, 2, 1_000)])]


class Place(NamedTuple):
    """A partition as a fetcher knows it. `leader`: None or -1 where there is none, `unread_s`: None for nothing."""

    leader: int | None
    position: int | None
    paused: bool
    unread_s: float | None

    @property
    def has_valid_position(self) -> bool:
        """Whether it is known from where to fetch."""
        return self.position is not None

    @property
    def resume_fut(self) -> int:
        """What would tell that it goes on."""
        return id(self)

    def calculate_backoff(self) -> float:
        """How long what was fetched of it holds up its broker."""
        return self.unread_s or 0


class Cluster:
    """Who leads what."""

    def __init__(self, places: Mapping[TopicPartition, Place]) -> None:
        self._partitions = places

    def leader_for_partition(self, place: TopicPartition) -> int | None:
        """`ClusterMetadata.leader_for_partition`."""
        return self._partitions[place].leader


class Assigned:
    """All of them."""

    def __init__(self, places: Mapping[TopicPartition, Place]) -> None:
        self.tps = frozenset(places)
        self.state_value = places.__getitem__


def fetcher_of(places: Mapping[TopicPartition, Place], in_flight: set[int]) -> Any:
    """aiokafka's, without a connection."""
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._client = SimpleNamespace(cluster=Cluster(places))
    fetcher._records = {place: one for place, one in places.items() if one.unread_s is not None}
    fetcher._in_flight = in_flight
    fetcher._preferred_read_replica = {}
    fetcher._client_rack = None
    fetcher._fetch_max_wait_ms, fetcher._fetch_min_bytes, fetcher._fetch_max_bytes = 100, 1, 1_000_000
    fetcher._isolation_level, fetcher._max_partition_fetch_bytes = 0, 1_000
    fetcher._fetcher_timeout = 0.2
    return fetcher


def idle(_now_s: float) -> bool:
    """A consumer with time to spare."""
    return False


def planned(fetcher: Any, open_: Container[TopicPartition], assigned: Assigned) -> dict[str, Any]:
    """What such a one would do, in a form to be compared."""
    return told(FetchPlan(fetcher, open_, idle).actions(assigned))


def told(actions: Any) -> dict[str, Any]:
    """What a fetcher would do, in a form to be compared."""
    fetches, unplaced, timeout_s, leaderless, resumptions = actions
    return {
        "fetches": {node_id: {(topic, row) for topic, rows in one.topics for row in rows} for node_id, one in fetches},
        "unplaced": {node_id: set(places) for node_id, places in unplaced.items()},
        "timeout_s": timeout_s,
        "leaderless": leaderless,
        "resumptions": set(resumptions),
    }


LED = st.builds(
    Place, st.sampled_from([1, 2, 3]), st.none() | st.integers(0, 9), st.booleans(), st.sampled_from([None, None, 0, 1])
)
UNLED = st.builds(Place, st.sampled_from([None, -1]), st.integers(0, 9), st.just(False), st.none())


@given(
    st.dictionaries(st.builds(TopicPartition, st.sampled_from("ab"), st.integers(0, 4)), LED | UNLED),
    st.sets(st.sampled_from([1, 2, 3])),
)
def test_the_plan_is_that_of_aiokafka(places: dict[TopicPartition, Place], in_flight: set[int]) -> None:
    fetcher, assigned = fetcher_of(places, in_flight), Assigned(places)
    expected, found = told(fetcher._get_actions_per_node(assigned)), planned(fetcher, places, assigned)
    # Of a broker of which something lies unread nothing is asked, not even where a partition ends.
    held_up = {one.leader for one in places.values() if one.unread_s}
    expected["unplaced"] = {node_id: rest for node_id, rest in expected["unplaced"].items() if node_id not in held_up}
    expected["resumptions"] = {
        one.resume_fut
        for one in places.values()
        if one.paused and one.has_valid_position and one.unread_s is None and one.leader not in held_up | in_flight
    }
    assert found == expected


def test_what_nobody_can_take_yet_holds_up_no_fetch_of_other_partitions() -> None:
    full, other = TopicPartition("a", 0), TopicPartition("b", 0)
    places = {full: Place(1, 5, False, 0.1), other: Place(1, 7, False, None)}
    fetcher, assigned = fetcher_of(places, set()), Assigned(places)
    assert planned(fetcher, {full, other}, assigned)["fetches"] == {}
    assert planned(fetcher, {other}, assigned)["fetches"] == {1: {("b", (0, 7, 1_000))}}


def test_the_plan_follows_assignment_and_leaders() -> None:
    one, two = TopicPartition("a", 0), TopicPartition("a", 1)
    place = Place(1, 5, False, None)
    fetcher = fetcher_of({one: place, two: place}, set())
    plan = FetchPlan(fetcher, {one, two}, idle)
    row, other = ("a", (0, 5, 1_000)), ("a", (1, 5, 1_000))
    assert told(plan.actions(Assigned({one: place})))["fetches"] == {1: {row}}
    assigned = Assigned({one: place, two: place})
    assert told(plan.actions(assigned))["fetches"] == {1: {row, other}}
    fetcher._client.cluster._partitions = {one: place, two: place._replace(leader=2)}
    assert told(plan.actions(assigned))["fetches"] == {1: {row}, 2: {other}}


def test_a_busy_consumer_lets_what_comes_gather() -> None:
    one, two = TopicPartition("a", 0), TopicPartition("b", 0)
    places = {one: Place(1, 5, False, None), two: Place(2, 7, False, None)}
    fetcher, assigned = fetcher_of(places, set()), Assigned(places)
    now_s, busy = [100.0], [True]
    plan = FetchPlan(fetcher, set(places), lambda _now_s: busy[0], lambda: now_s[0])
    assert set(told(plan.actions(assigned))["fetches"]) == {1, 2}
    # One has answered after a third of that time, and its answer was taken.
    fetcher._in_flight, now_s[0] = {2}, 100 + GATHER_S / 3
    again = told(plan.actions(assigned))
    assert (again["fetches"], again["timeout_s"]) == ({}, pytest.approx(GATHER_S * 2 / 3))
    now_s[0] = 100 + GATHER_S * 1.01
    assert set(told(plan.actions(assigned))["fetches"]) == {1}
    busy[0] = False
    assert set(told(plan.actions(assigned))["fetches"]) == {1}
