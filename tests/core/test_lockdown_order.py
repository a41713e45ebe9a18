"""One order (E2): a lockdown comes first in its cycle, and no crash loses or doubles any of it."""

from __future__ import annotations

import json
from typing import Any

from schemas.ids import derive
from schemas.places import AccessPoint, Device, Door
from schemas.rules import OperatorRights
from schemas.vocabulary import Direction
from tests.core.given import ADA, NINE, POLICY, House, card

RIGHTS = OperatorRights(operator_id="op-7", rights=("start_lockdown", "release_lockdown"))
START = {"zone_id": "hall", "threat_level": "high"}


def house() -> House:
    return House(*ADA, POLICY.model_copy(update={"operators": (RIGHTS,)}))


def ask_for(site: House, type_: str, **fields: Any) -> None:
    """Publish an operator's request, without letting the machine run."""
    number = f"r-{len(site.harness.broker.records('operator.requests'))}"
    given = {"type": type_, "request_id": number, "site_id": "hq", "operator_id": "op-7", "occurred_at": NINE}
    value = json.dumps({**given, "reason": "intruder", **fields}).encode()
    site.harness.publish("operator.requests", "hq", value)


def wait_at_the_door(site: House) -> None:
    site.send("access.requests", "access_requested", access_point_id="lobby-in", factors=[card("ada")])


def told(site: House, topic: str) -> list[Any]:
    return [json.loads(value or b"null") for value in site.harness.values(topic)]


def commands(site: House) -> list[Any]:
    return [one for one in told(site, "device.commands") if "mode" in one]


def test_who_asks_in_the_same_cycle_is_denied_already_even_if_they_asked_before() -> None:
    with house() as site:
        wait_at_the_door(site)
        ask_for(site, "lockdown_requested", **START)
        wait_at_the_door(site)
        site.harness.run_until_idle()
        assert [one["reason"] for one in site.decisions()] == ["lockdown", "lockdown"]


def test_a_crash_after_the_start_loses_and_doubles_nothing() -> None:
    with house() as site:
        ask_for(site, "lockdown_requested", **START)
        site.harness.run_until_idle()
        (command,) = commands(site)
        site.harness.restart()
        site.harness.advance(0.9, 0.1)
        assert [one["command_id"] for one in commands(site)] == [command["command_id"]]
        site.harness.restart()
        site.harness.advance(1.5, 0.1)
        again = commands(site)
        assert len({one["command_id"] for one in again}) == len(again) == 2
        assert {one["mode_epoch"] for one in again} == {command["mode_epoch"]}
        site.send("command.results", "command_confirmed", command_id=again[-1]["command_id"])
        site.harness.advance(1, 0.1)
        site.harness.restart()
        site.harness.advance(60)
        assert len(commands(site)) == 2
        steps = [one["type"] for one in told(site, "incidents")]
        assert steps == ["lockdown_started", "lockdown_confirmed", "lockdown_effective"]


def build_doors(site: House, zone: str, count: int) -> None:
    """More doors into a zone, each with a controller of its own."""
    for number in range(count):
        id_ = f"{zone}-{number:03}"
        site.learn(
            Device(device_id=f"c-{id_}", site_id="hq"),
            Door(door_id=id_, site_id="hq", device_id=f"c-{id_}", name=id_),
            AccessPoint(
                access_point_id=f"{id_}-in", site_id="hq", door_id=id_, direction=Direction.ENTRY, zone_from="street",
                zone_to=zone,
            ),
        )  # fmt: skip
    site.harness.run_until_idle()


def test_all_doors_of_a_large_site_are_commanded_with_crashes_between_the_parts() -> None:
    with house() as site:
        build_doors(site, "hall", 150)
        ask_for(site, "lockdown_requested", **START)
        site.harness.run_until_idle()
        site.harness.restart()
        site.harness.advance(0.5, 0.01)
        doors = [one["door_id"] for one in commands(site)]
        assert len(doors) == len(set(doors)) == 151


def test_an_escalation_before_all_doors_had_their_commands_and_a_crash_command_each_door_of_both_scopes_once() -> None:
    with house() as site:
        build_doors(site, "hall", 100)
        build_doors(site, "hq", 100)
        ask_for(site, "lockdown_requested", **START)
        incident_id = derive("lockdown", "hq", "hall", "operator", "r-0")
        ask_for(site, "lockdown_escalation_requested", incident_id=incident_id, threat_level="extreme")
        site.harness.run_until_idle()
        site.harness.restart()
        site.harness.advance(0.5, 0.01)
        doors = [one["door_id"] for one in commands(site)]
        assert len(doors) == len(set(doors)) == 201
        steps = told(site, "incidents")
        assert [one["type"] for one in steps] == ["lockdown_started", "lockdown_escalated"]
        assert {one["incident_id"] for one in steps} == {incident_id}
        assert (steps[-1]["zone_id"], steps[-1]["doors"]) == ("hq", 201)
        wait_at_the_door(site)
        assert [one["reason"] for one in site.decisions()] == ["lockdown"]
