"""Alerts from the doors' alarms to the messages about them, with workers of both roles dying on the way."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from schemas.base import Message
from schemas.door_alarms import DoorAlarm
from schemas.ids import derive
from schemas.partitioning import partition_of
from schemas.places import Site
from schemas.rules import Policy
from streams.agents.notify_sending import AT_A_TIME
from streams.connection import started
from tests.core.telling import person
from tests.notify.town import FAILED, PARTITIONS, Town, town

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]
log = logging.getLogger(__name__)

SITES = tuple(f"site-{number}" for number in range(10))
WITHIN_S = 10
"""After it an alert that nobody has acknowledged is raised."""


class Course(NamedTuple):
    """How many doors of each site are forced, how often a critical alert is told once more, and who dies when.

    `kills`: a role, and the share of all that is told by then.
    """

    doors: int
    repeats: int
    kills: tuple[tuple[float, str], ...]

    @property
    def steps(self) -> list[str]:
        """The levels of an alert, one after the other."""
        return ["medium", "high", "critical", *self.repeats * ["critical"]]


SHORT = Course(6, 0, ((0.1, "notify"), (0.3, "decide")))
LONG = Course(20, 1, ((0.05, "notify"), (0.2, "decide"), (0.4, "notify"), (0.7, "notify")))


@pytest.fixture
def course(*, thorough: bool) -> Course:
    """Two hundred alerts and four deaths where there is time for it."""
    return LONG if thorough else SHORT


def on_file(repeats: int) -> Iterator[Message]:
    """Ten sites with a guard each, whose alerts are raised every ten seconds."""
    common = {"acknowledge_within_s": WITHIN_S, "channels": ["sms"], "recipients": ["guards"]}
    levels = [
        {"severity": "medium", **common},
        {"severity": "high", **common},
        {"severity": "critical", **common, "repeats": repeats},
    ]
    kinds = [{"kind": "door_forced_open", "severity": "medium"}]
    alerts = {"levels": levels, "kinds": kinds}
    yield Policy.model_validate(
        {"policy_id": "usual", "methods": [{"kind": "single", "factor": "card"}], "alerts": alerts}
    )
    for number, site in enumerate(SITES):
        yield Site(site_id=site, name=site, time_zone="Asia/Shanghai", policy_id="usual")
        sms = f"+86 10 5551 00{number:02}"
        yield person(recipient_id=f"of-{site}", sms=sms, groups=["guards"], site_ids=[site], burst=1000)


@pytest.fixture
async def place(tmp_path: Path, course: Course) -> AsyncIterator[Town]:
    async with town(tmp_path) as found:
        await found.put_on_file(*on_file(course.repeats))
        yield found


async def force_doors(place: Town, run: str, doors: int) -> None:
    """So many doors of each site are forced open, as the site tells of it."""
    now = datetime.now(UTC)
    async with started(AIOKafkaProducer(**place.options, acks="all", linger_ms=2)) as producer:
        for number in range(len(SITES) * doors):
            site = SITES[number % len(SITES)]
            alarm = DoorAlarm.model_validate(
                {
                    "alarm_id": derive("alarm", run, number),
                    "event": "door_forced_open",
                    "active": ("door_forced_open",),
                    "site_id": site,
                    "device_id": f"{run}-c{number}",
                    "door_id": f"{run}-d{number}",
                    "cause_id": derive("cause", run, number),
                    "occurred_at": now,
                    "decided_at": now,
                    "journal": {"partition": 0, "number": 1},
                }
            )
            partition = partition_of(site, PARTITIONS)
            await producer.send("door.alarms", alarm.to_json(), key=alarm.door_id.encode(), partition=partition)
        await producer.flush()


async def demands(place: Town, run: str) -> list[Any]:
    """The alerts' messages that ask for somebody to be told."""
    return [one for one in await place.messages("alerts") if one.notify is not None and run in (one.door_id or "")]


@pytest.mark.timeout(900)
@pytest.mark.branch("M2.13", "M2.14", "M3.08", "M3.09")
async def test_alerts_escalate_while_workers_die_and_each_step_is_told_once(place: Town, course: Course) -> None:
    run, chance = place.prefix() + "door", random.Random(7)
    workers = {role: await place.start(role) for role in ("decide", "notify")}
    await force_doors(place, run, course.doors)
    raised = len(SITES) * course.doors
    wanted = raised * len(course.steps)
    for share, role in course.kills:
        async with asyncio.timeout(240):
            # In the middle of telling, which is soon over.
            while await place.arrived("sms") < share * wanted:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(chance.random() / 10)
        workers[role].kill()
        workers[role] = place.launch(role)
    asked: list[Any] = []
    async with asyncio.timeout(240):
        while len(asked) < wanted:
            await asyncio.sleep(1)
            asked = await demands(place, run)
    steps = {(one.alert_id, one.notify.step): one for one in asked}
    assert Counter((one.notify.step, one.severity) for one in asked) == dict.fromkeys(
        enumerate(course.steps, 1), raised
    )
    for (alert_id, step), one in steps.items():
        if step > 1:
            assert (one.updated_at - steps[alert_id, step - 1].updated_at).total_seconds() >= WITHIN_S
    outcomes = await place.until_all_done(steps.keys(), within_s=240)
    assert Counter((one.alert_id, one.step) for one in outcomes) == Counter(steps.keys())
    # Two senders had begun it when they were killed: it may have arrived twice, and must not a third time.
    failed = [one for one in outcomes if one.type == FAILED]
    assert all((one.attempts, one.error) == (2, "no answer of the sender") for one in failed)
    deaths = sum(role == "notify" for _, role in course.kills)
    assert len(failed) <= (deaths - 1) * AT_A_TIME * len(SITES)
    sent = [one for one in outcomes if one.type == "notification_sent"]
    delays = sorted((one.updated_at - steps[one.alert_id, one.step].updated_at).total_seconds() for one in sent)
    log.info("told after: median %.1f s, longest %.1f s", delays[len(delays) // 2], delays[-1])
    assert len(sent) > wanted / 2
    arrived = Counter(line["body"]["message"] for line in await place.caught(run, "sms"))
    assert max(arrived.values()) <= 2 * len(course.steps)
    for worker in workers.values():
        await asyncio.to_thread(worker.wait_ready)
        await asyncio.to_thread(worker.stop)
