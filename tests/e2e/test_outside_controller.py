"""A stranger's controllers, operators and administration against the real system: what the contract promises, holds."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey, SealedBox

from tests.e2e.cluster import Cluster, free_port
from tests.e2e.outside import (
    Administration,
    Controller,
    Json,
    Operator,
    Sent,
    Wire,
    derived_key,
    pin_secret,
    sealed,
)
from tests.e2e.workers import WorkerProcess

TOPICS = (
    "access.decisions",
    "device.commands",
    "device.states",
    "duress.events",
    "duress.alerts",
    "alerts",
    "access.requests.dead",
    "door.events.dead",
)
NUMBERS = 1024
SITE = f"outside-{time.time_ns() % 10**9}"
OPEN = f"{SITE}-open"
DOOR, POINT, OUT, DEVICE = f"{SITE}-d01", f"{SITE}-d01-in", f"{SITE}-d01-out", f"{SITE}-c01"
CARD = {"kind": "card", "card_number": f"{SITE}-10000017"}
PIN, DURESS_PIN, WRONG_PIN = "830251", "830252", "830259"
_boots = itertools.count(int(time.time()))


@pytest.fixture(scope="module")
def master(cluster: Cluster) -> bytes:
    return bytes.fromhex((cluster.folder / "master").read_text())


@pytest.fixture(scope="module")
def worker(cluster: Cluster, master: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, publish_world(cluster, master)).result()
    folder: Path = tmp_path_factory.mktemp("outside")
    process = WorkerProcess("decide", cluster.environment, folder, free_port())
    try:
        process.wait_ready()
        yield process
        assert process.stop() == 0
    finally:
        if process.process.poll() is None:
            process.kill()


@pytest.fixture
async def wire(cluster: Cluster, worker: WorkerProcess) -> AsyncIterator[Wire]:
    assert worker.answers("readyz")
    async with Wire(cluster.kafka, TOPICS) as found:
        yield found


@pytest.fixture
def controller(wire: Wire, master: bytes) -> Controller:
    return Controller(wire, master, SITE, DEVICE, boot=next(_boots))


@pytest.fixture
def operator(wire: Wire, master: bytes) -> Operator:
    return Operator(wire, master, SITE, "op-7")


async def publish_world(cluster: Cluster, master: bytes) -> None:
    """Two small sites: one that wants everything signed, one that wants nothing signed."""
    async with Wire(cluster.kafka, ["alerts"]) as wire:
        put = Administration(wire, master).put
        rights = [
            {"operator_id": "op-7", "rights": ["unlock", "acknowledge_alerts"]},
            {"operator_id": "op-8", "rights": []},
        ]
        methods = [{"kind": "single", "factor": "card"}, {"kind": "all_required", "factors": ["card", "pin"]}]
        limits = {"device_rate_per_s": 5000, "device_burst": 20000, "online_s": 2, "grace_s": 5}
        await put("policy", policy_id=SITE, methods=methods, operators=rights, **limits)
        for site, extra in ((SITE, {}), (OPEN, {"message_authentication": "off"})):
            await put("site", site_id=site, name=site, time_zone="Asia/Shanghai", policy_id=SITE, **extra)
            await put("zone", zone_id=site, site_id=site, kind="site", name=site)
            await put("zone", zone_id=f"{site}-street", site_id=site, parent_id=site, kind="outside", name="street")
            await put("zone", zone_id=f"{site}-lobby", site_id=site, parent_id=site, kind="building", name="lobby")
            for number in ("c01", "c02"):
                await put("device", device_id=f"{site}-{number}", site_id=site)
            door = f"{site}-d01"
            await put("door", door_id=door, site_id=site, device_id=f"{site}-c01", name="main")
            ways = {"in": ("entry", "street", "lobby"), "out": ("egress", "lobby", "street")}
            for side, (direction, start, end) in ways.items():
                await put(
                    "access-point",
                    access_point_id=f"{door}-{side}",
                    site_id=site,
                    door_id=door,
                    direction=direction,
                    zone_from=f"{site}-{start}",
                    zone_to=f"{site}-{end}",
                )
            await put(
                "permission",
                permission_id=f"{site}-right",
                site_id=site,
                cardholder_id=SITE,
                zone_ids=[f"{site}-lobby"],
            )
        await put("cardholder", cardholder_id=SITE, name="Lin")
        await put(
            "credential", credential_id=f"{SITE}-card", kind="card", cardholder_id=SITE, card_number=CARD["card_number"]
        )
        await put("credential", credential_id=f"{SITE}-pin", kind="pin", cardholder_id=SITE)
        box = sealed(master, pin_secret(master, PIN, DURESS_PIN))
        await put("secret", credential_id=f"{SITE}-pin", kind="pin", sealed=box)


async def refusal(wire: Wire, **fields: Any) -> Json:
    """The first refusal with these fields."""
    record = await wire.wait("access.decisions", lambda m: all(m.get(name) == value for name, value in fields.items()))
    found: Json = json.loads(record.value)
    return found


async def answer(wire: Wire, request: Sent) -> Json:
    """What an operator's request is answered with; the latest, where there are several."""
    id_ = json.loads(request.value)["request_id"]
    before = len(wire.messages("access.decisions", request_id=id_))
    await wire.send(request)
    await wire.wait("access.decisions", lambda _: len(wire.messages("access.decisions", request_id=id_)) > before)
    return wire.messages("access.decisions", request_id=id_)[-1]


