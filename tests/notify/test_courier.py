"""Events that programs and people subscribe to, from their topics to real servers."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from schemas.envelope import event_headers
from schemas.partitioning import partition_of
from streams.agents.courier import spans
from streams.agents.courier_payloads import signed
from streams.connection import started
from tests.core.delivering import EXAMPLES, subscription
from tests.core.telling import person
from tests.notify.town import PARTITIONS, Town, town

NAMES = ("denials", "all", "mails")
KILLED = ("pushed", "batched")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    busy: dict[str, Any] = {"wants": {"types": ["access_taken"], "site_ids": ["works", "depot"]}}
    async with town(tmp_path_factory.mktemp("town")) as found:
        await found.put_on_file(
            person(recipient_id="broken", webhook=f"{found.catcher.url}/broken/s3cret"),
            subscription("denials", recipient_id="program", wants={"types": ["access_denied"]}),
            subscription("all", "batch", recipient_id="program", every_s=3, wants={"site_ids": ["hq"]}),
            subscription("mails", "batch", recipient_id="room", channel="email", every_s=1, wants={"site_ids": ["hq"]}),
            subscription("dead", recipient_id="broken", wants={"site_ids": ["hq"]}),
            subscription("pushed", recipient_id="program", **busy),
            subscription("batched", "batch", recipient_id="program", every_s=1, most_events=10, **busy),
        )
        yield found


async def publish(place: Town, events: Sequence[tuple[str, str, str]]) -> None:
    """Publish events: id, site and type of each."""
    async with started(AIOKafkaProducer(**place.options, acks="all", linger_ms=2)) as producer:
        for id_, site, type_ in events:
            (path,) = (EXAMPLES / "access.decisions").glob(f"v1/{type_}.json")
            value = json.dumps({**json.loads(path.read_text(encoding="utf-8")), "site_id": site}).encode()
            headers = list(event_headers(id_, "/doorstream/site", type_, "2026-03-02T01:00:00Z"))
            partition = partition_of(site, PARTITIONS)
            await producer.send("access.decisions", value, key=site.encode(), partition=partition, headers=headers)
        await producer.flush()


async def until_delivered(place: Town, count: int, *ids: str) -> list[Any]:
    async with asyncio.timeout(120):
        while True:
            found = await place.messages("deliveries")
            done = [one for one in found if one.type == "events_delivered" and one.subscription_id in ids]
            if sum(len(one.events) for one in done) >= count:
                return done
            await asyncio.sleep(0.3)


@pytest.mark.kafka
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.branch("M2.07", "M2.08", "M2.10")
async def test_events_are_pushed_batched_and_mailed_while_a_dead_endpoint_waits(place: Town) -> None:
    await place.catcher.behave("broken", status=503)
    worker = await place.start()
    types = ("access_granted", "access_denied", "access_taken")
    await publish(place, [(f"event-{number}", "hq", type_) for number, type_ in enumerate(types)])
    done = await until_delivered(place, 7, *NAMES)
    caught = await place.catcher.caught()
    hooks = [line for line in caught if line["channel"] == "hook"]
    pushed = [line for line in hooks if isinstance(line["body"], dict)]
    assert [line["body"]["id"] for line in pushed] == ["event-1"]
    assert pushed[0]["body"]["data"]["type"] == pushed[0]["body"]["type"] == "access_denied"
    assert pushed[0]["body"]["eventclass"] == "abnormal"
    assert pushed[0]["headers"]["Idempotency-Key"] == "event-1"
    batches = [line for line in hooks if isinstance(line["body"], list)]
    assert [event["id"] for line in batches for event in line["body"]] == ["event-0", "event-1", "event-2"]
    assert batches[0]["headers"]["Content-Type"].startswith("application/cloudevents-batch+json")
    mails = [line for line in caught if line["channel"] == "email"]
    assert sum(line["text"].count("access_") for line in mails) == 3
    # Each is recorded once, and what failed is visible without the address' token.
    assert sorted(len(one.events) for one in done if one.subscription_id == "denials") == [1]
    told = await place.messages("deliveries")
    failures = [one for one in told if one.type == "delivery_failed"]
    assert {(one.subscription_id, one.error) for one in failures} == {("dead", "answered 503")}
    await place.catcher.behave("broken")
    await until_delivered(place, 3, "dead")
    assert "s3cret" not in worker.tail() + str([one.to_json() for one in told])
    await asyncio.to_thread(worker.stop)


async def arrived(place: Town, prefix: str) -> list[tuple[str, str]]:
    """Which events have come, in order, each with how."""
    bodies = [line["body"] for line in await place.caught(prefix, "hook")]
    batches = [("batched", body) if isinstance(body, list) else ("pushed", [body]) for body in bodies]
    return [(how, event["id"]) for how, body in batches for event in body]


async def recorded(place: Town) -> Counter[tuple[Any, ...]]:
    """How often each event is said to be delivered, by subscription and place."""
    return Counter(
        (one.subscription_id, one.journal.partition, *event)
        for one in await place.messages("deliveries")
        if one.type == "events_delivered" and one.subscription_id in KILLED
        for event in one.events
    )


@pytest.mark.kafka
@pytest.mark.chaos
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(900)
async def test_workers_that_are_killed_record_every_event_once_and_send_it_once_more_at_most(
    place: Town, *, thorough: bool
) -> None:
    prefix, chance = place.prefix(), random.Random(5)
    rounds, events = (8, 200) if thorough else (1, 60)
    deaths: dict[str, int] = {}
    worker = await place.start()
    for number in range(rounds):
        lot = [(f"{prefix}{number}-{at:03}", ("works", "depot")[at % 2], "access_taken") for at in range(events)]
        await publish(place, lot)
        begun = number * len(KILLED) * events
        async with asyncio.timeout(60):
            while len(await arrived(place, prefix)) < begun + chance.randrange(1, events):  # noqa: ASYNC110
                await asyncio.sleep(chance.random() / 20)
        for _ in range(2 - number % 2):  # the one that takes over dies, too: on its way up, or when it has begun
            worker.kill()
            worker = place.launch()
            for id_, _, _ in lot:
                deaths[id_] = deaths.get(id_, 0) + 1
            await asyncio.sleep((1 - number % 2) * chance.random() * 8)
        await until_delivered(place, begun + len(KILLED) * events, *KILLED)
    said = await recorded(place)
    assert len(said) == rounds * events * len(KILLED)
    assert set(said.values()) == {1}
    came = await arrived(place, prefix)
    often = Counter(came)
    assert set(often) == {(how, id_) for how in KILLED for id_ in deaths}
    assert all(count <= 1 + deaths[id_] for (_, id_), count in often.items())
    for how in KILLED:
        for parity in (0, 1):  # of one site, each comes first in its turn
            first = [id_ for way, id_ in dict.fromkeys(came) if way == how and int(id_[-3:]) % 2 == parity]
            assert first == sorted(first)
    await asyncio.to_thread(worker.wait_ready)
    await asyncio.to_thread(worker.stop)


def test_positions_that_lie_near_each_other_are_read_in_one_go() -> None:
    assert spans([5, 7, 1_000, 6, 1_001]) == [(5, 8), (1_000, 1_002)]


def test_a_body_is_signed_as_standard_webhooks_has_it() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
