"""The network to a controller (A5): probed when it is silent, its doors in offline mode when nothing answers."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.places import Device, Door
from tests.core.plant import Plant

PROBED = {"probe_every_s": 300}


def plant_with_doors(**monitoring: Any) -> Plant:
    """Controller `c1` with doors `front` and `back`."""
    plant = Plant(monitoring=monitoring or PROBED)
    for name in ("back", "front"):
        plant.put(Door(door_id=name, site_id="hq", device_id="c1", name=name))
    return plant


def last_probe(plant: Plant) -> str:
    return str([one for one in plant.probes() if one["type"] == "probe"][-1]["command_id"])


@pytest.mark.branch("A5.12")
def test_a_controller_that_falls_silent_is_a_network_exception_and_is_probed_at_once() -> None:
    with plant_with_doors() as plant:
        plant.tell()
        before = len(plant.probes())
        plant.wait(46)
        assert plant.events() == ["controller_online", "controller_offline", "network_exception"]
        told = plant.state()
        assert (told["network"], told["detail"], told["offline_doors"]) == ("checking", "not heard for 45 s", [])
        assert len(plant.probes()) == before + 1


@pytest.mark.branch("A5.12", "A5.14")
def test_a_probe_without_an_answer_puts_the_controllers_doors_in_offline_mode_until_it_is_back() -> None:
    with plant_with_doors() as plant:
        plant.tell()
        plant.wait(46)
        plant.wait(10)
        told = plant.state()
        assert (told["event"], told["network"], told["connection"]) == ("offline_mode_started", "down", "offline")
        assert (told["offline_doors"], told["detail"]) == (["back", "front"], "no answer within 10 s")
        assert plant.tell() == ["controller_online", "offline_mode_ended"]
        assert (plant.state()["network"], plant.state()["offline_doors"]) == ("ok", [])


@pytest.mark.branch("A5.12")
def test_a_probe_that_is_answered_ends_the_exception_before_any_door_is_in_offline_mode() -> None:
    with plant_with_doors() as plant:
        plant.tell()
        plant.wait(46)
        assert plant.tell(probe_id=last_probe(plant)) == ["controller_online", "probe_answered"]
        plant.beat(60)
        assert "offline_mode_started" not in plant.events()
        assert plant.state()["network"] == "ok"


def test_where_nobody_is_probed_a_silent_controllers_doors_are_in_offline_mode_at_once() -> None:
    with plant_with_doors(probe_every_s=0) as plant:
        plant.tell()
        plant.wait(46)
        assert plant.events() == ["controller_online", "controller_offline"]
        assert (plant.state()["network"], plant.state()["offline_doors"]) == ("down", ["back", "front"])
        assert plant.tell() == ["controller_online"]
        assert plant.state()["network"] == "ok"


def test_each_silence_is_an_exception_of_its_own_and_no_worker_that_dies_tells_it_twice() -> None:
    with plant_with_doors() as plant:
        for _ in range(2):
            plant.tell()
            plant.wait(46)
            plant.harness.restart()
            plant.wait(11)
            plant.harness.restart()
        assert plant.events().count("network_exception") == 2
        assert plant.events().count("offline_mode_started") == 2
        ids = [state["event_id"] for state in plant.states()]
        assert len(ids) == len(set(ids))


def test_a_device_that_leaves_the_site_is_not_probed_for_it() -> None:
    with plant_with_doors() as plant:
        plant.tell()
        plant.put(Device(device_id="c1", site_id="hq", status="inactive"))
        before = len(plant.probes())
        plant.wait(120)
        assert len(plant.probes()) == before
        assert "network_exception" not in plant.events()