async def test_a_card_opens_its_door_with_one_signed_command(wire: Wire, controller: Controller) -> None:
    request = controller.message("access_requested", access_point_id=POINT, factors=[CARD], colour="unheard of")
    partition, _offset = await wire.place_of(controller.signed("access.requests", request, [("ce_id", b"mine")]))
    decision = await wire.about(request)
    command = await wire.wait(
        "device.commands", lambda m: m.get("decision_id") == decision["decision_id"] and m["type"] == "access_door"
    )
    assert decision["type"] == "access_granted"
    assert (decision["reason"], decision["failed_checks"], decision["direction"]) == (None, [], "entry")
    assert (decision["timeliness"], decision["occurred_at"]) == ("online", request["occurred_at"][:23] + "000+08:00")
    assert decision["journal"]["partition"] == partition
    assert (command.key, command.partition) == (DEVICE.encode(), partition)
    assert controller.is_signed(command)
    order = json.loads(command.value)
    assert order["request"] == {"boot": controller.boot, "sequence": 1}
    assert (order["door_id"], order["override"], order["access_time_s"]) == (DOOR, False, 5)
    headers = dict(command.headers)
    assert (headers["ce_type"], headers["ce_specversion"]) == (b"access_door", b"1.0")
    assert headers["ce_id"].decode() == order["command_id"]
    await wire.settle()
    assert [m["type"] for m in wire.messages("device.commands", device_id=DEVICE) if m["type"] != "probe"] == [
        "access_door"
    ]


async def test_a_sealed_pin_is_verified_and_seen_by_nobody(wire: Wire, controller: Controller, master: bytes) -> None:
    told = []
    for pin in (PIN, WRONG_PIN, DURESS_PIN):
        request = await controller.ask(POINT, CARD, {"kind": "pin", "sealed": sealed(master, {"pin": pin})})
        told.append(await wire.about(request))
    assert [(d["type"], d["reason"], d["method"]) for d in told] == [
        ("access_granted", None, "card+pin"),
        ("access_denied", "incorrect_authentication_factor", "card+pin"),
        ("access_granted", None, "card+pin"),
    ]
    assert told[1]["display"] == "try_again"
    await wire.wait("duress.alerts", lambda m: m["kind"] == "duress")
    assert not [m for m in wire.messages("alerts") if m["kind"] == "duress"]
    assert [m["decision_id"] for m in wire.messages("duress.events")] == [told[2]["decision_id"]]
    assert told[0].keys() == told[2].keys()
    assert "duress" not in json.dumps(told[2])
    assert not [
        r for r in wire.records if any(pin.encode() in (r.value or b"") for pin in (PIN, WRONG_PIN, DURESS_PIN))
    ]


