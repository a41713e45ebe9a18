"""A made-up world to load a broker with: sites with doors and people, and signed card requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schemas.access import AccessRequested
from schemas.base import Message
from schemas.envelope import event_headers, type_of
from schemas.factors import Card
from schemas.keys import DEVICE, administration_key, derive_key
from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.reference import ENTITIES, id_of
from schemas.rules import Policy, Schedule, SingleMethod, Window
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign
from schemas.vocabulary import Direction, FactorKind

MASTER = bytes(range(32))
PATIENCE_S = 86_400
"""A topic that was filled beforehand must still be decided as if its people stood at the doors now."""
_ADMINISTRATION = administration_key(MASTER)
_BY_MODEL = {entity.model: entity for entity in ENTITIES}
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Shape(NamedTuple):
    """How large the world is: per site, `devices` controllers with `doors` doors each, and `people`."""

    sites: int = 12
    devices: int = 10
    doors: int = 4
    people: int = 200


class Signed(NamedTuple):
    """A record ready to be produced."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def site_names(shape: Shape) -> list[str]:
    """Every site's id."""
    return [f"s{number}" for number in range(shape.sites)]


def references(shape: Shape) -> Iterator[tuple[str, str, Message]]:
    """Every reference record: its topic, its id and the record."""
    always = Window(days=_WEEK, start="00:00", end="24:00")
    shared: list[Message] = [
        Policy(policy_id="bench", methods=(SingleMethod(factor=FactorKind.CARD),), online_s=PATIENCE_S,
               device_rate_per_s=10**6, device_burst=10**6),
        Schedule(schedule_id="always", name="Always", windows=(always,)),
    ]  # fmt: skip
    for message in shared + [record for site in site_names(shape) for record in _site(site, shape)]:
        entity = _BY_MODEL[type(message)]
        yield entity.topic, id_of(entity, message), message


def _site(site: str, shape: Shape) -> list[Message]:
    records: list[Message] = [
        Site(site_id=site, name=site, time_zone="Europe/Berlin", policy_id="bench"),
        Zone(zone_id=site, site_id=site, kind="site", name=site),
        Zone(zone_id=f"{site}-out", site_id=site, parent_id=site, kind="outside", name="outside"),
        Zone(zone_id=f"{site}-in", site_id=site, parent_id=site, kind="building", name="inside"),
    ]
    for device in range(shape.devices):
        records.append(Device(device_id=f"{site}-c{device}", site_id=site))
        for door in range(shape.doors):
            door_id = f"{site}-c{device}-d{door}"
            records += [
                Door(door_id=door_id, site_id=site, device_id=f"{site}-c{device}", name=door_id, has_dps=False),
                AccessPoint(access_point_id=f"{door_id}-in", site_id=site, door_id=door_id, zone_from=f"{site}-out",
                            zone_to=f"{site}-in", direction=Direction.ENTRY),
            ]  # fmt: skip
    for person in range(shape.people):
        id_ = f"{site}-p{person}"
        records += [
            Cardholder(cardholder_id=id_, name=id_),
            Credential(credential_id=f"{id_}-card", kind=FactorKind.CARD, cardholder_id=id_, card_number=f"{id_}-n"),
            Permission(permission_id=f"{id_}-perm", site_id=site, cardholder_id=id_, zone_ids=(f"{site}-in",),
                       schedule_id="always"),
        ]  # fmt: skip
    return records


def signed_reference(topic: str, id_: str, message: Message) -> Signed:
    """A reference record as the administration publishes it."""
    key, value, now = id_.encode(), message.to_json(), datetime.now(UTC)
    end = (now + timedelta(minutes=10)).isoformat().encode()
    headers = [
        *event_headers(f"{topic}/{id_}", "/administration/bench", type_of(message), now.isoformat()),
        (NOT_AFTER_HEADER, end),
        (NONCE_HEADER, f"{topic}/{id_}".encode()),
    ]
    headers.append(sign(_ADMINISTRATION, 1, topic, key, value, headers))
    return Signed(topic, key, value, headers)


def requests(shape: Shape, count: int, *, boot: int, seed: int = 1) -> Iterator[Signed]:
    """Signed card requests of people who may pass, spread evenly over sites, devices and doors.

    `boot` has to rise from call to call where the broker is the same.
    """
    chance = random.Random(seed)  # noqa: S311 - load, not secrets
    keys = {d: derive_key(MASTER, DEVICE, d) for site in site_names(shape) for d in _devices(site, shape)}
    names = list(keys)
    sequences = dict.fromkeys(names, 0)
    topic = "access.requests"
    for number in range(count):
        device = names[number % len(names)]
        site = device.partition("-")[0]
        sequences[device] += 1
        now = datetime.now(UTC)
        message = AccessRequested(
            site_id=site,
            device_id=device,
            boot=boot,
            sequence=sequences[device],
            access_point_id=f"{device}-d{chance.randrange(shape.doors)}-in",
            occurred_at=now,
            factors=(Card(kind="card", card_number=f"{site}-p{chance.randrange(shape.people)}-n"),),
        )
        key, value = site.encode(), message.to_json()
        event_id = f"{device}/{boot}/{sequences[device]}"
        headers = list(event_headers(event_id, f"/devices/{device}", "access_requested", now.isoformat()))
        headers.append(sign(keys[device], 1, topic, key, value, headers))
        yield Signed(topic, key, value, headers)


def _devices(site: str, shape: Shape) -> list[str]:
    return [f"{site}-c{device}" for device in range(shape.devices)]
