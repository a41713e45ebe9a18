"""What operators ask for at the command line, against the real system: of locks (A4), threats (A5) and repairs (D3)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.cluster import Cluster, workers_of
from tests.e2e.outside import Administration, Controller, Json, Wire, pin_secret, sealed

pytestmark = pytest.mark.kafka

MARK = f"guessed{time.time_ns() % 10**9}"
SITES = (f"{MARK}-a", f"{MARK}-b")
CARD = {"kind": "card", "card_number": f"{MARK}-no"}
RIGHT, WRONG = "830251", "830259"
TOPICS = ("access.decisions", "lockouts", "lockouts.global", "alerts", "device.states")
INCORRECT, LOCKED = "incorrect_authentication_factor", "credential_lockout"


async def publish_world(wire: Wire, master: bytes) -> None:
    """Two sites of two doors each, and one person who may enter both with card and PIN."""
    put = Administration(wire, master).put
    rights = [
        {"operator_id": "op-7", "rights": ["end_lockout", "set_threat_level", "repair_devices"]},
        {"operator_id": "op-9", "rights": ["unlock"]},
    ]
    methods = [{"kind": "all_required", "factors": ["card", "pin"]}]
    await put("policy", policy_id=MARK, methods=methods, operators=rights)
    await put("cardholder", cardholder_id=MARK, name="Lin")
    await put("credential", credential_id=f"{MARK}-card", kind="card", cardholder_id=MARK, card_number=f"{MARK}-no")
    await put("credential", credential_id=f"{MARK}-pin", kind="pin", cardholder_id=MARK)
    await put("secret", credential_id=f"{MARK}-pin", kind="pin", sealed=sealed(master, pin_secret(master, RIGHT)))
    for site in SITES:
        await put("site", site_id=site, name=site, time_zone="UTC", policy_id=MARK)
        await put("zone", zone_id=site, site_id=site, kind="site", name=site)
        await put("zone", zone_id=f"{site}-street", site_id=site, parent_id=site, kind="outside", name="street")
        await put("device", device_id=f"{site}-c", site_id=site)
        for door in (f"{site}-d1", f"{site}-d2"):
            await put("door", door_id=door, site_id=site, device_id=f"{site}-c", name=door, has_dps=False)
            way = {"direction": "entry", "zone_from": f"{site}-street", "zone_to": site}
            await put("access-point", access_point_id=f"{door}-in", site_id=site, door_id=door, **way)
        await put("permission", permission_id=f"{site}-may", site_id=site, cardholder_id=MARK, zone_ids=[site])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """The world is published, and a worker of each role decides and records it."""
    async with workers_of(cluster, tmp_path_factory.mktemp("workers")) as workers:
        async with Wire(cluster.kafka, TOPICS) as wire:
            await publish_world(wire, secret(cluster))
        await asyncio.gather(workers.start("decide"), workers.start("record"))
        yield cluster
        await workers.stop()


def secret(cluster: Cluster) -> bytes:
    return bytes.fromhex((cluster.folder / "master").read_text())


async def told(cluster: Cluster, *words: str, code: int = 0) -> str:
    """What a command says, on stderr where it is refused."""
    return await asyncio.to_thread(cluster.command, *words, code=code)


class Guesser:
    """Somebody with another's card, at any door of both sites."""

    def __init__(self, wire: Wire, master: bytes) -> None:
        self._wire, self._master = wire, master
        boot = int(time.time())
        self._controllers = {site: Controller(wire, master, site, f"{site}-c", boot=boot) for site in SITES}

    async def tries(self, site: str, door: int, *digits: str) -> list[Json]:
        """PINs one after the other without waiting; the decisions, in order."""
        sent = []
        for one in digits:
            pin = {"kind": "pin", "sealed": sealed(self._master, {"pin": one})}
            sent.append(await self._controllers[site].ask(f"{site}-d{door}-in", CARD, pin))
        return [await self._wire.about(one) for one in sent]


async def reason_of(guesser: Guesser, site: str, digits: str, door: int = 1) -> str | None:
    (decision,) = await guesser.tries(site, door, digits)
    reason: str | None = decision["reason"]
    return reason


