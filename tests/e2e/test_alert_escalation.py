"""Escalation on the real machine: workers are killed, and every step is demanded once, in order, and not too soon."""

from __future__ import annotations

import itertools
import json
import time
from datetime import datetime

import pytest

from tests.e2e.cluster import Cluster, Workers
from tests.e2e.outside import Administration, Controller, Json, Wire

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

SITE = f"alarmed-{time.time_ns() % 10**9}"
WITHIN_S = 10
STEPS = [(1, "medium"), (2, "high"), (3, "critical"), (4, "critical")]


def levels() -> list[dict[str, object]]:
    """Ten seconds for everything; a critical alert is told twice."""
    return [
        {
            "severity": severity,
            "acknowledge_within_s": WITHIN_S,
            "repeats": int(severity == "critical"),
            "channels": ["webhook"],
            "recipients": ["somebody"],
        }
        for severity in ("medium", "high", "critical")
    ]


async def publish_site(put: Administration) -> None:
    """A site with one door, whose alerts have not long."""
    methods = [{"kind": "single", "factor": "card"}]
    kinds = [{"kind": "door_forced_open", "severity": "medium"}]
    await put.put("policy", policy_id=SITE, methods=methods, alerts={"levels": levels(), "kinds": kinds})
    await put.put("site", site_id=SITE, name=SITE, time_zone="Europe/Berlin", policy_id=SITE)
    await put.put("zone", zone_id=SITE, site_id=SITE, kind="site", name=SITE)
    await put.put("device", device_id=f"{SITE}-c01", site_id=SITE)
    await put.put("door", door_id=f"{SITE}-d01", site_id=SITE, device_id=f"{SITE}-c01", name="main")


@pytest.mark.branch("M3.08", "M3.09")
async def test_killed_workers_neither_lose_nor_double_an_escalation(cluster: Cluster, workers: Workers) -> None:
    master = bytes.fromhex((cluster.folder / "master").read_text())
    async with Wire(cluster.kafka, ["alerts"]) as wire:
        await publish_site(Administration(wire, master))
        worker = await workers.start("decide")
        controller = Controller(wire, master, SITE, f"{SITE}-c01", boot=1)
        event = controller.message("door_forced_open", door_id=f"{SITE}-d01")
        await wire.send(controller.signed("door.events", event))
        await wire.wait("alerts", lambda m: m["site_id"] == SITE and m["type"] == "alert_raised")
        for _ in range(2):
            worker.kill()
            worker = await workers.start("decide")
        last = STEPS[-1][0]
        mine = lambda m: m["site_id"] == SITE and (m["notify"] or {}).get("step") == last  # noqa: E731 - one use
        await wire.wait("alerts", mine, within_s=150)
        await wire.settle(WITHIN_S + 3)
        found = demands(wire)
        await workers.stop()
    assert [(m["notify"]["step"], m["severity"]) for m in found] == STEPS
    moments = [datetime.fromisoformat(m["updated_at"]) for m in found]
    assert all((b - a).total_seconds() >= WITHIN_S for a, b in itertools.pairwise(moments))


def demands(wire: Wire) -> list[Json]:
    """What wants somebody to be told of the door, as a reader with marks sees it (its controller falls silent, too)."""
    seen: set[bytes | None] = set()
    found = []
    for record in wire.records:
        message = json.loads(record.value or b"null")
        if message["site_id"] == SITE and message["kind"] == "door_forced_open" and message["notify"]:
            position = dict(record.headers).get("doorstream-position")
            if position not in seen:
                found.append(message)
            seen.add(position)
    return found
