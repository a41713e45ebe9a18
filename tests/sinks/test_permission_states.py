"""What decisions are exceptions of, and what has become of permissions, in the stores (A5)."""

from __future__ import annotations

import pytest

from schemas.ids import derive
from schemas.record import Record
from tests.sinks.records import Topics, example
from tests.sinks.stores import Postgres, Store
from tests.sinks.test_device_states import INCARNATION, ask


def a_denial() -> list[Record]:
    """Two permissions; one is found expired, of its version that is on file, the other of one that was replaced."""
    topics = Topics()
    for id_ in ("ada-may", "bob-may", "bob-may"):
        value = example("permission", permission_id=id_, site_id="hq", status="active")
        topics.add("reference.permission", value, key=id_.encode())
    exception = {"kind": "permission", "permission_state": "expired", "retried": True}
    decision = derive("decision", 1)
    topics.add("access.decisions", example("access_denied", decision_id=decision, exception=exception))
    for position, id_ in enumerate(("ada-may", "bob-may")):
        fields = {"update_id": derive("update", id_), "permission_id": id_, "permission_version": position}
        topics.add("exceptions", example("permission_updated", decision_id=decision, **fields))
    return topics.records


@pytest.mark.branch("A5.02", "A5.04")
async def test_the_state_of_a_permission_is_stored_and_holds_for_the_version_on_file(store: Store) -> None:
    records = a_denial()
    await store.sink.write(INCARNATION, records)
    await store.sink.write(INCARNATION, records[3:])
    if not isinstance(store, Postgres):
        tables = await store.tables()
        assert len(tables["permission_updates"]) == 2
        ((_day, _site, kind, state, *counts),) = tables["exceptions_by_day"]
        assert (kind, state, [int(one) for one in counts]) == ("permission", "expired", [1, 1, 0])
        return
    states = await ask(store, "select permission_id, on_file, state from permission_status order by permission_id")
    assert states == [("ada-may", "active", "expired"), ("bob-may", "active", "active")]
    assert len(await ask(store, "select * from permission_states")) == 2
    found = await ask(store, "select exception, permission_state, retried from access_exceptions")
    assert found == [("permission", "expired", True)]
