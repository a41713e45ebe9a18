"""What one worker spends on devices that live: CPU for each heartbeat, and what is kept of each device.

In memory, without a broker: what reading costs is the same for every message (`throughput`). A heartbeat is read by the
site's processor, too, for the doors that it tells of.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

from bench.controllers import WELL, Controllers
from bench.world import MASTER
from schemas.base import Message
from schemas.devices import Heartbeat
from schemas.places import Device, Site
from schemas.reference import ENTITIES, id_of
from schemas.rules import Policy, SingleMethod
from schemas.vocabulary import FactorKind
from streams.core import watched
from streams.core.devices import DevicesProcessor
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions

SITE = "bench-heartbeats"
EVENTS = "device.events"
EVERY_S = 15
_ENTITIES = {entity.model: entity for entity in ENTITIES}


class Heartbeats(NamedTuple):
    """CPU microseconds for a heartbeat of a site with so many devices, journal and checkpoints included.

    `core_share`: of one core, where each device sends one every 15 s. `kept_bytes`: of one device, as in the state log.
    """

    devices: int
    heartbeats: int
    cpu_us: float
    core_share: float
    kept_bytes: float
    probes: int
    told: int


def heartbeats(devices: int, rounds: int = 4) -> Heartbeats:
    """Let so many devices send heartbeats for so many rounds of 15 s; all arrive spread over the round."""
    ids = [f"{SITE}-c{number:05}" for number in range(devices)]
    controllers = Controllers(SITE)
    with Harness(DevicesProcessor(MASTER), options=MachineOptions(session_timeout_s=1e9), start=False) as harness:
        _load(harness, ids)
        harness.start()
        spent_s = 0.0
        for turn in range(rounds + 1):
            for second in range(EVERY_S):
                for id_ in ids[second::EVERY_S]:
                    _publish(harness, controllers, id_)
                started_s = time.process_time()
                harness.advance(1.0, 1.0)
                # The first round meets each device for the first time.
                spent_s += time.process_time() - started_s if turn else 0.0
        (slot,) = harness.worker.machine._slots.values()  # noqa: SLF001 - the engine tells nobody what it keeps
        assert slot.partition is not None
        store = slot.partition.store
        kept = sum(len(watched.encode(store.get(watched.watched_key(id_)))) for id_ in ids)
        cpu_us = spent_s * 1e6 / (devices * rounds)
        probes, told = len(harness.outputs("device.commands")), len(harness.outputs("device.states"))
        share = cpu_us * 1e-6 * devices / EVERY_S
        return Heartbeats(devices, devices * rounds, cpu_us, share, kept / devices, probes, told)


def _load(harness: Harness, ids: list[str]) -> None:
    methods = (SingleMethod(factor=FactorKind.CARD),)
    site = Site(site_id=SITE, name=SITE, time_zone="Europe/Berlin", policy_id=SITE)
    records: list[Message] = [site, Policy(policy_id=SITE, methods=methods)]
    for record in [*records, *(Device(device_id=id_, site_id=SITE) for id_ in ids)]:
        entity = _ENTITIES[type(record)]
        harness.publish(entity.topic, id_of(entity, record), record.to_json())


def _publish(harness: Harness, controllers: Controllers, device_id: str) -> None:
    at = datetime.fromtimestamp(harness.clock.now_ms() / 1000, UTC)
    _, value, headers = controllers.say(Heartbeat, EVENTS, device_id, occurred_at=at, **WELL)
    harness.publish(EVENTS, SITE, value, tuple(headers))
