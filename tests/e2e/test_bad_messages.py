"""Bad input: every message ends as a dead letter or a recorded refusal, and the good ones between are decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from schemas.base import Message
from schemas.ids import derive, request_id
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.rules import Policy, SingleMethod
from schemas.vocabulary import Direction, FactorKind
from tests.e2e.bad_messages import DEAD, JUMPY, POISONED, Bad, Numbers, bad_messages
from tests.e2e.cluster import Cluster, Workers, partition_of_site, reference
from tests.e2e.controllers import Controllers, Name, controllers_of
from tests.e2e.evidence import written

pytestmark = pytest.mark.kafka

Place = tuple[str, int, int]
"""Topic, partition and offset."""
AT_LEAST = 200
NUMBERS_FROM = 500
"""The bad messages' numbers begin above those of the good ones between them, within the window."""


@pytest.mark.branch("A2.01")
async def test_bad_messages_end_with_a_reason_and_hold_up_nobody(cluster: Cluster, workers: Workers) -> None:
    await cluster.publish_references(map(reference, poisoned_site()))
    await workers.start("decide", {"DOORSTREAM_POSTGRES": ""})
    async with controllers_of(cluster) as controllers:
        known = await first_request(controllers)
        await jump_ahead(controllers)
        good: list[Name] = []
        sent: dict[Place, Bad] = {}
        for bad in bad_messages(Numbers(controllers.boot, NUMBERS_FROM), known):
            sent[await publish(controllers, bad)] = bad
            good.append(await controllers.ask("s0-c0-d0-in", "s0-p0-n"))
        assert len({bad.name for bad in sent.values()}) == len(sent) >= AT_LEAST
        await controllers.wait_decided(good)
        await controllers.wait_settled()
        for name in good:
            assert await outcome_of(controllers, name) == ["access_granted"]
        dead = await dead_letters(cluster, controllers.since_ms)
        refused = await refusals(cluster, controllers.since_ms)
        wrong = {
            bad.name: fate for place, bad in sent.items() if (fate := fate_of(place, bad, dead, refused)) != bad.fate
        }
        assert wrong == {}
        assert_kept(sent, dead)
        assert sent.keys() >= dead.keys(), "a good message died"
    await workers.stop()


async def outcome_of(controllers: Controllers, name: Name) -> list[str]:
    """The types of all decisions about a request's number."""
    return [message["type"] for message in controllers.decided[name].values()]


async def first_request(controllers: Controllers) -> tuple[dict[str, Any], bytes]:
    """The fields and bytes of a good request that was decided."""
    message = controllers.request("s0-c0-d0-in", "s0-p2-n")
    record = controllers.signed(message)
    await controllers.send(record)
    await controllers.wait_decided([(message.device_id, message.boot, message.sequence)])
    return json.loads(record.value), record.value


async def jump_ahead(controllers: Controllers) -> None:
    """A controller's number leaves the window of 1,024 far behind."""
    asked = controllers.request(f"{JUMPY}-d0-in", "s0-p3-n")
    message = asked.model_copy(update={"sequence": 5000})
    await controllers.send(controllers.signed(message))
    await controllers.wait_decided([(message.device_id, message.boot, message.sequence)])


async def publish(controllers: Controllers, bad: Bad) -> Place:
    """Send a bad message as it is; gives where it lies."""
    at = partition_of_site(bad.partition_of)
    done = await (
        await controllers.producer.send(bad.topic, bad.value, key=bad.key, partition=at, headers=bad.headers or [])
    )
    return bad.topic, done.partition, done.offset


async def dead_letters(cluster: Cluster, since_ms: int) -> dict[Place, ConsumerRecord]:
    """Dead letters by the place of the original; each must tell why and at which step."""
    found: dict[Place, ConsumerRecord] = {}
    topics = [f"{topic}.dead" for topic in ("access.requests", "access.backlog", "door.events", "device.events",
                                            "command.results", "operator.requests")]  # fmt: skip
    async for record in cluster.read(*topics):
        if record.timestamp < since_ms:
            continue
        headers = {name: data.decode() for name, data in record.headers if name.startswith("__connect.errors.")}
        told = {name.removeprefix("__connect.errors."): text for name, text in headers.items()}
        place = (told["topic"], int(told["partition"]), int(told["offset"]))
        assert told["stage"] in ("decode", "decide")
        assert told["exception.message"]
        assert record.topic == f"{place[0]}.dead"
        assert record.partition == place[1]
        assert place not in found
        found[place] = record
    return found


async def refusals(cluster: Cluster, since_ms: int) -> dict[Any, dict[str, Any]]:
    """Denials and refusals: by id (made of the place), by place, or by the request where one was evaluated."""
    found: dict[Any, dict[str, Any]] = {}
    for message in (await written(cluster, "access.decisions", since_ms)).messages:
        if message["type"] == "access_denied":
            found[message["decision_id"]] = message
            name = (message["device_id"], message["boot"], message["sequence"])
            if message["decision_id"] == derive("decision", "access_requested", request_id(*name)):
                found[name] = message
        elif message["type"] == "message_refused":
            found[message["topic"], message["partition"], message["offset"]] = message
        elif message["type"] == "operator_request_refused":
            found[message["request_id"]] = message
    return found


def fate_of(place: Place, bad: Bad, dead: dict[Place, ConsumerRecord], refused: dict[Any, dict[str, Any]]) -> str:
    """What became of a message: dead, or the reason of its refusal."""
    by_place = refused.get(derive("refusal", *place)) or refused.get(place)
    if by_place is None and place in dead:
        return DEAD
    fields = json.loads(bad.value or b"")
    name = (fields.get("device_id"), fields.get("boot"), fields.get("sequence"))
    found = by_place or refused.get(name) or refused.get(fields.get("request_id"), {})
    return str(found.get("reason") or found.get("code") or "nothing")


def assert_kept(sent: dict[Place, Bad], dead: dict[Place, ConsumerRecord]) -> None:
    """A dead letter has the original, or says that it was sealed or cut; no PIN is in the open."""
    for place, record in dead.items():
        names = {name for name, _ in record.headers}
        if not names & {"doorstream-sealed", "doorstream-cut"}:
            assert record.value == sent[place].value
        assert record.key == sent[place].key
        assert b"8302" not in (record.value or b"")


def poisoned_site() -> Iterator[Message]:
    """A site whose policy, written by something else than `load`, has a number that no decision could use."""
    yield Policy.model_construct(
        policy_id=POISONED, methods=(SingleMethod(factor=FactorKind.CARD),), device_burst=10**400
    )
    yield Site(site_id=POISONED, name=POISONED, time_zone="Europe/Berlin", policy_id=POISONED)
    yield Zone(zone_id=POISONED, site_id=POISONED, kind="site", name=POISONED)
    yield Device(device_id=f"{POISONED}-c0", site_id=POISONED)
    door = f"{POISONED}-c0-d0"
    yield Door(door_id=door, site_id=POISONED, device_id=f"{POISONED}-c0", name=door)
    yield AccessPoint(
        access_point_id=f"{door}-in",
        site_id=POISONED,
        door_id=door,
        zone_from=POISONED,
        zone_to=POISONED,
        direction=Direction.ENTRY,
    )
