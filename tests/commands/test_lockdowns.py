"""`doorstream lockdown`: what is asked is done or refused, and whatever is wrong is one line with the fix."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tests.commands.lockdown_desk import LockdownDesk
from tests.core.emergency import OPERATORS, Site, commands, incident_id
from tests.core.world import event

Open = Callable[[Site], LockdownDesk]


def by(who: str, reason: str = "intruder") -> tuple[str, ...]:
    """Who asks, and why."""
    return "--operator", who, "--reason", reason, "--yes"


BY = by("op-7")
START = ("start", "lab", "--level", "low", *BY, "--wait", "0")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Open:
    """A desk at a site."""
    return lambda site: LockdownDesk(site, monkeypatch, capsys)


def refusals(site: Site) -> list[tuple[str, str]]:
    """What the site refused, as everybody sees it on the topic."""
    answers = [json.loads(one.value or b"{}") for one in site.sent if one.topic == "access.decisions"]
    return [(one["request_type"], one["code"]) for one in answers if one["type"] == "operator_request_refused"]


def shown(desk: LockdownDesk, *args: str) -> dict[str, Any]:
    code, out, err = desk.run(*args, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_one_is_started_watched_and_released(at: Open) -> None:
    desk = at(Site())
    code, out, _ = desk.run("start", "lab", "--level", "high", *BY, "--wait", "0")
    assert code == 0
    assert "lockdown_started 0/2 confirmed" in out
    assert "what      lockdown of hall, threat high" in out
    found = desk.run("status")[1]
    assert "why       intruder (started by op-7)" in found
    code, out, _ = desk.run("release", "", *BY, "--wait", "0")
    assert (code, "lockdown_releasing" in out) == (0, True)
    desk.site.obey(commands(desk.site.wait(1)))
    desk.site.wait(1)
    assert desk.run("status")[1] == "no lockdown is in force\n"


def test_a_dry_run_lists_the_doors_and_asks_for_nothing(at: Open) -> None:
    desk = at(Site())
    code, out, _ = desk.run("start", "lab", "--level", "high", "--dry-run", *BY)
    assert (code, out) == (0, "hall: 2 doors: front lab\n")
    assert desk.site.sent == []


@pytest.mark.parametrize(
    ("zone", "level", "says"),
    [
        ("hq", "low", "low locks down one area, and hq is a site: name a smaller zone, or give a higher level"),
        ("street", "low", "hq has no zone street that can be locked down"),
        ("cellar", "low", "no zone cellar: see zones.yaml of the loaded folder"),
    ],
)
def test_what_the_site_would_refuse_a_dry_run_does_not_promise(at: Open, zone: str, level: str, says: str) -> None:
    desk = at(Site())
    assert desk.run("start", zone, "--level", level, "--dry-run", *BY) == (1, "", f"doorstream: {says}\n")
    assert desk.site.sent == []


def test_who_unlocks_a_door_that_is_locked_down_is_told_that_it_stays_so(at: Open) -> None:
    desk, asked = at(Site()), ("--site", "hq", "--operator", "op-7", "--reason", "a delivery")
    desk.run(*START)
    note = "  but it is locked_down for now: `doorstream doors show lab` says what asks for that\n"
    assert desk.run("unlock", "lab", *asked, group="doors") == (0, f"lab: unlocked\n{note}", "")
    assert desk.run("release", "lab", *asked, group="doors") == (0, f"lab: as usual\n{note}", "")
    assert desk.run("unlock", "front", *asked, group="doors") == (0, "front: unlocked\n", "")
    assert desk.run("release", "front", *asked, group="doors") == (0, "front: as usual\n", "")


def test_a_door_that_was_never_given_a_mode_is_told_from_one_that_there_is_not(at: Open) -> None:
    desk = at(Site())
    assert desk.run("show", "lab", group="doors") == (0, "lab          locked       was never given another mode\n", "")
    code, said, _ = desk.run("show", "lab", "--json", group="doors")
    assert (code, json.loads(said)["mode"]) == (0, "locked")
    error = "doorstream: there is no door nowhere: see the doors of the loaded folder\n"
    assert desk.run("show", "nowhere", group="doors") == (1, "", error)
    desk.run(*START)
    assert "locked_down" in desk.run("show", "lab", group="doors")[1]


def test_an_operator_declares_one_effective(at: Open) -> None:
    site = Site(occupants="clear")
    site.ask(at="lab-in")
    site.send(event("door_opened", door_id="lab"))
    desk = at(site)
    assert shown(desk, *START)["effective_at"] is None
    assert "effective not yet" in desk.run("status")[1]
    found = shown(desk, "effective", "", *by("op-7", "stays in the vault"))
    assert (found["type"], found["effective_by"], found["inside"]) == ("lockdown_effective", "op-7", 1)
    assert "declared by op-7: stays in the vault" in desk.run("status")[1]


def test_one_is_escalated_to_a_larger_scope(at: Open) -> None:
    desk = at(Site())
    id_ = shown(desk, *START)["incident_id"]
    code, out, _ = desk.run("escalate", id_[:8], "--level", "high", *by("op-8", "a second one"), "--wait", "0")
    assert code == 0
    assert "lockdown_escalated 0/2 confirmed" in out
    assert "what      lockdown of hall, threat high" in out
    assert "from lab by op-8: a second one" in desk.run("status")[1]
    page = desk.run("report", id_)[1]
    assert [line.split()[1] for line in page.splitlines()[-2:]] == ["lockdown_started", "lockdown_escalated"]


def test_a_drill_is_shown_as_one_and_sends_commands_only_where_they_are_asked_for(at: Open) -> None:
    desk = at(Site())
    assert "what      drill of lab" in desk.run("drill", "lab", "--level", "low", *BY, "--wait", "0")[1]
    assert desk.site.ask(at="lab-in").type == "access_granted"
    desk.run("release", "", *BY)
    shown_ = desk.run("drill", "lab", "--level", "low", "--with-commands", *BY, "--wait", "0")[1]
    assert "what      drill with real commands of lab" in shown_
    assert desk.site.ask(at="lab-in").reason == "lockdown"


def test_the_command_that_the_alert_of_a_threat_proposes_starts_the_plan(at: Open) -> None:
    site = Site(plan_id="lockdown")
    for _ in range(5):
        site.send(event("door_forced_open", door_id="lab"))
    proposed = next(one for one in site.threats() if one.type == "threat_assessed" and one.plan_proposed)
    words = shlex.split(proposed.confirm.replace("<you>", "op-7").replace("...", "confirmed by camera"))
    assert words[:2] == ["doorstream", "lockdown"]
    found = shown(at(site), *words[2:], "--yes", "--wait", "0")
    assert (found["cause"], found["cause_id"], found["zone_id"]) == ("threat", proposed.threat_id, "hall")


def test_two_people_give_the_all_clear_where_the_plan_asks_for_it(at: Open) -> None:
    desk = at(Site(two_person_release=True))
    desk.run(*START)
    assert "lockdown_release_approved" in desk.run("release", "", *BY, "--wait", "0")[1]
    assert "all-clear given by op-7: somebody else must give it, too" in desk.run("status")[1]
    code, _, err = desk.run("release", "", *BY, "--wait", "0")
    assert code == 1
    assert (
        err == "doorstream: refused (same_person): this plan asks for two people: somebody else must release it, too\n"
    )
    assert shown(desk, "release", "", *by("op-8"), "--wait", "0")["approved_by"] == ["op-7", "op-8"]


_NO_RIGHT = "refused (no_right): op-9 lacks the right `{}`: give it in policy usual"
_NO_REASON = "a reason is required"


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("start", "nowhere", *BY), 1, "no zone nowhere: see zones.yaml"),
        (
            ("start", "hall", "--level", "low", *BY),
            1,
            "refused (not_possible): low locks down one area, and hall is a b",
        ),
        (("start", "lab", "--plan", "none", *BY), 1, "refused (unknown_plan): hq has no plan none: there are usual"),
        (("start", "lab", *by("op-7", " ")), 2, _NO_REASON),
        (("start", "lab", *by("op-9")), 1, _NO_RIGHT.format("start_lockdown")),
        (
            ("start", "lab", *by("op-1")),
            1,
            "refused (unknown_operator): op-1 is no operator of hq: name them in policy",
        ),
        (("start", "lab", *BY[:-1]), 2, "nobody is here to be asked: add --yes"),
        (("release", "77", *BY), 1, "no lockdown's id begins with 77: see `doorstream lockdown status`"),
        (("release", "", *by("op-7", " ")), 2, _NO_REASON),
        (("release", "", *by("op-9")), 1, _NO_RIGHT.format("release_lockdown")),
        (("escalate", "", "--level", "low", *BY), 1, "refused (not_possible): {id} is at low already: only a higher"),
        (("escalate", "77", "--level", "high", *BY), 1, "no lockdown's id begins with 77"),
        (("escalate", "", "--level", "high", *by("op-7", " ")), 2, _NO_REASON),
        (("escalate", "", "--level", "high", *by("op-9")), 1, _NO_RIGHT.format("start_lockdown")),
        (("effective", "", *BY), 1, "refused (not_possible): {id} has been effective since"),
        (("effective", "", *by("op-7", " ")), 2, _NO_REASON),
        (("effective", "", *by("op-9")), 1, _NO_RIGHT.format("override_lockdown")),
        (("report", "77"), 1, "no lockdown's id begins with 77"),
    ],
)
def test_wrong_use_is_one_line_with_the_fix_and_what_was_asked_for_is_refused_on_the_topic(
    at: Open, args: tuple[str, ...], code: int, says: str
) -> None:
    site = Site()
    site.change("policy", "usual", operators=[*OPERATORS, {"operator_id": "op-9", "rights": ["unlock"]}])
    id_ = incident_id(found := site.lock_down())
    site.obey(found)
    site.wait(1)
    ended, out, err = at(site).run(*args)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"doorstream: {says.replace('{id}', id_)}")
    assert len(refusals(site)) == ("refused (" in says)


def test_what_is_shown_is_what_came_of_the_request_and_not_what_was_told_before(at: Open) -> None:
    site = Site()
    site.obey(site.lock_down())
    assert site.wait(1)[-1].type == "lockdown_effective"
    desk = at(site)
    out = desk.run("escalate", "", "--level", "high", *BY, "--wait", "0")[1]
    assert [line.split()[1] for line in out.splitlines() if " lockdown_" in line] == ["lockdown_escalated"]
    assert "effective not yet" in out
    assert shown(desk, "release", "", *BY, "--wait", "0")["type"] == "lockdown_releasing"


def test_a_refusal_is_json_where_that_is_asked_for(at: Open) -> None:
    code, out, err = at(Site()).run("start", "hall", "--level", "low", *BY, "--json")
    assert (code, json.loads(out)["code"], err.count("\n")) == (1, "not_possible", 1)


def test_an_ended_lockdown_is_not_released_again(at: Open) -> None:
    site = Site()
    id_ = incident_id(found := site.lock_down())
    desk = at(site)
    desk.run("release", id_, *BY, "--wait", "0")
    assert "being released already" in desk.run("release", id_, *BY)[2]
    site.obey([*found, *site.wait(1)])
    site.wait(2)
    code, _, err = desk.run("release", id_, *BY)
    assert (code, err.count("\n")) == (1, 1)
    assert f"{id_} is no lockdown in force: `doorstream lockdown status`" in err
    assert refusals(site)[-1] == ("lockdown_release_requested", "unknown_incident")
