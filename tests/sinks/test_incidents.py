"""Doors' modes and lockdowns in the stores (E2)."""

from __future__ import annotations

from tests.sinks.records import Topics, example
from tests.sinks.stores import Postgres, Store

INCARNATION = 1_772_000_000


async def test_a_lockdown_is_stored_with_its_steps_and_the_confirmation_of_its_doors(store: Store) -> None:
    topics = Topics()
    id_ = "00000000-0000-8000-8000-000000000001"
    since = "2026-03-02T09:00:00Z"
    cause = {"kind": "lockdown", "cause_id": id_, "mode": "locked_down", "rank": 1, "since": since}
    for number, type_ in enumerate(("lockdown_started", "lockdown_confirmed", "lockdown_released"), start=1):
        topics.add("incidents", example(type_, incident_id=id_, transition=number))
    for confirmed in (None, "2026-03-02T09:00:01Z"):
        fields = {"door_id": "d1", "mode": "locked_down", "causes": [cause], "confirmed_at": confirmed}
        topics.add("door.modes", example("door_mode_desired", revision=1 + bool(confirmed), **fields))
    await store.sink.write(INCARNATION, topics.records)
    tables = await store.tables()
    if isinstance(store, Postgres):
        (incident,) = tables["incidents"]
        assert {id_, "released"} <= set(incident)
        assert len(tables["incident_history"]) == 3
        (door,) = tables["incident_doors"]
        assert door[:2] == (id_, "d1")
        assert len(tables["door_modes"]) == 1
    else:
        assert len(tables["incident_steps"]) == 3
        assert len(tables["door_mode_changes"]) == 2
        assert len(tables["lockdown_times"]) == 1
