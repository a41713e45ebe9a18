"""How subscriptions stand, by what was told of their deliveries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streams.commands.subscriptions import standing
from streams.commands.tail import classed

EXAMPLES = Path(__file__).parents[1] / "examples"


def told(type_: str, **fields: Any) -> dict[str, Any]:
    path = EXAMPLES / "deliveries" / "v1" / f"{type_}.json"
    return {**json.loads(path.read_text(encoding="utf-8")), **fields}


def subscription() -> dict[str, Any]:
    path = EXAMPLES / "reference.subscription" / "v1" / "subscription.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_what_waits_and_fails_is_added_up_over_the_partitions() -> None:
    one = standing(
        subscription(),
        [
            (0, told("events_pending", pending=1)),
            (1, told("delivery_failed", pending=2)),
            (0, told("events_delivered", pending=0, oldest_at=None)),
            (2, told("events_pending", pending=4, oldest_at="2026-03-02T00:50:00Z")),
            (3, told("events_dropped", subscription_id="another", pending=9)),
        ],
    )
    assert (one.pending, one.oldest_at, one.delivered, one.dropped) == (6, "2026-03-02T00:50:00Z", 2, 0)
    assert (one.failing_since, one.error) == (told("delivery_failed")["first_failed_at"], "answered 503")
    assert one.last == told("events_pending", pending=4, oldest_at="2026-03-02T00:50:00Z")


def test_what_was_taken_after_a_failure_fails_no_longer() -> None:
    one = standing(subscription(), [(0, told("delivery_failed")), (0, told("events_delivered"))])
    assert (one.failing_since, one.error, one.pending) == (None, "", 0)


def test_tail_knows_the_class_of_an_event_and_none_of_what_is_asked_or_malformed() -> None:
    assert classed("device.events", {"type": "fault"}) == "device"
    assert classed("operator.requests", {"type": "alert_acknowledged"}) is None
    assert classed("door.alarms", {"type": "door_alarm", "active": 5}) is None
    assert classed("access.decisions", {"type": ["access_granted"]}) is None
