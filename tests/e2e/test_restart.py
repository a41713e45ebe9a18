"""Workers that are stopped and started: nothing is lost, nothing is sent twice, and what was decided is remembered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

import pytest

from schemas.base import Message
from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, Device, Door, Passback, Site, Zone
from schemas.vocabulary import Direction, Enforcement, FactorKind
from tests.e2e.cluster import SHAPE, Cluster, Workers, reference
from tests.e2e.controllers import Controllers, controllers_of
from tests.e2e.evidence import assert_decided_once, written
from tests.e2e.workers import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]
log = logging.getLogger(__name__)

RATE = 200
STOP_WITHIN_S = 10.0
SITE = "apb"
"""A site with anti-passback."""


@pytest.mark.branch("A3.01", "A3.03")
async def test_a_rolling_restart_keeps_every_door_opening(cluster: Cluster, workers: Workers) -> None:
    first, second = workers.launch("decide"), workers.launch("decide")
    await asyncio.gather(asyncio.to_thread(first.wait_ready), asyncio.to_thread(second.wait_ready))
    async with controllers_of(cluster) as controllers:
        load = asyncio.create_task(controllers.ask_steadily(SHAPE, RATE, 15))
        await asyncio.sleep(2)
        for old in (first, second):
            began_s = time.monotonic()
            assert await asyncio.to_thread(old.stop, STOP_WITHIN_S) == 0
            stopped_s = time.monotonic()
            await workers.start("decide")
            await asyncio.sleep(1)
            silence = controllers.longest_silence_s(began_s, time.monotonic())
            log.info("stopped in %.2f s, without decisions meanwhile: %s", stopped_s - began_s, silence)
        await load
        await controllers.wait_decided()
        decisions = await assert_decided_once(cluster, controllers)
    assert {decision["type"] for decision in decisions.values()} == {"access_granted"}
    assert set(controllers.opened) == set(controllers.sent), "a request waited longer than its controller does"
    # A stop ends with a checkpoint: whoever goes on has nothing to send again.
    assert (await written(cluster, "access.decisions", controllers.since_ms)).repeats == 0
    await workers.stop()


def stop(worker: WorkerProcess) -> None:
    assert worker.stop(STOP_WITHIN_S) == 0


@pytest.mark.branch("A2.12")
@pytest.mark.parametrize("end", [stop, WorkerProcess.kill], ids=["stopped", "killed"])
async def test_a_cold_start_remembers_who_is_inside_and_what_is_used_up(
    cluster: Cluster, workers: Workers, end: Callable[[WorkerProcess], None]
) -> None:
    worker = await workers.start("decide")
    async with controllers_of(cluster) as controllers:
        inside, once = f"inside-{controllers.boot}", f"once-{controllers.boot}"
        await cluster.publish_references(map(reference, strict_site(inside, once)))
        first = controllers.request(f"{SITE}-c0-d0-in", inside)
        name = (first.device_id, first.boot, first.sequence)
        # The worker may not have read the references yet: they travel on topics of their own.
        await until_granted(controllers, once)
        await controllers.send(controllers.signed(first))
        assert await controllers.outcome(name) == ("access_granted", None)
        await asyncio.to_thread(end, worker)
        # Queued while nobody decides: what the past forbids, and the very same message.
        passback = await controllers.ask(f"{SITE}-c0-d0-in", inside)
        used_up = await controllers.ask(f"{SITE}-c0-d1-in", once)
        await controllers.send(controllers.signed(first))
        await workers.start("decide")
        assert await controllers.outcome(passback) == ("access_denied", "passback")
        assert await controllers.outcome(used_up) == ("access_denied", "max_uses")
        assert await controllers.outcome(name) == ("access_granted", None)
    await workers.stop()


def strict_site(inside: str, once: str) -> Iterator[Message]:
    """One zone where nobody comes in twice, one without such a rule; somebody for each, the latter only once."""
    yield Site(site_id=SITE, name="strict", time_zone="Europe/Berlin", policy_id="bench")
    yield Zone(zone_id=SITE, site_id=SITE, kind="site", name="strict")
    yield Zone(zone_id=f"{SITE}-out", site_id=SITE, parent_id=SITE, kind="outside", name="outside")
    yield Device(device_id=f"{SITE}-c0", site_id=SITE)
    for number, enforcement in enumerate((Enforcement.HARD, Enforcement.OFF)):
        zone, door = f"{SITE}-{number}", f"{SITE}-c0-d{number}"
        passback = Passback(enforcement=enforcement)
        yield Zone(zone_id=zone, site_id=SITE, parent_id=SITE, kind="area", name=zone, passback=passback)
        yield Door(door_id=door, site_id=SITE, device_id=f"{SITE}-c0", name=door, has_dps=False)
        yield AccessPoint(
            access_point_id=f"{door}-in",
            site_id=SITE,
            door_id=door,
            zone_from=f"{SITE}-out",
            zone_to=zone,
            direction=Direction.ENTRY,
        )
    for card, kind in ((inside, "permanent"), (once, "single_use")):
        yield Cardholder(cardholder_id=card, name=card)
        yield Credential(credential_id=card, kind=FactorKind.CARD, cardholder_id=card, card_number=card)
        zones = (f"{SITE}-0", f"{SITE}-1")
        yield Permission(permission_id=card, site_id=SITE, cardholder_id=card, zone_ids=zones, kind=kind)


async def until_granted(controllers: Controllers, card_number: str) -> None:
    """Ask at the second door until the person is known and may pass."""
    async with asyncio.timeout(20):
        while True:
            name = await controllers.ask(f"{SITE}-c0-d1-in", card_number)
            if (await controllers.outcome(name))[0] == "access_granted":
                return
