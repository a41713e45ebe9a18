"""What one worker spends on alerts: CPU for each transition of an alert, and for each step that somebody is told.

In memory, without a broker, like `bench.heartbeats`: every door of a large site is held open, nobody acknowledges, and
all escalate up to critical and are told by a sender that answers at once.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bench.world import MASTER
from schemas.door_alarms import DoorAlarm
from schemas.ids import derive
from schemas.places import Site
from schemas.recipients import Recipient
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode
from schemas.sending import NotificationAttempted, SenderReady
from streams.core.alerts import AlertsProcessor
from streams.core.notifications import RESULTS, NotifyProcessor
from streams.core.notify_work import SENDS
from streams.core.processor import Processor
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions

SITE = "bench-alerts"
WAIT_S = 601.0
"""Longer than any level's time."""
ROUNDS = 3
"""Raised to high, to critical, and told again."""
ALERTED = {
    who: [
        {"channel": "email", "to": "a@example.org"},
        {"channel": "sms", "to": "+86 10 5550 0101"},
        {"channel": "phone", "to": "+86 10 5550 0101"},
    ]
    for who in ("control-room", "on-call", "head-of-security")
}
"""Who is told of alerts where the policy does not say, and their addresses."""
_ENTITIES = {entity.model: entity for entity in ENTITIES}


class Alerting(NamedTuple):
    """CPU microseconds for a transition and for a step, journal and checkpoints included."""

    transitions: int
    transition_us: float
    steps: int
    messages: int
    step_us: float


def alerting(doors: int) -> Alerting:
    """Let the alerts of so many doors escalate, and tell of them."""
    with _started(AlertsProcessor(MASTER)) as alerts:
        for number in range(doors):
            at = datetime.fromtimestamp(alerts.clock.now_ms() / 1000, UTC)
            alerts.publish("door.alarms", f"d{number}", door_alarm(SITE, f"d{number}", "door_held_open", number, at=at))
        spent_s = _spent(alerts.run_until_idle)
        for _ in range(ROUNDS):
            spent_s += _spent(lambda: alerts.advance(WAIT_S, WAIT_S))
        told = alerts.outputs("alerts")
    steps = [one for one in told if decode("alerts", one.value).notify is not None]
    with _started(NotifyProcessor()) as notify:
        notify.publish(RESULTS, "s1", SenderReady(sender_id="s1").to_json())
        notify.run_until_idle()
        step_s, answered = 0.0, 0
        for start in range(0, len(told), doors):
            for one in told[start : start + doors]:
                notify.publish("alerts", one.key, one.value)
            notify.clock.move(WAIT_S)
            while True:
                step_s += _spent(notify.run_until_idle)
                sends = notify.broker.records(SENDS)
                if len(sends) == answered:
                    break
                for record in sends[answered:]:
                    notify.publish(RESULTS, "s1", _delivered(decode(SENDS, record.value)))
                answered = len(sends)
    return Alerting(len(told), spent_s * 1e6 / len(told), len(steps), answered, step_s * 1e6 / max(1, len(steps)))


def _started(processor: Processor) -> Harness:
    harness = Harness(processor, options=MachineOptions(session_timeout_s=1e9), start=False)
    known = {table.entity for table in processor.references}
    people = [Recipient.model_validate({"recipient_id": who, "addresses": to}) for who, to in ALERTED.items()]
    for record in (Site(site_id=SITE, name=SITE, time_zone="Europe/Berlin", policy_id=SITE), *people):
        entity = _ENTITIES[type(record)]
        if entity.name in known:
            harness.publish(entity.topic, id_of(entity, record), record.to_json())
    harness.start()
    return harness


def door_alarm(
    site_id: str, door_id: str, event: str, unique: str | int, *, at: datetime | None = None, device_id: str = ""
) -> bytes:
    """What the site tells of a door: that it is held open, or shut again; `unique` is this one's own."""
    now = at or datetime.now(UTC)
    held = ("door_held_open",)
    return DoorAlarm.model_validate(
        {
            "alarm_id": derive("alarm", unique),
            "event": event,
            "active": held if event in held else (),
            "ended": () if event in held else held,
            "site_id": site_id,
            "device_id": device_id or f"{door_id}-c",
            "door_id": door_id,
            "cause_id": derive("cause", unique),
            "occurred_at": now,
            "decided_at": now,
            "journal": {"partition": 0, "number": 1},
        }
    ).to_json()


def _delivered(due: Any) -> bytes:
    return NotificationAttempted.model_validate(
        {"sender_id": "s1", "notification_id": due.notification_id, "attempt": due.attempt, "verdict": "delivered",
         "error": "", "target": "***", "retry_after_s": None}
    ).to_json()  # fmt: skip


def _spent(work: Any) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s
