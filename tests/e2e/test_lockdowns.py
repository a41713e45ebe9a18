"""Lockdowns by the command line against the real system: for real, with a controller away, and for practice (E2)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sinks.clickhouse import connect
from tests.e2e.cluster import Cluster, Workers
from tests.e2e.outside import Administration, Controller, Json, Operator, Wire

pytestmark = pytest.mark.kafka

MARK = f"locked{time.time_ns() % 10**9}"
TOPICS = ("access.decisions", "device.commands", "incidents", "door.modes")
GIVEN = ("--operator", "op-1", "--reason", "intruder")


class House:
    """A site: a hall behind door `-d1` and a lab in it behind `-d2`, each with a controller, and Lin, who may enter."""

    def __init__(self, wire: Wire, cluster: Cluster, site: str) -> None:
        self.wire, self.site, self.card = wire, site, {"kind": "card", "card_number": f"{site}-no"}
        self._cluster, self._master = cluster, bytes.fromhex((cluster.folder / "master").read_text())
        boot = int(time.time())
        self.operator = Operator(wire, self._master, site, "op-1")
        self.hall, self.lab = (Controller(wire, self._master, site, f"{site}-c{n}", boot=boot) for n in (1, 2))

    async def publish(self) -> None:
        """The reference data."""
        put, site = Administration(self.wire, self._master).put, self.site
        rights = [{"operator_id": "op-1", "rights": ["start_lockdown", "release_lockdown", "override_lockdown"]}]
        methods, plans = [{"kind": "single", "factor": "card"}], [{"plan_id": "leave", "occupants": "clear"}]
        await put("policy", policy_id=site, methods=methods, operators=rights, lockdowns=plans)
        await put("cardholder", cardholder_id=site, name="Lin")
        await put("credential", credential_id=f"{site}-card", kind="card", cardholder_id=site, card_number=f"{site}-no")
        await put("site", site_id=site, name=site, time_zone="UTC", policy_id=site)
        await put("zone", zone_id=site, site_id=site, kind="site", name=site)
        zones = (("street", site, "outside"), ("hall", site, "building"), ("lab", f"{site}-hall", "area"))
        for name, parent, kind in zones:
            await put("zone", zone_id=f"{site}-{name}", site_id=site, parent_id=parent, kind=kind, name=name)
        for number, (outer, inner) in enumerate((("street", "hall"), ("hall", "lab")), start=1):
            door = f"{site}-d{number}"
            await put("device", device_id=f"{site}-c{number}", site_id=site)
            await put("door", door_id=door, site_id=site, device_id=f"{site}-c{number}", name=door, has_dps=False)
            way = {"direction": "entry", "zone_from": f"{site}-{outer}", "zone_to": f"{site}-{inner}"}
            await put("access-point", access_point_id=f"{door}-in", site_id=site, door_id=door, **way)
        await put("permission", permission_id=f"{site}-may", site_id=site, cardholder_id=site, zone_ids=[site])

    async def ask(self, controller: Controller) -> Json:
        """Lin wants to pass a controller's door; what is decided."""
        point = f"{controller.device.replace('-c', '-d')}-in"
        return await self.wire.about(await controller.ask(point, self.card))

    async def refused(self, controller: Controller) -> tuple[str, bool]:
        """Why Lin may not pass it, and whether that is for practice."""
        found = await self.ask(controller)
        return found["reason"], found["drill"]

    async def obey(self, controller: Controller, type_: str) -> None:
        """Wait for a command, check whose it is, and confirm it."""
        record = await self.wire.wait(
            "device.commands", lambda m: m["device_id"] == controller.device and m["type"] == type_
        )
        assert controller.is_signed(record)
        done = controller.message("command_confirmed", command_id=json.loads(record.value)["command_id"])
        await controller.send("command.results", done)

    async def told(self, **fields: Any) -> Json:
        """What is told of a lockdown with these fields."""
        wanted = {"site_id": self.site, **fields}
        record = await self.wire.wait("incidents", lambda m: all(m[name] == value for name, value in wanted.items()))
        found: Json = json.loads(record.value)
        return found

    async def run(self, *words: str) -> Any:
        """What a command about lockdowns prints."""
        return json.loads(await asyncio.to_thread(self._cluster.command, "lockdown", *words, "--json"))


async def test_a_site_is_locked_down_and_released_although_a_controller_was_away(
    cluster: Cluster, workers: Workers
) -> None:
    async with Wire(cluster.kafka, TOPICS) as wire:
        house = House(wire, cluster, f"{MARK}-a")
        await house.publish()
        await workers.start("decide")
        here, away, site = house.hall, house.lab, house.site
        assert (await house.ask(here))["type"] == "access_granted"
        start = ("start", site, *GIVEN, "--level", "extreme")
        planned = await house.run(*start, "--dry-run")
        assert planned["doors"] == [f"{site}-d1", f"{site}-d2"]
        shown = await house.run(*start, "--yes", "--wait", "1")
        assert (shown["doors"], shown["confirmed"]) == (2, 0)
        assert (await house.ask(here))["reason"] == "lockdown"
        await house.obey(here, "lock_down_door")
        told = await house.told(confirmed=1)
        assert [one["door_id"] for one in told["unconfirmed"]] == [f"{site}-d2"]
        await away.send("device.events", away.message("announced"))
        await house.obey(away, "lock_down_door")
        await house.told(type="lockdown_confirmed")
        await house.run("release", shown["incident_id"], *GIVEN, "--yes", "--wait", "0")
        assert (await house.ask(here))["type"] == "access_granted"
        await asyncio.gather(*(house.obey(one, "lock_down_release_door") for one in (here, away)))
        await house.told(type="lockdown_released")
        assert await house.run("status", "--site", site) == []
        await workers.stop()


