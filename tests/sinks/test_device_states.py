"""How devices fare, in the stores (M1): each one's state as it stands, and all that was told of it."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from schemas.ids import derive
from schemas.record import Record
from tests.sinks.records import Topics, example
from tests.sinks.stores import ClickHouse, Postgres, Store

INCARNATION = 1_772_000_000
FAULT = {"code": "reader_lost", "detail": "reader 1", "since": "2026-03-02T09:00:00Z"}
WELL: dict[str, Any] = {"connection": "online", "faults": [], "power_failure": False, "condition": None}


def told(topics: Topics, number: int, event: str, device_id: str, minute: int, **fields: Any) -> Record:
    """One more state of a device."""
    at = f"2026-03-02T09:{minute:02}:00Z"
    given = {**WELL, "event_id": derive("e", number), "event": event, "device_id": device_id, "decided_at": at}
    return topics.add("device.states", example("device_state", **{**given, "since": at, **fields}))


def a_morning() -> list[Record]:
    """`c1` goes and comes, `c2` goes and breaks before, `c3` is well, `c4` is taken out of service."""
    topics = Topics()
    for number in (1, 2, 3, 4):
        told(topics, number, "controller_online", f"c{number}", 0)
    told(topics, 5, "controller_offline", "c1", 5, connection="offline", condition="connection")
    told(topics, 6, "fault", "c2", 6, faults=[FAULT], condition="fault", code="reader_lost")
    told(topics, 7, "controller_online", "c1", 9, condition="connection")
    told(topics, 8, "controller_offline", "c2", 10, connection="offline", faults=[FAULT], since="2026-03-02T09:09:00Z")
    told(topics, 9, "controller_offline", "c4", 11, connection="offline")
    told(topics, 10, "monitoring_ended", "c4", 12, connection="offline")
    return topics.records


def on_file() -> list[Record]:
    """The devices, one more that never spoke, and their doors."""
    topics = Topics()
    for number in range(1, 6):
        device = {"type": "device", "device_id": f"c{number}", "site_id": "hq", "name": f"Controller {number}"}
        device["status"] = "inactive" if number == 4 else "active"
        topics.add("reference.device", json.dumps(device).encode(), key=f"c{number}".encode())
        door = {"type": "door", "door_id": f"d{number}", "site_id": "hq", "device_id": f"c{number}", "name": "Door"}
        topics.add("reference.door", json.dumps(door).encode(), key=f"d{number}".encode())
    topics.add("door.events", example("door_held_open", door_id="d3", device_id="c3"))
    return topics.records


async def ask(store: Postgres, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(store.dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.mark.branch("M1.04", "M1.07", "M1.09")
async def test_the_last_state_of_each_device_is_stored_with_its_faults(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("the state as it stands is PostgreSQL's")
    morning = a_morning()
    for record in (*morning, morning[4], morning[0]):
        await store.sink.write(INCARNATION, [record])
    rows = await ask(store, "select device_id, connection, faults, event from device_states order by device_id")
    assert rows == [
        ("c1", "online", [], "controller_online"),
        ("c2", "offline", ["reader_lost"], "controller_offline"),
        ("c3", "online", [], "controller_online"),
        ("c4", "offline", [], "monitoring_ended"),
    ]
    assert (await store.tables())["commands"] == []


@pytest.mark.branch("M1.04")
async def test_the_views_show_devices_and_doors_that_need_somebody(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("views of the state as it stands are PostgreSQL's")
    await store.sink.write(INCARNATION, [*on_file(), *a_morning()])
    status = await ask(store, "select device_id, name, connection from device_status order by device_id")
    assert [row[0] for row in status] == ["c1", "c2", "c3", "c5"]
    assert status[-1] == ("c5", "Controller 5", "unknown")
    trouble = await ask(store, "select device_id, connection, troubles from device_trouble order by device_id")
    assert trouble == [("c2", "offline", ["reader_lost"])]
    doors = await ask(store, "select door_id, door_event, device_connection from door_trouble order by door_id")
    assert doors == [("d2", None, "offline"), ("d3", "door_held_open", None)]


async def test_all_that_was_told_is_kept_once_with_the_outages_that_follow(store: Store) -> None:
    if not isinstance(store, ClickHouse):
        pytest.skip("the history is ClickHouse's")
    morning = a_morning()
    await store.sink.write(INCARNATION, morning)
    await store.sink.write(INCARNATION, morning[3:])
    tables = await store.tables()
    assert len(tables["device_state_events"]) == len(morning)
    outages = [(row[1], row[2][11:16], row[3][11:16]) for row in tables["device_outages"]]
    assert sorted(outages) == [("c1", "09:05", "09:09"), ("c2", "09:09", ""), ("c4", "09:11", "")]


async def test_a_probe_is_no_command_that_waits_for_an_answer(store: Store) -> None:
    topics = Topics()
    topics.add("device.commands", example("probe"))
    await store.sink.write(INCARNATION, topics.records)
    assert store.skipped == []
    tables = await store.tables()
    assert len(tables["commands"]) == (0 if isinstance(store, Postgres) else 1)


@pytest.mark.branch("M1.06", "M1.09")
async def test_the_alert_of_a_device_is_stored(store: Store) -> None:
    topics = Topics()
    for number, kind in enumerate(("controller_offline", "fault")):
        fields = {"alert_id": derive("alert", number), "kind": kind, "device_id": "c1", "summary": f"c1: {kind}"}
        topics.add("alerts", example("alert_raised", **fields))
    await store.sink.write(INCARNATION, topics.records)
    table = (await store.tables())["alerts" if isinstance(store, Postgres) else "alert_transitions"]
    assert sorted(kind for row in table for kind in ("controller_offline", "fault") if kind in row) == [
        "controller_offline",
        "fault",
    ]


@pytest.mark.branch("A5.14")
async def test_the_doors_of_a_controller_that_is_cut_off_are_seen_in_offline_mode(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("views of the state as it stands are PostgreSQL's")
    topics = Topics()
    down: dict[str, Any] = {"connection": "offline", "network": "down", "offline_doors": ["d1"]}
    told(topics, 1, "offline_mode_started", "c1", 1, snapshot_version="1772413200000", **down)
    told(topics, 2, "offline_mode_started", "c2", 1, **down)
    told(topics, 3, "offline_mode_ended", "c2", 2)
    await store.sink.write(INCARNATION, [*on_file(), *topics.records])
    doors = await ask(store, "select door_id, device_id, connection, snapshot_version from offline_doors")
    assert doors == [("d1", "c1", "offline", "1772413200000")]


@pytest.mark.branch("A5.16")
async def test_what_was_decided_alone_against_the_rules_is_stored_with_its_cause(store: Store) -> None:
    topics = Topics()
    alone = {"outcome": "granted", "mode": "snapshot", "snapshot_version": "1772413200000"}
    for number, difference in enumerate((True, False)):
        recorded = {**alone, "cause": "rights_changed" if difference else None}
        ids = {"decision_id": derive("d", number), "request_id": derive("r", number), "timeliness": "offline"}
        given = {"recorded_outcome": "granted", "difference": difference, "recorded": recorded}
        topics.add("access.decisions", example("access_denied", **ids, **given))
    await store.sink.write(INCARNATION, topics.records)
    expected = {"granted", "denied", "snapshot", "1772413200000", "rights_changed"}
    if isinstance(store, Postgres):
        rows = await ask(store, "select * from offline_differences")
    else:
        rows = (await store.tables())["offline_differences"]
    (found,) = rows
    assert expected <= {str(value) for value in found}
