"""A made-up stretch of every topic, as the record role reads it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec

from schemas.ids import derive
from schemas.record import Record
from schemas.registry import decode, topic_of
from sinks.reading import OUR_TOPICS

EXAMPLES = Path(__file__).parents[1] / "examples"
PIN = "83025519"


def example(type_: str, **changes: Any) -> bytes:
    """An example message with some fields changed."""
    path = EXAMPLES / topic_of(type_) / "v1" / f"{type_}.json"
    return json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes).encode()


class Topics:
    """Appends records, counting offsets per topic partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._offsets: dict[tuple[str, int], int] = {}

    def add(self, topic: str, value: bytes | None, *, partition: int = 0, key: bytes = b"hq") -> Record:
        """Append one record."""
        offset = self._offsets.get((topic, partition), 0)
        self._offsets[topic, partition] = offset + 1
        record = Record(topic, partition, offset, key, value, (), 1_772_413_200_000 + offset)
        self.records.append(record)
        return record


def a_day(decisions: int = 200, seed: int = 1) -> list[Record]:
    """Decisions, commands, results, passages, door events, alerts and lockouts, and some things that can't be read."""
    chance = random.Random(seed)
    topics = Topics()
    for number in range(decisions):
        partition = number % 3
        id_ = derive("decision", str(number))
        granted = chance.random() < 0.8
        hour = chance.randrange(24)
        fields: dict[str, Any] = {
            "decision_id": id_,
            "request_id": derive("request", str(number)),
            "sequence": number,
            "cardholder_id": f"p{chance.randrange(20):04}",
            "door_id": f"hq-d{chance.randrange(5):02}",
            "decided_at": f"2026-03-02T{hour:02}:15:00.123Z",
        }
        command = derive("command", id_)
        if granted:
            topics.add("access.decisions", example("access_granted", **fields), partition=partition)
            if chance.random() < 0.3:
                topics.add(
                    "command.results", example("command_confirmed", command_id=command, sequence=number),
                    partition=partition,
                )  # fmt: skip
            value = example("access_door", command_id=command, decision_id=id_, door_id=fields["door_id"])
            topics.add("device.commands", value, partition=partition)
            for result in ("command_delivered", "command_confirmed"):
                topics.add("command.results", example(result, command_id=command, sequence=number), partition=partition)
            for _ in range(1 + (number % 5 == 0)):  # a controller that got no acknowledgement says it again
                topics.add("door.events", example("door_opened", sequence=number), partition=partition)
            passage = {name: fields[name] for name in ("decision_id", "cardholder_id", "door_id", "decided_at")}
            topics.add("access.decisions", example("access_taken", **passage), partition=partition)
        else:
            value = example("access_denied", **fields, reason="out_of_time_range")
            topics.add("access.decisions", value, partition=partition)
            alert = example("alert_raised", alert_id=f"a{number % 7}", count=number, cause_id=id_, severity="medium")
            topics.add("alerts", alert, partition=partition)
            known = example("alert_acknowledged", alert_id=f"a{number % 7}", count=number, cause_id=id_)
            topics.add("alerts", known, partition=partition)
            _notified(topics, number, partition)
        if number % 20 == 0:
            lock = {"lockout_id": derive("lockout", number), "locked_until": "2199-01-01T00:00:00Z"}
            topics.add("lockouts", example("lockout_started", **lock), partition=partition)
            if number % 40 == 0:
                topics.add("lockouts", example("lockout_ended", **lock), partition=partition)
        if number % 10 == 0:
            state = {"event_id": derive("state", number), "device_id": f"hq-c{number % 30 // 10:02}"}
            event = ("controller_offline", "controller_online", "probe_answered")[number % 3]
            topics.add("device.states", example("device_state", event=event, **state), partition=partition)
            probe = example("probe", command_id=derive("probe", number), device_id=state["device_id"])
            topics.add("device.commands", probe, partition=partition)
        if number % 50 == 0:
            topics.add("access.decisions", b"\xff not json", partition=partition)
            topics.add("door.events", b'{"type":"door_opened","pin":"' + PIN.encode() + b'"}', partition=partition)
            topics.add("device.events", None, partition=partition)
    return topics.records


def _notified(topics: Topics, number: int, partition: int) -> None:
    """Somebody is told, and a subscription's events are delivered."""
    told = {"notification_id": derive("notification", number), "alert_id": f"a{number % 7}"}
    topics.add("notifications", example("notification_held", **told), partition=partition)
    outcome = "notification_failed" if number % 2 else "notification_sent"
    topics.add("notifications", example(outcome, **told), partition=partition)
    delivery = {"delivery_id": derive("delivery", number), "journal": {"partition": partition, "number": number}}
    delivered = "events_delivered" if number % 2 else "delivery_failed"
    topics.add("deliveries", example(delivered, **delivery), partition=partition)


def as_we_write(records: list[Record]) -> list[Record]:
    """The same records, with what the decide role writes in the form that it writes."""
    return [_as_we_write(record) for record in records]


def _as_we_write(record: Record) -> Record:
    try:
        message = decode(record.topic, record.value)
    except ValueError:
        return record
    if record.topic not in OUR_TOPICS:
        return record
    return msgspec.structs.replace(record, value=message.to_json(), headers=(("ce_type", message.type.encode()),))
