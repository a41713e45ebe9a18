"""The notify processor on the machine, with recipients on file, and a sender that answers as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from schemas.base import Message
from schemas.recipients import OnCall, Recipient
from schemas.reference import BY_NAME, id_of
from schemas.registry import decode
from schemas.sending import NotificationAttempted, NotificationBegun, NotificationDue, SenderReady
from streams.core.notifications import NotifyProcessor
from streams.engine.harness import Harness
from tests.core.world import hq

START_S = 1_772_442_000
"""2026-03-02 17:00 in Shanghai."""
RESULTS = "doorstream.notify.results"
SENDS = "doorstream.notify.sends"
EXAMPLE = Path(__file__).parents[1] / "examples" / "alerts" / "v2" / "alert_raised.json"

PEOPLE: tuple[dict[str, Any], ...] = (
    {"recipient_id": "room", "email": "room@example.org", "sms": "+86 10 5550 0101"},
    {"recipient_id": "wang", "sms": "+86 10 5550 0111", "email": "wang@example.org", "groups": ["guards"]},
    {"recipient_id": "li", "phone": "+86 10 5550 0112", "sms": "+86 10 5550 0112", "groups": ["guards"]},
    {"recipient_id": "centre", "sms": "+86 10 5550 0130", "monitoring": True},
)
ROTA = {
    "on_call_id": "on-call",
    "time_zone": "Asia/Shanghai",
    "first_day": "2026-03-02",
    "handover_at": ["08:00", "20:00"],
    "turn": 1,
    "members": ["wang", "li"],
}
_CHANNELS = ("email", "sms", "phone", "webhook", "alertmanager-webhook", "alertmanager")

Answer = Callable[[NotificationDue], Mapping[str, Any] | None]


def person(**fields: Any) -> Recipient:
    """A recipient whose addresses are given by channel."""
    channels = {"-".join(name.split("_")): to for name, to in fields.items() if name.replace("_", "-") in _CHANNELS}
    others = {name: value for name, value in fields.items() if name.replace("_", "-") not in _CHANNELS}
    return Recipient.model_validate(
        {**others, "addresses": [{"channel": channel, "to": to} for channel, to in channels.items()]}
    )


def delivered(_due: NotificationDue) -> Mapping[str, Any] | None:
    """Every message arrives."""
    return {"verdict": "delivered"}


def put_on_file(harness: Harness, *records: Message) -> None:
    """Publish reference records of the kinds that the harness' processor reads."""
    known = {table.entity for table in harness.processor.references}
    for record in records:
        entity = next(one for one in BY_NAME.values() if one.model is type(record))
        if entity.name in known:
            harness.publish(entity.topic, id_of(entity, record), record.to_json())


class Tellings:
    """Site `hq`, the people and the rota above; `answer` says how an attempt ends (None: no answer)."""

    def __init__(
        self,
        people: Sequence[Mapping[str, Any]] = PEOPLE,
        answer: Answer = delivered,
        *,
        sender: str | None = "s1",
    ) -> None:
        self.harness = Harness(NotifyProcessor(), start=False)
        self.harness.clock.move(START_S - self.harness.clock.now_ms() / 1000)
        self.answer = answer
        self.begins = True
        """Whether the sender comes to any attempt before it goes."""
        self.attempts: list[NotificationDue] = []
        self._read = 0
        self._transitions: dict[str, int] = {}
        self.sender_id = sender
        put_on_file(self.harness, *hq(), *(person(**one) for one in people), OnCall.model_validate(ROTA))
        self.harness.start()
        if sender is not None:
            self.ready(sender)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()

    def now(self) -> datetime:
        """The time."""
        return datetime.fromtimestamp(self.harness.clock.now_ms() / 1000, UTC)

    def ready(self, sender_id: str) -> None:
        """A worker's sender begins."""
        self.sender_id = sender_id
        self.harness.publish(RESULTS, sender_id, SenderReady(sender_id=sender_id).to_json())
        self.settle()

    def alert(
        self,
        alert_id: str = "a1",
        *recipients: str,
        step: int | None = 1,
        channels: Sequence[str] = ("sms",),
        severity: str = "medium",
        state: str = "unacknowledged",
        topic: str = "alerts",
        age_s: float = 0,
        settle: bool = True,
        **fields: Any,
    ) -> None:
        """A message of an alert; with a step, its recipients are to be told."""
        example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        transition = self._transitions[alert_id] = self._transitions.get(alert_id, 0) + 1
        at = (self.now() - timedelta(seconds=age_s)).isoformat()
        notify = {"step": step, "severity": severity, "channels": channels, "recipients": recipients or ("room",)}
        kinds = {"acknowledged": "alert_acknowledged", "closed": "alert_closed", "shelved": "alert_shelved"}
        value = {
            **example,
            "type": kinds.get(state, "alert_raised"),
            "alert_id": alert_id,
            "severity": severity,
            "state": state,
            "updated_at": at,
            "raised_at": at,
            "transition": transition,
            "notify": None if step is None else notify,
            "door_id": "front",
            "device_id": "c1",
            **fields,
        }
        self.harness.publish(topic, alert_id, json.dumps(value).encode())
        if settle:
            self.settle()

    def settle(self) -> None:
        """Let all be decided, and every attempt for the sender answered."""
        while True:
            self.harness.run_until_idle()
            sends = self.harness.outputs(SENDS)
            if len(sends) == self._read:
                return
            for record in sends[self._read :]:
                self._attempt(decode(SENDS, record.value))
            self._read = len(sends)

    def _attempt(self, due: NotificationDue) -> None:
        self.attempts.append(due)
        if due.sender_id != self.sender_id or not self.begins:
            return
        self.begin(due)
        answer = self.answer(due)
        if answer is None:
            return
        told = NotificationAttempted.model_validate(
            {
                "sender_id": due.sender_id,
                "notification_id": due.notification_id,
                "attempt": due.attempt,
                "target": "***",
                **answer,
            }
        )
        self.harness.publish(RESULTS, due.sender_id, told.to_json())

    def begin(self, due: NotificationDue) -> None:
        """The sender of an attempt says that it begins."""
        begun = NotificationBegun(sender_id=due.sender_id, notification_id=due.notification_id, attempt=due.attempt)
        self.harness.publish(RESULTS, due.sender_id, begun.to_json())

    def advance(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass."""
        left = seconds
        while left > 0:
            self.harness.clock.move(min(left, step_s))
            left -= step_s
            self.settle()

    def outcomes(self, topic: str = "notifications") -> list[Any]:
        """What became of notifications so far."""
        return [decode(topic, record.value) for record in self.harness.outputs(topic)]

    def told(self, topic: str = "notifications") -> list[tuple[str, str, str]]:
        """The same, short: type without its first word, recipient, channel."""
        return [(one.type.removeprefix("notification_"), one.recipient_id, one.channel) for one in self.outcomes(topic)]
