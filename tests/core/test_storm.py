"""A switch dies: hundreds of controllers and the doors behind them, and one duress PIN among it all (M1, M3)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.door_alarms import DoorAlarm
from schemas.ids import derive
from schemas.places import Device
from schemas.recipients import OnCall
from schemas.registry import decode
from schemas.sending import NotificationAttempted, SenderReady
from streams.core.alerts import AlertsProcessor
from streams.core.notifications import NotifyProcessor
from streams.engine.virtual import Worker
from tests.core.plant import Plant
from tests.core.telling import PEOPLE, RESULTS, ROTA, SENDS, person

DEAD, ALIVE, DOORS = 500, 600, 10
"""Controllers behind the switch, others, and doors of each."""
SECONDS = 10
SILENT_S = 45
PEOPLE_AT_WORK = (*PEOPLE, {"recipient_id": "control-room", "email": "desk@example.org", "sms": "+86 10 5550 0140"})


class Storm:
    """Devices, alerts and notify on one broker and one clock."""

    def __init__(self, dead: int = DEAD, alive: int = ALIVE) -> None:
        self.plant = Plant(devices=0)
        self.harness = self.plant.harness
        self.devices = self.harness.worker
        self.dead = [f"d{number:03}" for number in range(dead)]
        self.alive = [f"a{number:03}" for number in range(alive)]
        for device in self.dead:
            self.plant.put(Device(device_id=device, site_id="hq", upstream="sw-3"))
        for device in self.alive:
            self.plant.put(Device(device_id=device, site_id="hq"))
        for one in PEOPLE_AT_WORK:
            self.plant.put(person(**one))
        self.plant.put(OnCall.model_validate(ROTA))
        self.alerts = self.harness.start(processor=AlertsProcessor())
        self.notify = self.harness.start(processor=NotifyProcessor())
        self.harness.publish(RESULTS, "s1", SenderReady(sender_id="s1").to_json())
        self.most_kept = 0
        self._answered = 0

    def second(self, *beating: str) -> None:
        """A second passes; these controllers say that they live, and every message that is due arrives."""
        for device in beating:
            self.plant.say("heartbeat", device)
        self.harness.advance(1, 1)
        while (sends := self.harness.broker.records(SENDS))[self._answered :]:
            for record in sends[self._answered :]:
                due = decode(SENDS, record.value)
                answer = NotificationAttempted.model_validate(
                    {"sender_id": "s1", "notification_id": due.notification_id, "attempt": due.attempt,
                     "verdict": "delivered", "error": "", "target": "***", "retry_after_s": None}
                )  # fmt: skip
                self.harness.publish(RESULTS, "s1", answer.to_json())
            self._answered = len(sends)
            self.harness.run_until_idle()
        self.most_kept = max(self.most_kept, len(kept(self.alerts)))

    def live(self, seconds: int) -> None:
        """Everybody sends a heartbeat each fifteen seconds."""
        everybody = [*self.dead, *self.alive]
        for second in range(seconds):
            self.second(*everybody[second % 15 :: 15])

    def doors(self, device: str, event: str) -> None:
        """What the site says of the doors of a controller."""
        for number in range(DOORS):
            at = self.harness.clock.now_ms() / 1000
            alarm = DoorAlarm.model_validate(
                {"alarm_id": derive("alarm", device, number, event, round(at)), "event": event, "site_id": "hq",
                 "ended": ("door_held_open",) if event == "door_closed" else (),
                 "device_id": device, "door_id": f"{device}-{number}", "cause_id": derive("cause", device, number),
                 "occurred_at": at, "decided_at": at, "journal": {"partition": 0, "number": 1}}
            )  # fmt: skip
            self.harness.publish("door.alarms", alarm.door_id, alarm.to_json())

    def duress(self) -> None:
        """Somebody is forced to open a door."""
        at = datetime.fromtimestamp(self.harness.clock.now_ms() / 1000, UTC).isoformat()
        fields = {
            "type": "duress", "duress_id": "dd", "decision_id": "dc", "site_id": "hq", "access_point_id": "a000-1-in",
            "door_id": "a000-1", "cardholder_id": "ann", "occurred_at": at, "decided_at": at,
        }  # fmt: skip
        self.harness.publish("duress.events", "hq", json.dumps(fields).encode())

    def messages(self, topic: str) -> list[Any]:
        """What a topic says."""
        return [decode(topic, value) for value in self.harness.values(topic)]


def kept(worker: Worker) -> list[str]:
    """The alerts that a worker remembers, and what belongs to them."""
    (slot,) = worker.machine._slots.values()
    assert slot.partition is not None
    return [key for key in slot.partition.store.keys() if not key.startswith("~")]  # noqa: SIM118


@pytest.fixture(scope="module")
def storm() -> Iterator[Storm]:
    """The storm at its height: every controller behind the switch is offline, all their doors are held open."""
    made = Storm()
    with made.harness:
        made.live(15)
        silent: set[str] = set()
        for second in range(15 + SILENT_S + SECONDS):
            made.second(*made.alive[second % 15 :: 15])
            gone = {one.device_id for one in made.messages("device.states") if one.event == "controller_offline"}
            for device in sorted(gone - silent):
                made.doors(device, "door_held_open")
            silent = gone
            if len(silent) > DEAD // 2 and not made.harness.broker.records("duress.events"):
                made.duress()
        made.second()
        yield made


def test_a_storm_is_one_alert_with_the_rest_under_it(storm: Storm) -> None:
    last = {one.alert_id: one for one in storm.messages("alerts")}
    states = Counter((one.kind, one.state) for one in last.values())
    assert states == {
        ("network_outage", "unacknowledged"): 1,
        ("controller_offline", "suppressed"): DEAD,
        ("door_held_open", "suppressed"): DEAD * DOORS,
    }
    offline = [one for one in storm.messages("device.states") if one.event == "controller_offline"]
    assert (max(one.decided_at for one in offline) - min(one.decided_at for one in offline)).total_seconds() <= 15
    told = Counter(one.kind for one in storm.messages("alerts") if one.notify is not None)
    assert told == {"controller_offline": 4, "network_outage": 1}


def test_duress_is_told_at_once_in_the_middle_of_it(storm: Storm) -> None:
    (raised,) = storm.messages("duress.alerts")
    (sent,) = storm.messages("duress.notifications")
    (happened,) = storm.messages("duress.events")
    assert (raised.state, sent.type, sent.recipient_id) == ("unacknowledged", "notification_sent", "centre")
    assert (sent.updated_at - happened.occurred_at).total_seconds() <= 2


def test_when_the_switch_is_back_all_is_over_and_little_is_kept(storm: Storm) -> None:
    for device in storm.dead:
        storm.doors(device, "door_closed")
    storm.second()
    storm.live(80)
    last = {one.alert_id: one for one in storm.messages("alerts")}
    states = Counter((one.kind, one.state) for one in last.values())
    assert states == {
        ("network_outage", "returned_to_normal_unacknowledged"): 1,
        ("controller_offline", "closed"): DEAD,
        ("door_held_open", "closed"): DEAD * DOORS,
    }
    assert storm.most_kept > DEAD * DOORS
    storm.harness.crash(storm.devices)
    storm.harness.advance(3_700, 100)
    assert len(kept(storm.alerts)) < 10
    assert len(kept(storm.notify)) < 10


@pytest.mark.branch("M1.06")
def test_when_a_switch_is_back_doors_that_have_closed_alert_nobody_and_open_ones_once_and_together() -> None:
    """What the controllers noted while they were away arrives at once, held doors first and that they closed after."""
    made = Storm(dead=20, alive=24)
    with made.harness:
        made.live(15)
        for second in range(15 + SILENT_S + SECONDS):
            made.second(*made.alive[second % 15 :: 15])
        assert Counter(one.kind for one in made.messages("alerts"))["network_outage"] > 0
        for device in made.dead:
            made.plant.say("heartbeat", device)
        made.second()
        for device in made.dead:
            made.doors(device, "door_held_open")
        made.second()
        for device in made.dead[:15]:
            made.doors(device, "door_closed")
        sent = len(made.messages("notifications"))
        made.live(90)
        held = [one for one in made.messages("alerts") if one.kind == "door_held_open"]
        told = Counter(one.device_id for one in held if one.notify is not None)
        assert told == dict.fromkeys(made.dead[15:], DOORS)
        messages = [one for one in made.messages("notifications")[sent:] if one.type == "notification_sent"]
        assert {one.recipient_id for one in messages} == {"control-room"}
        assert len(messages) == 5 * DOORS
        assert len({one.digest_id or one.notification_id for one in messages}) < 20
