"""A notify worker in front of real servers: what arrives, and what is told about it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.notify.town import DONE, GUARDS, SITES, Town, town

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.mark.branch("M2.13", "M2.14", "M3.04", "M3.05")
async def test_an_alert_arrives_by_every_channel_and_says_so(place: Town) -> None:
    prefix = place.prefix()
    worker = await place.start()
    await place.publish(
        [
            place.alert(f"{prefix}1", "room", channels=["email"], severity="medium"),
            place.alert(f"{prefix}2", "wang", "li", channels=["phone", "sms"], site_id="works"),
            place.alert(f"{prefix}3", "program", "old-program", "alertmanager", channels=["webhook"]),
        ]
    )
    outcomes = await place.until_told(prefix, 7)
    assert Counter((one.type, one.recipient_id, one.channel) for one in outcomes) == Counter(
        ("notification_sent", who, channel)
        for who, channel in [
            ("room", "email"),
            ("wang", "sms"),
            ("li", "phone"),
            ("li", "sms"),
            ("program", "webhook"),
            ("old-program", "alertmanager-webhook"),
            ("alertmanager", "alertmanager"),
        ]
    )
    caught = {(line["channel"], line.get("path")): line for line in await place.caught(prefix)}
    mail = caught["email", None]
    assert (mail["to"], mail["subject"]) == (["room@example.org"], "[medium] Door held open: hq-d01 is held open")
    assert f"doorstream alerts ack {prefix}1" in mail["text"]
    own = caught["hook", "/hook/s3cret-token"]["body"]
    assert own["alert"]["alert_id"] == f"{prefix}3"
    assert "s3cret" not in worker.tail() + str([one.to_json() for one in outcomes])
    await asyncio.to_thread(worker.stop)


async def test_duress_reaches_monitoring_and_nobody_else_learns_of_it(place: Town) -> None:
    prefix = place.prefix()
    worker = await place.start()
    alert = place.alert(f"{prefix}1", "room", "wang", kind="duress", summary="Silent alarm at hq-d01-in")
    await place.publish([alert], "duress.alerts")
    (sent,) = await place.until_told(prefix, 1, topic="duress.notifications")
    assert (sent.recipient_id, sent.channel) == ("centre", "sms")
    assert await place.outcomes(prefix) == []
    (arrived,) = await place.caught(prefix)
    assert arrived["body"]["to"] == "+86 10 5550 0130"
    assert "uress" not in worker.tail()
    await asyncio.to_thread(worker.stop)


@pytest.mark.chaos
async def test_channels_that_are_down_slow_or_refuse_lose_nothing_and_the_second_tells_within_a_minute(
    place: Town,
) -> None:
    prefix = place.prefix()
    worker = await place.start()
    await place.catcher.behave("sms", status=429, retry_after=2)
    await place.catcher.behave("phone", hang=True)
    await place.publish(
        [
            place.alert(f"{prefix}refusing", "wang", channels=["sms"]),
            place.alert(f"{prefix}slow", "li", channels=["phone"]),
        ]
    )
    await asyncio.sleep(14)
    await place.catcher.behave("sms")
    outcomes = await place.until_told(prefix, 2)
    await place.catcher.behave("phone")
    found = {one.alert_id.removeprefix(prefix): one for one in outcomes if one.type == "notification_sent"}
    assert found["refusing"].channel in {"sms", "email"}
    assert found["refusing"].attempts > 1 or found["refusing"].instead_of == "sms"
    assert (found["slow"].channel, found["slow"].instead_of) == ("sms", "phone")
    assert all((one.updated_at - one.demanded_at).total_seconds() < 60 for one in found.values())
    (failed,) = [one for one in outcomes if one.type == "notification_failed" and one.alert_id.endswith("slow")]
    assert (failed.channel, failed.attempts) == ("phone", 2)
    assert failed.error
    await asyncio.to_thread(worker.stop)


@pytest.mark.timeout(600)
@pytest.mark.chaos
async def test_workers_that_are_killed_tell_every_step_once_and_nobody_more_than_twice(
    place: Town, *, thorough: bool
) -> None:
    prefix, kills = place.prefix(), random.Random(4)
    steps, alerts = ((1, 2, 3), 200) if thorough else ((1, 2), 60)
    asked = {f"{prefix}{number:03}": GUARDS[number % len(GUARDS)] for number in range(alerts)}
    worker = await place.start()
    for step in steps:
        await place.publish(
            place.alert(id_, who, step=step, channels=["sms"], site_id=SITES[number % len(SITES)])
            for number, (id_, who) in enumerate(asked.items())
        )
        begun = len(asked) * (step - 1)
        await place.until_caught(prefix, begun + kills.randrange(alerts // 10, alerts * 4 // 5))
        worker.kill()
        worker = place.launch()
        if step == 2:
            # The one that takes over dies on its way up.
            await asyncio.sleep(kills.random() * 6)
            worker.kill()
            worker = place.launch()
        await place.until_caught(prefix, begun + alerts * 19 // 20)
    outcomes = await place.until_done(prefix, len(asked) * len(steps))
    done = Counter((one.alert_id, one.step, one.recipient_id) for one in outcomes if one.type in DONE)
    assert done == Counter((id_, step, who) for id_, who in asked.items() for step in steps)
    told = [one for one in outcomes if one.type == "notification_sent"]
    assert len(told) > 0.9 * len(done), "a kill must not make more than a few steps too old to be told"
    by_channel = Counter((line["body"]["message"], line["body"]["to"]) for line in await place.caught(prefix, "sms"))
    assert max(by_channel.values()) <= 2 * len(steps)
    await asyncio.to_thread(worker.wait_ready)
    await asyncio.to_thread(worker.stop)