async def test_an_alert_is_worked_by_whoever_may_and_closed_no_sooner_than_its_cause_is_gone(
    wire: Wire, controller: Controller, operator: Operator, master: bytes
) -> None:
    await wire.send(controller.signed("door.events", controller.message("door_forced_open", door_id=DOOR)))
    record = await wire.wait("alerts", lambda m: m["kind"] == "door_forced_open")
    alert = json.loads(record.value)
    assert (record.key, alert["state"], alert["door_id"]) == (alert["alert_id"].encode(), "unacknowledged", DOOR)
    assert (alert["notify"]["step"], alert["notify"]["channels"]) == (1, ["sms"])
    which = {"alert_id": alert["alert_id"]}
    stranger = Operator(wire, master, SITE, "op-8")
    assert (await answer(wire, stranger.signed("alert_acknowledged", **which)))["code"] == "no_right"
    assert (await answer(wire, operator.signed("alert_closed", **which, result="shut")))["code"] == "still_active"
    accepted = await answer(wire, operator.signed("alert_acknowledged", **which))
    assert (accepted["type"], accepted["alert_id"]) == ("operator_request_accepted", alert["alert_id"])
    await wire.send(controller.signed("door.events", controller.message("door_closed", door_id=DOOR)))
    await wire.wait("alerts", lambda m: m["type"] == "alert_resolved" and m["alert_id"] == alert["alert_id"])
    await answer(wire, operator.signed("alert_closed", **which, result="a guard shut it"))
    await wire.wait("alerts", lambda m: m["type"] == "alert_closed" and m["alert_id"] == alert["alert_id"])
    told = wire.messages("alerts", alert_id=alert["alert_id"])
    assert [m["type"] for m in told] == [
        "alert_raised", "alert_acknowledged", "alert_returned_to_normal", "alert_resolved", "alert_closed"
    ]  # fmt: skip
    assert [m["transition"] for m in told] == [1, 2, 3, 4, 5]
    assert (told[1]["acknowledged_by"], told[-1]["result"]) == ("op-7", "a guard shut it")


async def test_what_is_not_signed_by_its_sender_is_refused_and_alerted(
    wire: Wire, controller: Controller, master: bytes
) -> None:
    other = Controller(wire, master, SITE, f"{SITE}-c02", boot=controller.boot)
    forged = []
    for signer in (None, other):
        request = controller.message("access_requested", access_point_id=POINT, factors=[CARD])
        record = Sent("access.requests", SITE.encode(), json.dumps(request).encode(), [])
        await wire.send(record if signer is None else signer.signed("access.requests", request))
        forged.append(request)
    moved = controller.signed("device.events", controller.message("door_opened", door_id=DOOR))
    await wire.send(moved._replace(topic="door.events"))
    for request in forged:
        assert (await wire.about(request))["reason"] == "invalid_signature"
    assert (await refusal(wire, message_type="door_opened", device_id=DEVICE))["reason"] == "invalid_signature"
    await wire.wait("alerts", lambda m: m["kind"] == "invalid_signature" and m["device_id"] == DEVICE)
    assert not wire.messages("device.commands", type="access_door")


async def test_device_site_key_and_access_point_must_belong_together(wire: Wire, controller: Controller) -> None:
    elsewhere = controller.message("access_requested", access_point_id=f"{OPEN}-d01-in", factors=[CARD])
    await wire.send(controller.signed("access.requests", elsewhere))
    assert (await wire.about(elsewhere))["reason"] == "unknown_access_point"
    wrong_site = controller.message("access_requested", access_point_id=POINT, factors=[CARD], site_id=OPEN)
    await wire.send(controller.signed("access.requests", wrong_site, key=OPEN.encode()))
    assert (await wire.about(wrong_site))["reason"] == "unknown_access_point"
    assert not wire.messages("device.commands", type="access_door")


