"""The subscriptions processor on the machine, with a courier that answers as a test says and a book of what arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from schemas.deliveries import EventsDelivered, EventsDropped, Position
from schemas.delivering import CourierReady, DeliveryAttempted, EventsDue
from schemas.registry import decode
from schemas.subscriptions import Subscription
from streams.core.subscription_state import TOPICS
from streams.core.subscriptions import RESULTS, SubscriptionsProcessor
from streams.engine.harness import Harness
from tests.core.telling import START_S, person, put_on_file
from tests.core.world import hq

SENDS = "doorstream.subscriptions.sends"
EXAMPLES = Path(__file__).parents[1] / "examples"

Answer = Callable[[EventsDue], Mapping[str, Any] | None]


def subscription(id_: str = "s1", delivery: str = "push", **fields: Any) -> Subscription:
    """A subscription; without `wants`, to all events."""
    every = {"classes": ["normal", "abnormal", "security", "device"]}
    given = {"subscription_id": id_, "delivery": delivery, "recipient_id": "room", "channel": "webhook", "wants": every}
    return Subscription.model_validate({**given, **fields})


def taken(due: EventsDue) -> Mapping[str, Any] | None:
    """Every event arrives."""
    return {"verdict": "delivered", "delivered": len(due.events)}


def failed(_due: EventsDue) -> Mapping[str, Any] | None:
    """None arrives."""
    return {"verdict": "failed", "delivered": 0, "error": "answered 503"}


class Deliveries:
    """Site `hq`, a recipient and these subscriptions; `answer` says how an attempt ends (None: no answer)."""

    def __init__(self, *subscriptions: Subscription, answer: Answer = taken, courier: str | None = "c1") -> None:
        self.harness = Harness(SubscriptionsProcessor(), start=False)
        self.harness.clock.move(START_S - self.harness.clock.now_ms() / 1000)
        self.answer = answer
        self.attempts: list[EventsDue] = []
        self.courier_id = courier
        self._read = 0
        put_on_file(self.harness, *hq(), person(recipient_id="room", webhook="https://example.org/hook"))
        self.put(*subscriptions)
        self.harness.start()
        if courier is not None:
            self.ready(courier)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()

    def put(self, *subscriptions: Subscription) -> None:
        """Put subscriptions on file."""
        for one in subscriptions:
            self.harness.publish("reference.subscription", one.subscription_id, one.to_json())

    def remove(self, id_: str) -> None:
        """Take a subscription off file."""
        self.harness.publish("reference.subscription", id_, None)

    def ready(self, courier_id: str) -> None:
        """A worker's courier begins."""
        self.courier_id = courier_id
        self.harness.publish(RESULTS, courier_id, CourierReady(courier_id=courier_id).to_json())
        self.settle()

    def event(self, type_: str = "access_granted", *, settle: bool = True, **fields: Any) -> Position:
        """An event; gives where it stands."""
        topic = next(path.parts[-3] for path in sorted(EXAMPLES.rglob(f"{type_}.json")) if _events(path))
        given = json.loads(next(iter(sorted((EXAMPLES / topic).rglob(f"{type_}.json")))).read_text(encoding="utf-8"))
        place = {"site_id": "hq", "door_id": "front", "access_point_id": "front-in"}
        zones = {"zone_from": "street", "zone_to": "hall"} if "zone_to" in given else {}
        fields = {**given, **{name: value for name, value in place.items() if name in given}, **zones, **fields}
        record = self.harness.publish(topic, "hq", json.dumps(fields).encode())
        if settle:
            self.settle()
        return topic, record.offset

    def settle(self) -> None:
        """Let all be decided, and every attempt for the courier answered."""
        while True:
            self.harness.run_until_idle()
            sends = self.harness.outputs(SENDS)
            if len(sends) == self._read:
                return
            fresh, self._read = sends[self._read :], len(sends)
            for record in fresh:
                self._attempt(decode(SENDS, record.value))

    def _attempt(self, due: EventsDue) -> None:
        self.attempts.append(due)
        answer = self.answer(due) if due.courier_id == self.courier_id else None
        if answer is not None:
            self.tell(due, **answer)

    def tell(self, due: EventsDue, **answer: Any) -> None:
        """The courier says how an attempt ended."""
        fields = {name: getattr(due, name) for name in ("courier_id", "subscription_id", "delivery_id", "attempt")}
        told = DeliveryAttempted.model_validate({**fields, "target": "***", **answer})
        self.harness.publish(RESULTS, due.courier_id, told.to_json())

    def advance(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass."""
        left = seconds
        while left > 0:
            self.harness.clock.move(min(left, step_s))
            left -= step_s
            self.settle()

    def outcomes(self) -> list[Any]:
        """What became of events so far."""
        return [decode("deliveries", record.value) for record in self.harness.outputs("deliveries")]

    def types(self) -> list[str]:
        """The same, their types only."""
        return [one.type for one in self.outcomes()]

    def delivered(self, id_: str = "s1") -> list[Position]:
        """The events that a subscription got, in the order of the record."""
        found: Sequence[Any] = [one for one in self.outcomes() if isinstance(one, EventsDelivered)]
        return [tuple(event) for one in found if one.subscription_id == id_ for event in one.events]

    def dropped(self, id_: str = "s1") -> list[Position]:
        """The events that it will not get."""
        found: Sequence[Any] = [one for one in self.outcomes() if isinstance(one, EventsDropped)]
        return [tuple(event) for one in found if one.subscription_id == id_ for event in one.events]


def _events(path: Path) -> bool:
    return path.parts[-3] in TOPICS
