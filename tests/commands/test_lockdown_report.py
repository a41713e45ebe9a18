"""The report of a lockdown: its time line, its doors, who was inside, and who was refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.stack.model import Endpoints
from sinks.lockdown_queries import ATTEMPTS, INSIDE
from sinks.postgres import PostgresSink
from streams.commands.finding_lockdowns import spans_of
from streams.commands.lockdown_pages import not_well, page, seconds_until
from streams.commands.lockdown_report import html_report
from streams.core.times import from_ms
from tests.commands.lockdown_desk import LockdownDesk, records_of
from tests.core.emergency import Site, commands, incident_id
from tests.core.world import card, event
from tests.sinks.databases import fresh_postgres

INCARNATION = 1_772_000_000


def pass_through(site: Site, door: str, way: str = "in", who: str = "100") -> None:
    """Somebody goes through a door, which falls shut, within a second."""
    site.ask(card(who), at=f"{door}-{way}")
    site.send(event("door_opened", door_id=door))
    site.shut(door)
    site.wait(1)


def recorded(site: Site, outcome: str, ago_s: float, at: str = "lab-in", **fields: Any) -> None:
    """A controller tells what it decided alone, for Bob, so long ago."""
    moment = (from_ms(site.now_ms) - timedelta(seconds=ago_s)).isoformat()
    site.ask(card("200"), at=at, outcome=outcome, occurred_at=moment, **fields)


def a_night() -> Site:
    """Ann is in the lab and Bob in the hall; Ann leaves, Bob and a stranger are refused, and a door does not answer.

    Some of it is told later: the controller could not reach the server for a while, and decided for Bob alone.
    """
    site = Site()
    site.person("bob", "200")
    site.shut("front", "lab")
    pass_through(site, "front")
    pass_through(site, "lab")
    pass_through(site, "front", who="200")
    site.wait(60)
    found = site.lock_down("lab", "high")
    front, _ = commands(found)
    site.wait(1.5)
    site.obey([front])
    site.wait(30)
    pass_through(site, "lab", "out")
    pass_through(site, "front", "out")
    site.ask(card("200"), at="lab-in")
    site.wait(1)
    site.ask(card("404"), at="front-in")
    recorded(site, "granted", 90)  # before it: Bob was in the lab by then
    recorded(site, "granted", 25)
    recorded(site, "granted", 24, at="lab-out")
    recorded(site, "denied", 20, reason="no_access_rights")
    site.ask(card("200"), at="front-in", age_s=60)  # nobody waits there any more
    site.wait(30)
    released = site.release(incident_id(found))
    site.obey(released)
    site.wait(2)
    recorded(site, "granted", 17, at="front-in")
    recorded(site, "denied", 16, reason="lockdown")
    recorded(site, "denied", 15, reason="out_of_time_range")
    recorded(site, "granted", 1)  # after it
    pass_through(site, "front", who="200")
    return site


@pytest.fixture(scope="module")
def night() -> Site:
    return a_night()


@pytest.fixture(scope="module")
def dsn(endpoints: Endpoints, night: Site) -> Iterator[str]:
    """A PostgreSQL in which the night is."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def start() -> str:
            dsn: str = await stack.enter_async_context(fresh_postgres(endpoints))
            sink = PostgresSink(dsn)
            await sink.write(INCARNATION, records_of(night))
            await sink.close()
            return dsn

        yield runner.run(start())
        runner.run(stack.aclose())


