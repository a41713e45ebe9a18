"""Fetches in sessions: what is named, and what happens where broker and consumer no longer agree."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from streams.engine.kafka_fetching import FetchSessions

NODE = 1
INVALID_EPOCH, NO_SUCH_SESSION = 71, 70


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


def fetch(**offsets: int) -> FetchRequest:
    """Of partition 0 of these topics."""
    return FetchRequest(100, 1, 1_000_000, 0, [(topic, [(0, offset, 1_000)]) for topic, offset in offsets.items()])


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
