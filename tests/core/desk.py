"""The alerts processor on the machine, with an operator at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from schemas.base import Message
from schemas.device_states import DeviceState
from schemas.door_alarms import DoorAlarm
from schemas.ids import derive
from schemas.keys import OPERATOR, derive_key
from schemas.record import Record
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode
from schemas.rules import Policy
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign
from streams.core.alerts import AlertsProcessor
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions
from tests.core.world import MASTER, hq

RIGHTS = {
    "op-7": ["acknowledge_alerts", "shelve_alerts"],
    "op-1": ["acknowledge_alerts", "shelve_alerts", "force_alerts"],
    "op-20": ["monitor_duress"],
    "op-12": ["unlock"],
}
_ENTITIES = {entity.model: entity for entity in ENTITIES}
_CLOSES = {"door_closed": ("door_forced_open", "door_held_open"), "door_held_open_cleared": ("door_held_open",)}
_POSITION = {"partition": 0, "number": 1}


class Desk:
    """Site `hq` with doors `front` and `lab` of controller `c1`; `rules` are the policy's `alerts`.

    Operator op-7 handles alerts, op-1 may force, op-20 is monitoring, op-12 has other rights.
    """

    def __init__(self, rules: Mapping[str, Any] | None = None, options: MachineOptions | None = None) -> None:
        self.harness = Harness(AlertsProcessor(MASTER), options=options, start=False)
        self.harness.clock.move(1_772_442_000 - self.harness.clock.now_ms() / 1000)
        self._asked = 0
        self._happened = 0
        for record in hq():
            known = record
            if isinstance(record, Policy):
                operators = [{"operator_id": who, "rights": rights} for who, rights in RIGHTS.items()]
                fields = record.model_dump() | {"operators": operators, "alerts": dict(rules or {})}
                known = Policy.model_validate(fields)
            entity = _ENTITIES[type(record)]
            if any(table.entity == entity.name for table in self.harness.processor.references):
                self.harness.publish(entity.topic, id_of(entity, known), known.to_json())
        self.harness.start()

    def put(self, record: Message) -> None:
        """Publish a reference record."""
        entity = _ENTITIES[type(record)]
        self.harness.publish(entity.topic, id_of(entity, record), record.to_json())
        self.harness.run_until_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()

    def door(self, event: str, door: str = "front", **fields: Any) -> None:
        """What the site says of a door."""
        self._happened += 1
        alarm = DoorAlarm.model_validate(
            {
                "alarm_id": derive("alarm", self._happened),
                "event": event,
                "ended": _CLOSES.get(event, ()),
                "site_id": "hq",
                "device_id": "c1",
                "door_id": door,
                "cause_id": derive("cause", self._happened),
                "occurred_at": self.now(),
                "decided_at": self.now(),
                "journal": _POSITION,
                **fields,
            }
        )
        self.harness.publish("door.alarms", door, alarm.to_json())
        self.harness.run_until_idle()

    def device(self, event: str, device: str = "c1", **fields: Any) -> None:
        """What the devices processor says of a controller."""
        self._happened += 1
        state = DeviceState.model_validate(
            {
                "event_id": derive("device", self._happened),
                "event": event,
                "site_id": "hq",
                "device_id": device,
                "connection": "offline" if event == "controller_offline" else "online",
                "since": self.now(),
                "site_offline": 0,
                "site_devices": 1,
                "decided_at": self.now(),
                "journal": _POSITION,
                **fields,
            }
        )
        self.harness.publish("device.states", device, state.to_json())
        self.harness.run_until_idle()

    def duress(self) -> None:
        """A duress PIN is used."""
        self._happened += 1
        fields = {
            "type": "duress",
            "duress_id": derive("duress", self._happened),
            "decision_id": derive("decision", self._happened),
            "site_id": "hq",
            "access_point_id": "front-in",
            "door_id": "front",
            "cardholder_id": "ann",
            "occurred_at": self.now().isoformat(),
            "decided_at": self.now().isoformat(),
        }
        self.harness.publish("duress.events", "hq", json.dumps(fields).encode())
        self.harness.run_until_idle()

    def ask(
        self, type_: str, alert_id: str, *, operator: str = "op-7", topic: str = "operator.requests", **fields: Any
    ) -> str | None:
        """An operator's signed request; the code of its refusal, None where it is accepted."""
        self._asked += 1
        request_id = fields.pop("request_id", f"r-{self._asked}")
        signer = fields.pop("signer", operator)
        message = {
            "type": type_,
            "request_id": request_id,
            "site_id": "hq",
            "operator_id": operator,
            "occurred_at": self.now().isoformat(),
            "alert_id": alert_id,
            **fields,
        }
        value = msgspec.json.encode(message)
        end = datetime.fromtimestamp(self.harness.clock.now_ms() / 1000 + 60, UTC).isoformat()
        own = ((NOT_AFTER_HEADER, end.encode()), (NONCE_HEADER, f"n-{self._asked}".encode()))
        mac = sign(derive_key(MASTER, OPERATOR, signer), 1, topic, b"hq", value, own)
        self.harness.publish(topic, "hq", value, (*own, mac))
        self.harness.run_until_idle()
        answers = self.messages("duress.answers" if topic == "duress.requests" else "access.decisions")
        return getattr(answers[-1], "code", None)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.advance(seconds, step_s=max(5.0, seconds / 100))

    def now(self) -> datetime:
        """The machine's time."""
        return datetime.fromtimestamp(self.harness.clock.now_ms() / 1000, UTC)

    def records(self, topic: str) -> list[Record]:
        """What a reader of a topic sees."""
        return self.harness.outputs(topic)

    def messages(self, topic: str = "alerts") -> list[Any]:
        """The messages of a topic."""
        return [decode(topic, record.value) for record in self.records(topic)]

    def told(self, topic: str = "alerts") -> list[tuple[str, str, str]]:
        """Each transition so far: its type without `alert_`, the severity and the state."""
        return [(one.type.removeprefix("alert_"), one.severity.value, one.state) for one in self.messages(topic)]

    def last(self, topic: str = "alerts") -> Any:
        """The latest transition."""
        return self.messages(topic)[-1]

    def kept(self) -> list[str]:
        """The keys of what the processor remembers."""
        (slot,) = self.harness.worker.machine._slots.values()
        assert slot.partition is not None
        return sorted(key for key in slot.partition.store.keys() if not key.startswith("~mark/"))  # noqa: SIM118

    def demands(self, topic: str = "alerts") -> list[tuple[int, str, tuple[str, ...]]]:
        """Who was to be told: the steps, their severities and channels."""
        found = [one.notify for one in self.messages(topic) if one.notify is not None]
        return [(one.step, one.severity.value, one.channels) for one in found]
