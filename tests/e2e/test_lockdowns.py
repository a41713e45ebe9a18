"""A lockdown by the command line against the real system: one controller obeys, one was away (E2)."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.e2e.cluster import Cluster, Workers
from tests.e2e.outside import Administration, Controller, Wire

pytestmark = pytest.mark.kafka

SITE = f"locked{time.time_ns() % 10**9}"
CARD = {"kind": "card", "card_number": f"{SITE}-no"}
TOPICS = ("access.decisions", "device.commands", "incidents", "door.modes")


async def publish_world(wire: Wire, master: bytes) -> None:
    """A site of two doors, each with a controller of its own, and one person who may enter."""
    put = Administration(wire, master).put
    rights = [{"operator_id": "op-1", "rights": ["start_lockdown", "release_lockdown"]}]
    await put("policy", policy_id=SITE, methods=[{"kind": "single", "factor": "card"}], operators=rights)
    await put("cardholder", cardholder_id=SITE, name="Lin")
    await put("credential", credential_id=f"{SITE}-card", kind="card", cardholder_id=SITE, card_number=f"{SITE}-no")
    await put("site", site_id=SITE, name=SITE, time_zone="UTC", policy_id=SITE)
    await put("zone", zone_id=SITE, site_id=SITE, kind="site", name=SITE)
    await put("zone", zone_id=f"{SITE}-street", site_id=SITE, parent_id=SITE, kind="outside", name="street")
    for number in (1, 2):
        door = f"{SITE}-d{number}"
        await put("device", device_id=f"{SITE}-c{number}", site_id=SITE)
        await put("door", door_id=door, site_id=SITE, device_id=f"{SITE}-c{number}", name=door, has_dps=False)
        way = {"direction": "entry", "zone_from": f"{SITE}-street", "zone_to": SITE}
        await put("access-point", access_point_id=f"{door}-in", site_id=SITE, door_id=door, **way)
    await put("permission", permission_id=f"{SITE}-may", site_id=SITE, cardholder_id=SITE, zone_ids=[SITE])


async def test_a_site_is_locked_down_and_released_although_a_controller_was_away(
    cluster: Cluster, workers: Workers
) -> None:
    master = bytes.fromhex((cluster.folder / "master").read_text())
    async with Wire(cluster.kafka, TOPICS) as wire:
        await publish_world(wire, master)
        await workers.start("decide")
        here, away = (Controller(wire, master, SITE, f"{SITE}-c{n}", boot=int(time.time())) for n in (1, 2))

        async def obey(controller: Controller, type_: str) -> None:
            """Wait for a command, check whose it is, and confirm it."""
            record = await wire.wait(
                "device.commands", lambda m: m["device_id"] == controller.device and m["type"] == type_
            )
            assert controller.is_signed(record)
            done = controller.message("command_confirmed", command_id=json.loads(record.value)["command_id"])
            await controller.send("command.results", done)

        assert (await wire.about(await here.ask(f"{SITE}-d1-in", CARD)))["type"] == "access_granted"
        given = ("--operator", "op-1", "--reason", "intruder")
        start = ("lockdown", "start", SITE, *given, "--level", "extreme")
        planned = json.loads(await asyncio.to_thread(cluster.command, *start, "--dry-run", "--json"))
        assert planned["doors"] == [f"{SITE}-d1", f"{SITE}-d2"]
        shown = json.loads(await asyncio.to_thread(cluster.command, *start, "--yes", "--wait", "1", "--json"))
        assert (shown["doors"], shown["confirmed"]) == (2, 0)
        assert (await wire.about(await here.ask(f"{SITE}-d1-in", CARD)))["reason"] == "lockdown"
        await obey(here, "lock_down_door")
        (told,) = [json.loads((await wire.wait("incidents", lambda m: m["confirmed"] == 1)).value)]
        assert [one["door_id"] for one in told["unconfirmed"]] == [f"{SITE}-d2"]
        await away.send("device.events", away.message("announced"))
        await obey(away, "lock_down_door")
        await wire.wait("incidents", lambda m: m["type"] == "lockdown_confirmed" and m["site_id"] == SITE)
        release = ("lockdown", "release", shown["incident_id"], *given, "--yes", "--wait", "0", "--json")
        await asyncio.to_thread(cluster.command, *release)
        assert (await wire.about(await here.ask(f"{SITE}-d1-in", CARD)))["type"] == "access_granted"
        await asyncio.gather(*(obey(one, "lock_down_release_door") for one in (here, away)))
        await wire.wait("incidents", lambda m: m["type"] == "lockdown_released" and m["site_id"] == SITE)
        assert "no lockdown is in force" in await asyncio.to_thread(
            cluster.command, "lockdown", "status", "--site", SITE
        )
        await workers.stop()