async def test_a_drill_with_commands_is_escalated_declared_effective_and_reported_as_a_drill(
    cluster: Cluster, workers: Workers, tmp_path: Path
) -> None:
    async with Wire(cluster.kafka, TOPICS) as wire:
        house = House(wire, cluster, f"{MARK}-b")
        await house.publish()
        await asyncio.gather(workers.start("decide"), workers.start("record"))
        hall, lab, site = house.hall, house.lab, house.site
        assert (await house.ask(hall))["type"] == "access_granted"
        drill = ("drill", f"{site}-lab", "--with-commands", "--level", "low", "--operator", "op-1")
        started = await house.run(*drill, "--yes", "--wait", "0")
        assert (started["drill"], started["drill_commands"], started["doors"]) == (True, True, 1)
        id_ = started["incident_id"]
        await house.obey(lab, "lock_down_door")
        assert await house.refused(lab) == ("lockdown", True)
        assert (await house.ask(hall))["type"] == "access_granted"
        larger = await house.run("escalate", id_, *GIVEN, "--level", "high", "--yes", "--wait", "0")
        assert (larger["zone_id"], larger["doors"]) == (f"{site}-hall", 2)
        assert await house.refused(hall) == ("lockdown", True)
        declared = await house.run("effective", id_, *GIVEN, "--yes")
        assert declared["effective_by"] == "op-1"
        assert [one["door_id"] for one in declared["unconfirmed"]] == [f"{site}-d1"]
        alone = {"access_point_id": f"{site}-d1-in", "factors": [house.card], "mode": "snapshot", "outcome": "granted"}
        await hall.send("access.backlog", hall.message("access_recorded", **alone))
        await house.obey(hall, "lock_down_door")
        await house.told(type="lockdown_confirmed", zone_id=f"{site}-hall")
        await wire.send(house.operator.signed("lockdown_release_requested", incident_id=id_))
        await asyncio.gather(*(house.obey(one, "lock_down_release_door") for one in (hall, lab)))
        last = await house.told(type="lockdown_released")
        page = tmp_path / "drill.html"
        await until(lambda: recorded(cluster.postgres, site), lambda found: found == (1, 1))
        told = await house.run("report", id_, "--html", str(page))
        assert [(one["access_point_id"], one["name"]) for one in told["refused"]] == [
            (f"{site}-d2-in", "Lin"), (f"{site}-d1-in", "Lin"),
        ]  # fmt: skip
        assert [one["access_point_id"] for one in told["let_in_offline"]] == [f"{site}-d1-in"]
        assert [one["cardholder_id"] for one in told["inside_at_start"]] == []
        assert [one["cardholder_id"] for one in told["inside_at_end"]] == [site]
        assert [(one["door_id"], one["first_confirmed_at"] is not None) for one in told["door_list"]] == [
            (f"{site}-d1", True), (f"{site}-d2", True),
        ]  # fmt: skip
        assert [one["type"] for one in told["steps"]][-1] == "lockdown_released"
        assert "This was a drill, with real commands and refusals." in page.read_text(encoding="utf-8")
        history = [(last["transition"],), (2, 1), (f"{site}-hall", True)]
        await until(lambda: asyncio.to_thread(history_of, cluster.clickhouse, site, id_), lambda one: one == history)
        await workers.stop()


async def recorded(dsn: str, site: str) -> tuple[int, int]:
    """How much PostgreSQL has of what controllers decided alone at a site, and of lockdowns that are over."""
    connection = await asyncpg.connect(dsn)
    try:
        alone = "select count(*) from decisions where site_id = $1 and timeliness = 'offline'"
        over = "select count(*) from incidents where site_id = $1 and state = 'released'"
        return await connection.fetchval(alone, site), await connection.fetchval(over, site)
    finally:
        await connection.close()


def history_of(url: str, site: str, incident_id: str) -> list[tuple[Any, ...]]:
    """What ClickHouse has: how many steps; refusals for practice, and who came in all the same; scope, and drill."""
    client = connect(url)
    try:
        refused = "select countIf(recorded_outcome = ''), countIf(recorded_outcome = 'granted') from decisions"
        queries = (
            f"select count() from incident_steps where incident_id = '{incident_id}'",
            f"{refused} where site_id = '{site}' and drill",
            f"select zone, is_drill from lockdown_times where incident_id = '{incident_id}'",
        )
        return [tuple(row) for query in queries for row in client.query(query).result_rows]
    finally:
        client.close()


async def until(ask: Callable[[], Any], wanted: Callable[[Any], bool], within_s: float = 20.0) -> Any:
    """What is answered once it is as wanted: the stores follow the topics."""
    deadline = time.monotonic() + within_s
    while not wanted(got := await ask()):
        assert time.monotonic() < deadline, got
        await asyncio.sleep(0.2)
    return got