async def test_a_whole_window_may_come_in_any_order_and_again(wire: Wire, controller: Controller) -> None:
    messages = [
        controller.message("access_requested", access_point_id=POINT, factors=[CARD]) for _number in range(NUMBERS)
    ]
    records = [controller.signed("access.requests", message) for message in messages]
    await wire.send(*reversed(records), *records)
    end = controller.message("access_requested", access_point_id=POINT, factors=[CARD])
    await wire.send(controller.signed("access.requests", end))
    last = await wire.about(end, 60)
    await wire.wait("device.commands", lambda m: m.get("decision_id") == last["decision_id"])
    decided = wire.messages("access.decisions", type="access_granted", boot=controller.boot)
    assert sorted(d["sequence"] for d in decided) == list(range(1, NUMBERS + 2))
    assert not wire.messages("access.decisions", type="access_denied", boot=controller.boot)
    orders = [m["sequence"] for m in wire.messages("device.commands", type="access_door")]
    assert orders == sorted(set(orders))
    assert len(orders) == NUMBERS + 1


@pytest.mark.parametrize("change", [{"access_point_id": OUT}, {"boot": 1}, {"sequence": 1}])
async def test_a_used_number_a_lower_boot_and_a_number_below_the_window_are_replays(
    wire: Wire, controller: Controller, change: Json
) -> None:
    controller.sequence = NUMBERS + 1
    first = await controller.ask(POINT, CARD)
    assert (await wire.about(first))["type"] == "access_granted"
    await controller.send("access.requests", {**first, **change})
    record = await wire.wait("access.decisions", lambda m: m.get("reason") == "replayed_request")
    assert json.loads(record.value)["device_id"] == DEVICE
    assert len(wire.messages("device.commands", type="access_door")) == 1


async def test_a_swapped_controller_starts_afresh_under_its_own_key(wire: Wire, master: bytes) -> None:
    device, site = f"{SITE}-c02", f"{SITE}-d02"
    put = Administration(wire, master).put
    await put("device", device_id=device, site_id=SITE, key_version=2)
    old = Controller(wire, master, SITE, device, boot=next(_boots))
    new = Controller(wire, master, SITE, device, boot=1, version=2)
    await put("door", door_id=site, site_id=SITE, device_id=device, name="side")
    lobby, street = f"{SITE}-lobby", f"{SITE}-street"
    await put(
        "access-point", access_point_id=f"{site}-in", site_id=SITE, door_id=site, direction="entry", zone_from=street,
        zone_to=lobby,
    )  # fmt: skip
    await asyncio.sleep(1)
    assert (await wire.about(await old.ask(f"{site}-in", CARD)))["reason"] == "invalid_signature"
    assert (await wire.about(await new.ask(f"{site}-in", CARD)))["type"] == "access_granted"
    command = await wire.wait("device.commands", lambda m: m["type"] == "access_door" and m["device_id"] == device)
    assert new.is_signed(command)
    assert not old.is_signed(command)


async def test_what_a_controller_decided_alone_is_judged_and_opens_nothing(wire: Wire, controller: Controller) -> None:
    fields = {"access_point_id": POINT, "factors": [CARD], "mode": "snapshot", "snapshot_version": "7"}
    for number, outcome in ((5, "denied"), (9, "granted"), (6, "granted")):
        message = controller.message("access_recorded", **fields, outcome=outcome, reason=None, sequence=number)
        await controller.send("access.backlog", message)
    live = await controller.ask(POINT, CARD)
    assert (await wire.about(live))["timeliness"] == "online"
    await wire.wait("access.decisions", lambda m: m.get("sequence") == 6 and m["type"] == "access_denied")
    told = [m for m in wire.messages("access.decisions", boot=controller.boot) if m["timeliness"] == "offline"]
    assert [(m["sequence"], m["type"], m["reason"], m["difference"]) for m in told] == [
        (5, "access_granted", None, True),
        (9, "access_granted", None, False),
        (6, "access_denied", "replayed_request", True),
    ]
    await wire.settle(0.5)
    orders = wire.messages("device.commands", type="access_door")
    assert [order["request"]["sequence"] for order in orders] == [live["sequence"]]


