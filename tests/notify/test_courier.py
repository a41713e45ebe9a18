"""Events that programs and people subscribe to, from their topics to real servers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
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


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as found:
        await found.put_on_file(
            person(recipient_id="broken", webhook=f"{found.catcher.url}/broken/s3cret"),
            subscription("denials", recipient_id="program", wants={"types": ["access_denied"]}),
            subscription("all", "batch", recipient_id="program", every_s=3, wants={"site_ids": ["hq"]}),
            subscription("mails", "batch", recipient_id="room", channel="email", every_s=1, wants={"site_ids": ["hq"]}),
            subscription("dead", recipient_id="broken", wants={"site_ids": ["hq"]}),
        )
        yield found


async def publish(place: Town, types: Sequence[str]) -> None:
    async with started(AIOKafkaProducer(**place.options, acks="all")) as producer:
        for number, type_ in enumerate(types):
            (path,) = (EXAMPLES / "access.decisions").glob(f"v1/{type_}.json")
            value = json.dumps({**json.loads(path.read_text(encoding="utf-8")), "site_id": "hq"}).encode()
            headers = event_headers(f"event-{number}", "/doorstream/site", type_, "2026-03-02T01:00:00Z")
            partition = partition_of("hq", PARTITIONS)
            await producer.send("access.decisions", value, key=b"hq", partition=partition, headers=list(headers))
        await producer.flush()


async def until_delivered(place: Town, count: int, *ids: str) -> list[Any]:
    async with asyncio.timeout(60):
        while True:
            found = await place.messages("deliveries")
            done = [one for one in found if one.type == "events_delivered" and one.subscription_id in ids]
            if sum(len(one.events) for one in done) >= count:
                return done
            await asyncio.sleep(0.3)


@pytest.mark.kafka
@pytest.mark.branch("M2.07", "M2.08", "M2.10")
async def test_events_are_pushed_batched_and_mailed_while_a_dead_endpoint_waits(place: Town) -> None:
    await place.catcher.behave("broken", status=503)
    worker = await place.start()
    await publish(place, ["access_granted", "access_denied", "access_taken"])
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


def test_positions_that_lie_near_each_other_are_read_in_one_go() -> None:
    assert spans([5, 7, 1_000, 6, 1_001]) == [(5, 8), (1_000, 1_002)]


def test_a_body_is_signed_as_standard_webhooks_has_it() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
