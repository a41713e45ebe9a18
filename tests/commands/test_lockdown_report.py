"""The report of a lockdown: its time line, its doors, who was inside, and who was refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.model import Endpoints
from sinks.postgres import PostgresSink
from streams.commands.finding_lockdowns import spans_of
from streams.commands.lockdown_pages import not_well, page, seconds_until
from streams.commands.lockdown_report import html_report
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


def a_night() -> Site:
    """Ann is in the lab and Bob in the hall; Ann leaves, Bob and a stranger are refused, and a door does not answer."""
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
    site.wait(30)
    released = site.release(incident_id(found))
    site.obey(released)
    site.wait(2)
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
        ("bob", "Bob", "hall"), ("ann", "Ann", "lab"),
    ]  # fmt: skip
    assert [one["cardholder_id"] for one in found["inside_at_end"]] == ["bob"]
    assert found["steps"][0]["inside"] == 2


def test_it_names_every_attempt_that_was_refused_until_the_all_clear(desk: LockdownDesk) -> None:
    refused = [(one["cardholder_id"], one["access_point_id"], one["zone_id"]) for one in report(desk)["refused"]]
    assert refused == [("bob", "lab-in", "lab"), (None, "front-in", "hall")]


def test_as_a_page_it_can_be_kept_and_needs_nothing_else(desk: LockdownDesk, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    code, out, _ = desk.run("report", "", "--html", str(path))
    text = path.read_text(encoding="utf-8")
    for wanted in (
        "Lockdown of hall", "times of Europe/Berlin", "op-7: an intruder", "no answer", ">Bob<",
        "nobody known", "Refused attempts (2)", "Who was inside", "never",
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