@pytest.mark.branch("A4.03", "A4.05")
async def test_a_guesser_at_two_sites_is_locked_at_both_and_an_operator_ends_it(running: Cluster) -> None:
    cluster = running
    async with Wire(cluster.kafka, TOPICS) as wire:
        guesser = Guesser(wire, secret(cluster))
        first, second = SITES
        assert [await reason_of(guesser, site, WRONG) for site in (first, second)] == [INCORRECT] * 2
        # The third in all: from here on both sites know of it, as soon as it has travelled.
        assert await reason_of(guesser, first, WRONG, 2) == INCORRECT
        third = wire.messages("access.decisions", site_id=first)[-1]
        lock = await wire.wait("lockouts.global", lambda m: m["cardholder_id"] == MARK)
        assert json.loads(lock.value)["decision_id"] == third["decision_id"]
        assert dict(lock.headers)["doorstream-mac"]
        await until(lambda: reason_of(guesser, second, RIGHT), LOCKED)
        await wire.wait("alerts", lambda m: m["kind"] == "cardholder_lockout" and m["cardholder_id"] == MARK)
        await listed(cluster, [("cardholder", "everywhere")])
        end = ("lockouts", "end", MARK, "--operator", "op-7", "--reason", "identified at the desk")
        said = await told(cluster, *end, "--site", second)
        assert "no longer locked" in said
        assert await reason_of(guesser, second, RIGHT) is None
        await until(lambda: reason_of(guesser, first, RIGHT), None)
        # Within a site the order alone counts: nobody waits for anything.
        decisions = await guesser.tries(first, 1, WRONG, WRONG, WRONG, RIGHT, WRONG)
        assert [one["reason"] for one in decisions] == [INCORRECT] * 3 + [LOCKED] * 2
        started = await wire.wait("lockouts", lambda m: m["lockout_key"] == f"{first}/cardholder/{MARK}")
        assert json.loads(started.value)["decision_id"] == decisions[2]["decision_id"]
        for where in (cluster, replace(cluster, postgres="")):  # from the topics alone, too
            await listed(where, [("cardholder", "everywhere"), ("cardholder", "site"), ("credential", "site")])


async def test_a_threat_level_is_set_and_cleared_by_who_may_and_refused_to_others(running: Cluster) -> None:
    zone, asked = SITES[0], ("--site", SITES[0], "--reason", "a letter came")
    level = ("threats", "set", zone, "high", *asked, "--clearance", "3", "--for-s", "3600")
    refused = await told(running, *level, "--operator", "op-9", code=1)
    assert "refused (no_right): op-9 lacks the right" in refused
    assert await told(running, *level, "--operator", "op-7") == f"{zone} has the threat level high\n"
    assert await levels(running, zone) == [(zone, "high", "op-7")]
    clear = ("threats", "clear", zone, *asked, "--operator", "op-7")
    assert await told(running, *clear) == f"the threat to {zone} is cleared\n"
    assert await levels(running, zone) == []
    assert "refused (unknown_threat)" in await told(running, *clear, code=1)


async def levels(cluster: Cluster, site: str) -> list[tuple[str, str, str]]:
    """The threat levels that `threats list` shows of a site; a guesser may be under monitoring there, too."""
    found = json.loads(await told(cluster, "threats", "list", "--site", site, "--json"))
    return [(one["zone_id"], one["level"], one["operator_id"]) for one in found if one["type"] == "threat_level_set"]


async def test_a_repair_case_is_assigned_and_closed_by_who_may(running: Cluster) -> None:
    site = SITES[1]
    async with Wire(running.kafka, TOPICS) as wire:
        controller = Controller(wire, secret(running), site, f"{site}-c", boot=int(time.time()) + 1)
        await controller.send("device.events", controller.message("fault", code="lock_jammed", detail="door 1"))
        await wire.wait("device.states", lambda m: m["device_id"] == controller.device and m["event"] == "fault")
        deadline = time.monotonic() + 30
        while not (found := json.loads(await told(running, "devices", "repairs", "--site", site, "--json"))["repairs"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        (case,) = found
        assert (case["device_id"], case["cause"], case["state"]) == (controller.device, "fault/lock_jammed", "opened")
        assign = ("devices", "repair", "assign", case["case_id"], "--to", "fitter-2")
        assert "refused (no_right)" in await told(running, *assign, "--operator", "op-9", code=1)
        done = f"{case['case_id']}: assigned by op-7\n"
        assert await told(running, *assign, "--operator", "op-7") == done
        close = ("devices", "repair", "close", case["case_id"], "--operator", "op-7", "--result", "oiled")
        assert "refused (still_active)" in await told(running, *close, code=1)
        await controller.send("device.events", controller.message("fault_cleared", code="lock_jammed"))
        await wire.wait(
            "device.states", lambda m: m["device_id"] == controller.device and m["event"] == "fault_cleared"
        )
        assert await told(running, *close) == f"{case['case_id']}: closed by op-7\n"


async def until(ask: Any, wanted: str | None, within_s: float = 20.0) -> None:
    """Ask until it is answered so."""
    deadline = time.monotonic() + within_s
    while (got := await ask()) != wanted:
        assert time.monotonic() < deadline, got
        await asyncio.sleep(0.1)


async def listed(cluster: Cluster, wanted: list[tuple[str, str]], within_s: float = 30.0) -> None:
    """What `lockouts list` shows of this test's subjects, once it is recorded."""
    deadline = time.monotonic() + within_s
    while True:
        found = json.loads(await asyncio.to_thread(cluster.command, "lockouts", "list", "--json"))
        got = sorted((one["subject"], one["scope"]) for one in found if one["cardholder_id"] == MARK)
        if got == wanted:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.5)
