"""What the summary of a demo calls wrong, and how it says so."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pytest

from sinks.queries import Counts
from streams.commands.demo import Summary
from streams.commands.stories import Step, Told
from streams.simulator.report import Report
from streams.simulator.scene import Story

_EMPTY: dict[Any, Any] = {int: 0, str: "", bool: False}


def nothing_wrong() -> Summary:
    hints = get_type_hints(Report)
    values = {one.name: _EMPTY.get(hints[one.name], ()) for one in fields(Report)}
    report = Report(**{**values, "seconds": 1.0, "failed_commands": {}, "reasons": {}})
    counts = Counts(decisions=5, granted=4, denied=1, commands=4, confirmed=4)
    return Summary(report, granted=4, denied=1, postgres=counts, clickhouse=counts, drift=0, broker="embedded")


def test_a_day_on_which_nothing_went_wrong_is_sound() -> None:
    assert nothing_wrong().sound
    assert nothing_wrong().problems == []


@pytest.mark.parametrize(
    ("count", "says"),
    [
        ("undecided", "2 undecided"),
        ("doubled", "2 doubled"),
        ("uncommanded", "2 uncommanded"),
        ("stale_actuations", "2 stale actuations"),
        ("mode_violations", "2 mode violations"),
        ("kept_in", "2 kept in"),
        ("oracle_differences", "2 oracle differences"),
        ("device_differences", "2 device differences"),
        ("unsent", "2 unsent"),
    ],
)
def test_what_must_never_be_is_named_with_how_often_it_was(count: str, says: str) -> None:
    summary = nothing_wrong()
    twice: dict[str, Any] = {count: 2}
    wrong = replace(summary, report=replace(summary.report, **twice))
    assert not wrong.sound
    assert wrong.problems == wrong.as_json()["problems"] == [says]


def test_a_store_that_lacks_a_decision_a_drift_and_a_leak_are_named() -> None:
    summary = nothing_wrong()
    wrong = replace(summary, clickhouse=summary.clickhouse._replace(decisions=4), drift=1, leaks=["op-1 by sms"])
    assert wrong.problems == [
        "ClickHouse holds 4 of 5 decisions",
        "1 decided otherwise when decided again",
        "1 messages about duress to somebody else",
    ]


def test_a_story_without_its_end_is_named_with_what_it_lacks_unless_somebody_ended_the_day() -> None:
    summary = nothing_wrong()
    told = Told(Story.HELD_DOOR, "hq", steps=[Step(datetime(2026, 11, 29, tzinfo=UTC), "raised", "medium: held open")])
    wrong = replace(summary, stories=[told])
    assert wrong.problems == [f"a door held open at hq has no {', no '.join(told.lacks)}"]
    assert replace(wrong, report=replace(wrong.report, interrupted=True)).sound