async def test_an_operator_unlocks_once_with_a_right_in_time_and_a_new_number(
    wire: Wire, operator: Operator, master: bytes
) -> None:
    asked = operator.signed("door_unlock_requested", door_id=DOOR, nonce="drawn once")
    accepted = await answer(wire, asked)
    command = await wire.wait("device.commands", lambda m: m["command_id"] == accepted["command_id"])
    order = json.loads(command.value)
    assert (order["request"], order["operator_request_id"]) == (None, accepted["request_id"])
    assert order["not_after"] > order["issued_at"]
    weaker, stranger = (Operator(wire, master, SITE, name) for name in ("op-8", "op-9"))
    refused = {
        "repeated": [asked, operator.signed("door_unlock_requested", door_id=DOOR, nonce="drawn once")],
        "expired": [operator.signed("door_unlock_requested", door_id=DOOR, valid_s=-1)],
        "no_right": [weaker.signed("door_unlock_requested", door_id=DOOR)],
        "unknown_operator": [stranger.signed("door_unlock_requested", door_id=DOOR)],
        "unknown_door": [operator.signed("door_unlock_requested", door_id=f"{OPEN}-d01")],
        "invalid_signature": [weaker.signed("door_unlock_requested", door_id=DOOR, operator_id="op-7")],
    }
    for code, requests in refused.items():
        for request in requests:
            told = await answer(wire, request)
            assert (told["type"], told["code"]) == ("operator_request_refused", code)
    await wire.wait("alerts", lambda m: m["kind"] == "invalid_signature" and "op-7" in m["summary"])
    assert len(wire.messages("device.commands", type="access_door")) == 1


async def test_a_dead_letter_keeps_the_original_and_seals_what_may_be_secret(wire: Wire, master: bytes) -> None:
    broken = json.dumps({"type": "access_requested", "factors": [{"kind": "pin", "pin": PIN}]}).encode()
    plain = b'{"type": "door_opened", "door_id": 7}'
    headers = [("x-mine", b"\xff\x00")]
    secret_at = await wire.place_of(Sent("access.requests", SITE.encode(), broken, headers))
    plain_at = await wire.place_of(Sent("door.events", SITE.encode(), plain, headers))
    found = {}
    for topic, (partition, offset) in (("access.requests", secret_at), ("door.events", plain_at)):
        deadline = time.monotonic() + 20
        wanted = {"topic": topic, "partition": str(partition), "offset": str(offset)}
        while topic not in found:
            assert time.monotonic() < deadline
            await wire.poll()
            for record in wire.records:
                told = {name: value for name, value in record.headers if name.startswith("__connect.errors.")}
                if all(told.get(f"__connect.errors.{n}") == v.encode() for n, v in wanted.items()):
                    found[topic] = record
    dead = found["door.events"]
    assert (dead.topic, dead.key, dead.value) == ("door.events.dead", SITE.encode(), plain)
    assert dict(dead.headers)["x-mine"] == b"\xff\x00"
    assert b"door_id" in dict(dead.headers)["__connect.errors.exception.message"]
    boxed = found["access.requests"]
    assert PIN.encode() not in boxed.value + b"".join(value for _name, value in boxed.headers)
    opener = SealedBox(PrivateKey(derived_key(master, "sealing", "decide")))
    assert opener.decrypt(base64.b64decode(boxed.value)) == broken


