"""The guards of a demo: they read what arrives on their telephones and screens, and answer as any operator does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, ConsumerRecord

from deploy.stack.catcher import Catcher
from schemas.alert_requests import AcknowledgeAlert, AlertRequest, CloseAlert
from schemas.alerts import DURESS
from schemas.operators import OperatorRequest
from schemas.partitioning import partition_of
from streams.commands.lockdown_desk import LockdownDesk
from streams.commands.lockdown_stories import LockdownStories
from streams.commands.operating import EVERYBODYS, MONITORINGS, Desk, moment, new_request_id, signed_headers
from streams.commands.reading import read_topics
from streams.commands.stories import Stories, tells_of
from streams.connection import kafka_options, started
from streams.loading.campus import Campus
from streams.settings import Settings

ANSWERS_AFTER_S = 1.5
"""How long somebody looks at a message before acknowledging."""
LOOK_EVERY_S = 0.4
TOPICS = (
    "alerts",
    "duress.alerts",
    "notifications",
    "duress.notifications",
    "access.decisions",
    "duress.answers",
    "incidents",
)
_OPEN = frozenset({"unacknowledged", "returned_to_normal_unacknowledged"})


class Guard(NamedTuple):
    """Somebody who is told as a recipient, looks at some channels only, and acts as an operator."""

    recipient_id: str
    operator_id: str
    channels: frozenset[str]


GUARDS = (
    Guard("control-room", "op-7", frozenset({"email"})),
    Guard("head-of-security", "op-1", frozenset({"phone"})),
    Guard("monitoring-centre", "op-20", frozenset({"sms", "phone"})),
)
"""Nobody in the control room looks at the telephone, so what is told by it alone is raised to the head of security."""

FORCES = "op-1"
"""Who may close an alert although its cause, a lock, stays."""

RESULTS: Mapping[str, str] = {
    "door_forced_open": "a guard was there: nobody inside, the lock is repaired",
    "door_held_open": "a delivery; the door is shut again",
    "controller_offline": "a switch had no power; it is back",
    "credential_lockout": "the card was found and is kept; the lock stays",
    "cardholder_lockout": "the holder was called: the card was lost; the lock stays",
    DURESS: "the police came; nobody is hurt",
    "lockdown": "the building was searched; people may go about again",
    "door_mode_unconfirmed": "a guard stood at the door until it was locked",
}


class Guards:
    """All guards, and what they see. `told` is called after each look; reports are written to `folder`."""

    def __init__(
        self, settings: Settings, stories: Stories, campus: Campus, folder: Path, told: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._stories = stories
        self.lockdowns = LockdownStories(stories, campus)
        self._desk = LockdownDesk(settings, self.lockdowns, campus, folder)
        self._told = told
        self._catcher = Catcher(settings.notify_sms.replace("json:", "http:"))
        self._alerts: dict[str, dict[str, Any]] = {}
        self._asked: dict[tuple[str, str], str] = {}
        self._seen = 0
        self._unread: list[Mapping[str, Any]] = []
        self.refused: list[str] = []

    @asynccontextmanager
    async def on_duty(self) -> AsyncIterator[None]:
        """Guards watch and act inside."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(done, Exception):
                    raise done
            self._stories.conclude()

    async def until_over(self, within_s: float) -> None:
        """Wait until every story that has begun has come to its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._stories.waiting:  # noqa: ASYNC110 - the guards end it
                    await asyncio.sleep(LOOK_EVERY_S / 2)

    async def _listen(self) -> None:
        async for record in read_topics(kafka_options(self._settings), TOPICS, start_ms=0, follow=True):
            self._hear(record)

    def _hear(self, record: ConsumerRecord) -> None:
        fields = json.loads(record.value or b"{}")
        monitoring = record.topic.startswith("duress.")
        if record.topic.endswith("alerts"):
            self._alerts[fields["alert_id"]] = fields
            self._stories.on_alert(fields, monitoring=monitoring)
            self.lockdowns.on_alert(fields)
        elif record.topic == "incidents":
            self.lockdowns.on_incident(fields)
        elif record.topic.endswith("notifications"):
            self._stories.on_notification(fields, monitoring=monitoring)
        elif fields.get("type") == "operator_request_refused":
            self.refused.append(f"{fields['operator_id']}: {fields['detail']}")
        elif fields.get("type") in {"access_granted", "access_denied"}:
            self.lockdowns.on_decision(fields)

    async def _watch(self) -> None:
        async with started(AIOKafkaProducer(**kafka_options(self._settings), acks="all")) as producer:
            phoned: dict[str, float] = {}
            loop = asyncio.get_running_loop()
            while True:
                await self._look(phoned, loop.time())
                for alert_id, at in list(phoned.items()):
                    if loop.time() - at >= ANSWERS_AFTER_S:
                        await self._act(alert_id, producer)
                await self._desk.act(loop.time(), partial(self._publish, producer, EVERYBODYS), new_request_id)
                self._told()
                await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, phoned: dict[str, float], now_s: float) -> None:
        """Who is told of which alert, the first time."""
        caught = await self._catcher.caught()
        for one in caught[self._seen :]:
            self._stories.on_caught(one)
        # A message may be there before the alert has been read that it tells of.
        self._unread = [one for one in [*self._unread, *caught[self._seen :]] if not self._read(one, phoned, now_s)]
        self._seen = len(caught)

    def _read(self, one: Mapping[str, Any], phoned: dict[str, float], now_s: float) -> bool:
        """Let its guard read a message; says whether that is done, or nobody's to do."""
        whom = self._stories.people.of(one)
        guard = next((g for g in GUARDS if whom is not None and g.recipient_id == whom.recipient_id), None)
        if guard is None or one["channel"] not in guard.channels or not one["taken"]:
            return True
        meant = [alert for alert in self._alerts.values() if tells_of(one, alert)]
        for alert in meant:
            if alert["state"] != "closed":
                phoned.setdefault(alert["alert_id"], now_s)
                self._asked.setdefault((alert["alert_id"], "who"), guard.operator_id)
        return bool(meant)

    async def _act(self, alert_id: str, producer: AIOKafkaProducer) -> None:
        """Acknowledge, and close when its cause is gone, or, of a lock, although it is not."""
        alert, who = self._alerts[alert_id], self._asked[alert_id, "who"]
        lock = alert["kind"].endswith("_lockout")
        if alert["state"] in _OPEN:
            await self._ask(AcknowledgeAlert, alert, who, producer, reason="I am on it")
        elif alert["state"] != "closed" and alert["acknowledged_at"] and (lock or not alert["active"]):
            result = RESULTS.get(alert["kind"], "looked at; nothing more to do")
            force = bool(alert["active"])
            await self._ask(CloseAlert, alert, FORCES if force else who, producer, result=result, force=force)

    async def _ask(
        self, model: type[AlertRequest], alert: Mapping[str, Any], who: str, producer: AIOKafkaProducer, **given: Any
    ) -> None:
        """Publish a request, once."""
        if (alert["alert_id"], model.__name__) in self._asked:
            return
        self._asked[alert["alert_id"], model.__name__] = who
        desk: Desk = MONITORINGS if alert["kind"] == DURESS else EVERYBODYS
        request = model(
            request_id=new_request_id(who),
            site_id=alert["site_id"],
            operator_id=who,
            occurred_at=moment(),
            alert_id=alert["alert_id"],
            **given,
        )
        await self._publish(producer, desk, request)

    async def _publish(self, producer: AIOKafkaProducer, desk: Desk, request: OperatorRequest) -> None:
        key, value = request.site_id.encode(), request.to_json()
        headers = signed_headers(request, desk.requests, key, value, self._settings.master_secret())
        partition = partition_of(key, self._settings.partitions)
        await producer.send_and_wait(desk.requests, value, key=key, partition=partition, headers=headers)
