"""What devices suffer becomes alerts (M1): what the devices processor tells, read by the alerts processor."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from schemas.places import Door
from schemas.registry import decode
from tests.core.desk import Desk
from tests.core.plant import STATES, Plant


class Watched:
    """A plant, and the desk at which its states arrive."""

    def __init__(self, plant: Plant, desk: Desk) -> None:
        self.plant, self.desk = plant, desk
        self._read = Counter[str]()

    def alerts(self, *types: str) -> list[Any]:
        """The messages about alerts so far."""
        for topic in (STATES, "exceptions"):
            told = self.plant.harness.outputs(topic)
            for record in told[self._read[topic] :]:
                self.desk.harness.publish(topic, record.key, record.value, record.headers)
            self._read[topic] = len(told)
        self.desk.harness.run_until_idle()
        records = self.desk.harness.outputs("alerts")
        found = [decode("alerts", record.value) for record in records]
        assert [alert.to_json() for alert in found] == [record.value for record in records]
        return [one for one in found if one.type in (types or ("alert_raised",))]


@pytest.mark.branch("M1.05", "M1.06")
def test_an_offline_controller_raises_one_alert_that_returns_to_normal_with_it() -> None:
    with Plant() as plant, Desk() as desk:
        site = Watched(plant, desk)
        plant.beat(60)
        assert site.alerts() == []
        plant.wait(600)
        plant.harness.restart()
        plant.wait(600)
        (raised,) = site.alerts()
        assert (raised.kind, raised.device_id) == ("controller_offline", "c1")
        assert plant.tell() == ["controller_online"]
        (over,) = site.alerts("alert_returned_to_normal", "alert_closed", "alert_resolved")
        assert over.alert_id == raised.alert_id


@pytest.mark.branch("M1.08", "M1.09")
@pytest.mark.parametrize("silent_s", [0, 100])
def test_a_fault_raises_an_alert_with_its_details_whether_the_device_was_online_or_offline(silent_s: float) -> None:
    with Plant() as plant, Desk() as desk:
        site = Watched(plant, desk)
        plant.tell()
        plant.wait(silent_s)
        plant.tell("fault", code="reader_lost", detail="reader 1 does not answer")
        plant.tell("fault", code="reader_lost", detail="reader 1 does not answer")
        (raised,) = [alert for alert in site.alerts() if alert.kind == "fault"]
        assert raised.device_id == "c1"
        assert "reader_lost reader 1 does not answer (transient, may recover until" in raised.summary
        assert raised.summary.endswith("Check the reader's cable.")


RECOVERS = {
    "probe_every_s": 0,
    "faults": [{"code": code, "nature": "transient", "recovery_s": 600, "remedy": "Check its cable."}
               for code in ("controller_offline", "reader_lost")],
}  # fmt: skip


@pytest.mark.branch("A5.09")
@pytest.mark.parametrize("how", ["unacknowledged", "acknowledged", "suppressed"])
@pytest.mark.parametrize("kind", ["fault", "controller_offline"])
def test_when_a_transient_fault_turns_permanent_its_alert_says_so_and_is_told_again(kind: str, how: str) -> None:
    with Plant(monitoring=RECOVERS) as plant, Desk() as desk:
        site = Watched(plant, desk)
        plant.tell()
        if kind == "fault":
            plant.tell("fault", code="reader_lost", detail="reader 1 does not answer")
        else:
            plant.wait(100)
        (raised,) = site.alerts()
        if how == "acknowledged":
            desk.ask("alert_acknowledged", raised.alert_id)
        elif how == "suppressed":
            desk.ask("alert_shelved", raised.alert_id, shelve_s=3600)
        if kind == "fault":
            plant.beat(700)
        else:
            plant.wait(700)
        (again,) = [one for one in site.alerts("alert_repeated") if one.kind == kind]
        assert "(transient, may recover until" in raised.summary
        assert "(permanent: not recovered by " in again.summary
        assert "a repair case is open). Check " in again.summary
        assert (again.severity, again.alert_id) == (raised.severity, raised.alert_id)
        assert (again.notify is not None) is (how != "suppressed")
        assert (again.next_escalation_at is not None) is (how == "unacknowledged")


def test_an_alert_that_somebody_has_resolved_is_not_told_again_when_its_fault_turns_permanent() -> None:
    with Plant(monitoring=RECOVERS) as plant, Desk() as desk:
        site = Watched(plant, desk)
        plant.tell()
        plant.wait(100)
        (raised,) = site.alerts()
        desk.ask("alert_closed", raised.alert_id, result="it is being moved", force=True, operator="op-1")
        plant.wait(700)
        steps = [decode("exceptions", record.value).step for record in plant.harness.outputs("exceptions")]
        assert steps == ["diagnosed", "opened"]
        assert site.alerts("alert_repeated") == []


def test_a_device_that_flaps_raises_one_alert_more_and_not_one_for_each_change() -> None:
    with Plant() as plant, Desk() as desk:
        site = Watched(plant, desk)
        for _ in range(30):
            plant.tell("power_failure")
            plant.tell("power_restored")
        kinds = [alert.kind for alert in site.alerts()]
        assert kinds.count("flapping") == 1
        assert kinds.count("power_failure") <= 3


@pytest.mark.branch("A5.14")
def test_a_controller_that_speaks_and_hears_nothing_raises_an_alert_that_ends_when_it_answers_a_probe() -> None:
    with Plant(monitoring={"probe_every_s": 300}) as plant, Desk() as desk:
        site = Watched(plant, desk)
        door = {"door_id": "lobby", "site_id": "hq", "device_id": "c1", "name": "Lobby", "degraded_mode": "snapshot"}
        plant.put(Door.model_validate(door))
        plant.wait(20)
        plant.tell(snapshot_version="none")
        plant.beat(40, snapshot_version="none", every_s=10)
        (raised,) = site.alerts()
        assert (raised.kind, raised.device_id) == ("offline_mode", "c1")
        assert raised.summary == "c1 speaks and hears nothing; offline mode: lobby"
        plant.beat(300, snapshot_version="none")
        probe = [one for one in plant.probes("c1") if one["type"] == "probe"][-1]
        plant.tell(snapshot_version="none", probe_id=probe["command_id"])
        (over,) = site.alerts("alert_returned_to_normal", "alert_closed", "alert_resolved")
        assert over.alert_id == raised.alert_id