async def test_the_older_a_request_the_less_it_may_do(
    wire: Wire, controller: Controller, worker: WorkerProcess
) -> None:
    worker.pause()
    try:
        late = await controller.ask(POINT, CARD)
        await asyncio.sleep(3)
        grace = await controller.ask(POINT, CARD)
        await asyncio.sleep(2.5)
    finally:
        worker.resume()
    online = await controller.ask(OUT, CARD)
    told = [await wire.about(request) for request in (late, grace, online)]
    assert [(d["type"], d["timeliness"], d["actuated"]) for d in told] == [
        ("access_granted", "late", False),
        ("access_granted", "grace", True),
        ("access_granted", "online", True),
    ]
    await wire.settle(0.5)
    orders = wire.messages("device.commands", type="access_door")
    assert late["sequence"] not in [order["request"]["sequence"] for order in orders]


async def test_a_site_without_signatures_takes_plain_json_from_the_console(wire: Wire) -> None:
    request = {
        "type": "access_requested",
        "site_id": OPEN,
        "device_id": f"{OPEN}-c01",
        "boot": next(_boots),
        "sequence": 1042,
        "access_point_id": f"{OPEN}-d01-in",
        "occurred_at": "2026-03-02T08:59:58.120+08:00",
        "factors": [CARD],
    }
    await wire.send(Sent("access.requests", OPEN.encode(), json.dumps(request).encode(), []))
    assert (await wire.about(request))["type"] == "access_granted"
    await wire.wait("device.commands", lambda m: m["type"] == "access_door" and m["site_id"] == OPEN)


@pytest.mark.branch("M1.01", "M1.02", "M1.03", "M1.05", "M1.10")
async def test_a_controller_is_probed_and_told_online_offline_and_online_again(wire: Wire, master: bytes) -> None:
    site = f"{SITE}-watched"
    monitoring = {"heartbeat_s": 1, "offline_after_s": 15, "probe_every_s": 2}
    put = Administration(wire, master).put
    methods = [{"kind": "single", "factor": "card"}]
    await put("policy", policy_id=site, methods=methods, operators=[], monitoring=monitoring)
    await put("site", site_id=site, name=site, time_zone="Asia/Shanghai", policy_id=site)
    await put("device", device_id=f"{site}-c01", site_id=site)
    controller = Controller(wire, master, site, f"{site}-c01", boot=next(_boots))
    told = {"device_id": controller.device}

    async def beat(**fields: Any) -> None:
        await controller.send("device.events", controller.message("heartbeat", **fields))

    def is_told(event: str, times: int = 1) -> bool:
        return len(wire.messages("device.states", event=event, **told)) >= times

    while not is_told("controller_online"):  # the worker may not know the device yet
        await beat()
        await wire.settle(0.5)
    await wire.wait("device.commands", lambda m: m["type"] == "probe" and m["device_id"] == controller.device)
    probe = next(r for r in wire.records if r.key == controller.device.encode() and b'"probe"' in (r.value or b""))
    assert controller.is_signed(probe)
    while not is_told("probe_answered"):
        latest = wire.messages("device.commands", type="probe", **told)[-1]
        await beat(probe_id=latest["command_id"], faults=[{"code": "reader_lost", "detail": "reader 1"}])
        await wire.settle(0.5)
    assert wire.messages("device.states", **told)[-1]["faults"][0]["code"] == "reader_lost"
    stranger = Controller(wire, master, site, controller.device, version=2, boot=controller.boot + 1)
    await wire.wait(
        "device.states", lambda m: m["event"] == "controller_offline" and m["device_id"] == told["device_id"], 90
    )
    await stranger.send("device.events", stranger.message("heartbeat"))
    await wire.settle()
    assert not is_told("controller_online", 2)
    await beat()
    await wire.wait("device.states", lambda _: is_told("controller_online", 2))
    assert wire.messages("device.states", **told)[-1]["connection"] == "online"
