"""What devices suffer becomes alerts (M1): what the devices processor tells, read by the alerts processor."""

from __future__ import annotations

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
        self._read = 0

    def alerts(self, *types: str) -> list[Any]:
        """The messages about alerts so far."""
        told = self.plant.harness.outputs(STATES)
        for record in told[self._read :]:
            self.desk.harness.publish(STATES, record.key, record.value, record.headers)
        self._read = len(told)
        self.desk.harness.run_until_idle()
        found = [decode("alerts", record.value) for record in self.desk.harness.outputs("alerts")]
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
