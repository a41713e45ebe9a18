"""Exceptions of devices and their repair cases, in the stores (A5, D3)."""

from __future__ import annotations

import pytest

from schemas.ids import derive
from schemas.record import Record
from tests.sinks.records import Topics, example
from tests.sinks.stores import ClickHouse, Postgres, Store
from tests.sinks.test_device_states import INCARNATION, ask

IDS = [derive("case", number) for number in range(3)]
OPENED = "2026-03-02T09:00:00Z"


def a_week() -> list[Record]:
    """The first fault recovers by itself, the second is repaired in ten minutes and closed, the third stays open."""
    topics = Topics()

    def tell(case: str, transition: int, step: str, state: str, minute: int, **fields: object) -> None:
        at = f"2026-03-02T09:{minute:02}:00Z"
        given = {"case_id": case, "transition": transition, "step": step, "state": state, "decided_at": at}
        topics.add("exceptions", example("device_exception", began_at=OPENED, **{**given, **fields}))

    tell(IDS[0], 1, "diagnosed", "recovering", 0, opened_at=None, assigned_to=None, nature="transient")
    tell(IDS[0], 2, "recovered", "recovered", 5, opened_at=None, assigned_to=None, active=False)
    for case in IDS[1:]:
        tell(case, 1, "diagnosed", "recovering", 0, opened_at=None, assigned_to=None)
        tell(case, 2, "opened", "opened", 0, opened_at=OPENED, assigned_to=None)
    done = {"opened_at": OPENED, "repaired_at": "2026-03-02T09:10:00Z", "result": "oiled", "active": False}
    tell(IDS[1], 3, "repaired", "repaired", 10, **done)
    tell(IDS[1], 4, "closed", "closed", 20, **done)
    return topics.records


@pytest.mark.branch("A5.09", "A5.11", "M2.20")
async def test_each_case_is_stored_as_it_stands_with_its_steps_whatever_is_read_again(store: Store) -> None:
    if not isinstance(store, Postgres):
        pytest.skip("the state as it stands is PostgreSQL's")
    week = a_week()
    for records in (week, week[:3], week[-1:], week):
        await store.sink.write(INCARNATION, records)
    rows = await ask(store, "select case_id::text, state from device_exceptions")
    assert dict(rows) == dict(zip(IDS, ("recovered", "closed", "opened"), strict=True))
    steps = await ask(
        store, f"select step from device_exception_history where case_id = '{IDS[1]}' order by transition"
    )
    assert [row[0] for row in steps] == ["diagnosed", "opened", "repaired", "closed"]
    still = await ask(store, "select case_id::text, remedy, age > interval '1 day' from open_repair_cases")
    assert still == [(IDS[2], "Replace or adjust the lock.", True)]
    times = await ask(store, "select cause, cases, extract(epoch from mean)::int from mean_time_to_repair")
    assert times == [("fault/lock_jammed", 1, 600)]


async def test_all_steps_are_kept_once_and_counted_by_day(store: Store) -> None:
    if not isinstance(store, ClickHouse):
        pytest.skip("the history is ClickHouse's")
    week = a_week()
    await store.sink.write(INCARNATION, week)
    await store.sink.write(INCARNATION, week[2:])
    tables = await store.tables()
    assert len(tables["device_exception_steps"]) == len(week)
    ((day, _site, _model, cause, *counts),) = tables["device_exceptions_by_day"]
    assert (day[:10], cause) == ("2026-03-02", "fault/lock_jammed")
    assert [float(one) for one in counts] == [3, 1, 2, 1, 600]