@pytest.fixture
def desk(night: Site, dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> LockdownDesk:
    return LockdownDesk(night, monkeypatch, capsys, dsn)


_MUCH = """
insert into presence select 'hq', 'p' || n, 'hall', now(), gen_random_uuid(), 1, n from generate_series(1, 100) n;
insert into passages select gen_random_uuid(), 1, 'hq', 'front', 'street', 'hall', 'p' || n % 100, 'entry', 'taken',
    'door_opened', at, at, at
from generate_series(1, 20000) n, lateral (select timestamptz '2026-01-01' + n * interval '10 minutes' as at) moment;
insert into decisions select gen_random_uuid(), 1, gen_random_uuid(), 'hq', 'c1', 'front-in', 'front', 'street', 'hall',
    'p' || n % 100, null, null, 'denied', 'lockdown', 'entry', case when n % 50 = 0 then 'offline' else 'online' end,
    'security', 0, false, at, at, '{}'
from generate_series(1, 20000) n, lateral (select timestamptz '2026-01-01' + n * interval '10 minutes' as at) moment;
analyze;
"""


def report(desk: LockdownDesk) -> dict[str, Any]:
    code, out, err = desk.run("report", "", "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.branch("E2.20")
def test_it_has_the_time_line_and_each_door_with_its_confirmation(desk: LockdownDesk) -> None:
    found = report(desk)
    steps = [one["type"] for one in found["steps"]]
    assert (steps[0], steps[-1]) == ("lockdown_started", "lockdown_released")
    front, lab = found["door_list"]
    assert (front["door_id"], front["mode"], front["unconfirmed"]) == ("front", "locked_down", None)
    assert front["first_confirmed_at"] > front["asked_at"] == found["started_at"].replace("Z", "+00:00")
    assert (lab["door_id"], lab["first_confirmed_at"], lab["unconfirmed"]) == ("lab", None, "no_answer")
    assert found["seconds_until_confirmed"] is None
    assert found["seconds_until_released"] > 60


def test_it_tells_who_was_inside_when_it_started_and_at_the_all_clear_in_the_whole_scope(desk: LockdownDesk) -> None:
    found = report(desk)
    assert [(one["cardholder_id"], one["name"], one["zone_id"]) for one in found["inside_at_start"]] == [
        ("ann", "Ann", "lab"), ("bob", "Bob", "lab"),
    ]  # fmt: skip
    assert [one["cardholder_id"] for one in found["inside_at_end"]] == ["bob"]
    assert found["steps"][0]["inside"] == 2


def test_it_names_every_attempt_that_was_refused_until_the_all_clear(desk: LockdownDesk) -> None:
    refused = [(one["cardholder_id"], one["access_point_id"], one["zone_id"]) for one in report(desk)["refused"]]
    assert refused == [
        ("bob", "lab-in", "lab"), ("bob", "lab-in", "lab"), (None, "front-in", "hall"), ("bob", "lab-in", "lab"),
    ]  # fmt: skip


def test_whom_a_controller_let_in_alone_is_not_among_them_and_is_named_apart(desk: LockdownDesk) -> None:
    let_in = report(desk)["let_in_offline"]
    assert [(one["cardholder_id"], one["access_point_id"], one["zone_id"], one["reason"]) for one in let_in] == [
        ("bob", "lab-in", "lab", "lockdown"), ("bob", "front-in", "hall", None),
    ]  # fmt: skip
    said = desk.run("report", "")[1]
    assert "refused   4 attempts" in said
    assert "let in    2, by controllers alone that could not be reached" in said


async def test_who_was_inside_and_who_came_are_looked_up_by_index_however_much_there_is_of_other_times(
    endpoints: Endpoints,
) -> None:
    async with fresh_postgres(endpoints) as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(_MUCH)
            at = datetime(2026, 3, 2, tzinfo=UTC)
            inside = await connection.fetch(f"explain {INSIDE}", "hq", "hall", at)
            came = await connection.fetch(f"explain {ATTEMPTS}", "hq", "hall", at, at + timedelta(hours=1), False)
        finally:
            await connection.close()
    people, attempts = ("\n".join(row[0] for row in rows) for rows in (inside, came))
    assert "using passages_of_people" in people
    assert "Seq Scan on passages" not in people
    for index in ("decisions_by_time", "decisions_offline"):
        assert index in attempts
    assert "Seq Scan on decisions" not in attempts


def test_as_a_page_it_can_be_kept_and_needs_nothing_else(desk: LockdownDesk, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    code, out, _ = desk.run("report", "", "--html", str(path))
    text = path.read_text(encoding="utf-8")
    for wanted in (
        "Lockdown of hall", "times of Europe/Berlin", "op-7: an intruder", "no answer", ">Bob<",
        "nobody known", "Let in by controllers that could not be reached (2)", "Refused attempts (4)",
        "Who was inside", "never",
    ):  # fmt: skip
        assert wanted in text
    assert "<script" not in text
    assert "http" not in text
    assert code == 0
    assert "people    2 inside at the start, 1 at the all-clear" in out
    assert "Bob at lab-in" in out


def test_a_file_that_cannot_be_written_is_one_line(desk: LockdownDesk, tmp_path: Path) -> None:
    code, _, err = desk.run("report", "", "--html", str(tmp_path))
    assert (code, err.count("\n")) == (2, 1)
    assert "give another file" in err


def test_without_a_store_it_tells_what_the_topic_tells_and_how_to_see_the_rest(
    night: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = LockdownDesk(night, monkeypatch, capsys)
    assert "set DOORSTREAM_POSTGRES" in desk.run("report", "")[1]
    found = report(desk)
    assert found["refused"] is None
    assert found["steps"]


def told(site: Site) -> list[Any]:
    return [json.loads(one.value or b"null") for one in site.sent if one.topic == "incidents"]


def test_it_tells_when_all_doors_had_confirmed_and_who_gave_the_all_clear() -> None:
    site = Site()
    site.shut("front", "lab")
    found = site.lock_down("lab", "high")
    site.obey(found)
    site.wait(2)
    site.obey(site.release(incident_id(found)))
    site.wait(2)
    steps = told(site)
    last = steps[-1]
    assert last["type"] == "lockdown_released"
    assert seconds_until(last, "confirmed_at") == 0
    assert seconds_until(last, "released_at") == 2.25
    text = html_report(steps, None)
    for wanted in ("Lockdown of hall", "2.25 s", "op-7: an intruder", "every door has confirmed", "2 of 2"):
        assert wanted in text
    assert any("2/2 confirmed" in line for line in page(last))


def test_one_that_was_escalated_has_the_people_and_refusals_of_each_scope_in_its_time() -> None:
    site = Site()
    found = site.lock_down("lab", "low")
    site.wait(10)
    site.escalate(incident_id(found), "high", reason="a second one")
    site.wait(10)
    steps = told(site)
    in_force = spans_of(steps)
    assert [(one.zone_id, one.until is None) for one in in_force] == [("lab", False), ("hall", True)]
    assert (in_force[1].since - in_force[0].since).total_seconds() == 10
    assert in_force[0].until == in_force[1].since
    site.release(incident_id(found))
    assert spans_of(told(site))[1].until is not None
    assert "from lab to hall by op-7: a second one" in html_report(steps, None)


def test_doors_that_are_not_well_are_named_by_what_is_wrong_with_them() -> None:
    site = Site()
    site.send(event("door_opened", door_id="front"))
    front, lab = commands(site.lock_down("lab", "high"))
    assert list(not_well(told(site)[0])) == []
    site.obey([lab])
    site.wait(0.5)
    assert list(not_well(told(site)[-1])) == ["not confirmed yet: front"]
    site.wait(10)
    assert list(not_well(told(site)[-1])) == ["not confirmed (no answer): front"]
    site.obey([front])
    site.wait(1)
    assert list(not_well(told(site)[-1])) == ["stands open: front"]


@pytest.mark.parametrize(
    ("commanded", "says"), [(True, "with real commands and refusals"), (False, "nobody was refused")]
)
def test_a_drill_says_on_its_page_that_it_was_one(commanded: bool, says: str) -> None:
    site = Site()
    site.lock_down("lab", "low", drill=True, drill_commands=commanded)
    text = html_report(told(site), None)
    assert "Drill of lab" in text
    assert "This was a drill, " in text
    assert says in text


def test_what_somebody_wrote_is_text_and_no_markup() -> None:
    site = Site()
    site.lock_down("lab", "low", reason="<script>alert(1)</script>")
    text = html_report(told(site), None)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
