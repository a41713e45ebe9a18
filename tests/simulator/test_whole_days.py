"""Whole days in memory: what is decided is what the oracle expects, and no lock opens that nothing accounts for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams.commands.simulate import CAMPUS
from streams.loading.campus import Campus, read_campus
from streams.simulator.run import Options
from tests.simulator.in_memory import simulate
from tests.simulator.wild import wild

MORNING = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""Nine o'clock on a Monday at the campus."""


@pytest.fixture(scope="module")
def whole() -> Campus:
    return read_campus(CAMPUS)


@pytest.mark.parametrize(("scenario", "seed"), [("day", 1), ("outage", 2), ("rush", 3)])
def test_a_seeded_day_goes_as_the_oracle_expects(whole: Campus, scenario: str, seed: int) -> None:
    report, failed = simulate(whole, Options(seconds=60, rate=10, seed=seed, scenario=scenario), MORNING)
    assert (report.differences, report.stale, failed) == ([], [], [])
    assert report.sound
    assert report.oracle_checked > 450
    assert report.granted > report.denied > 0 or scenario == "rush"


def test_the_same_seed_gives_the_same_day(whole: Campus) -> None:
    options = Options(seconds=20, rate=10, seed=4)
    first, second = (simulate(whole, options, MORNING)[0] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("scenario", "seed"), [("day", 12), ("outage", 13)])
def test_a_day_under_any_rules_goes_as_the_oracle_expects(whole: Campus, scenario: str, seed: int) -> None:
    options = Options(seconds=60, rate=10, seed=seed, scenario=scenario)
    report, failed = simulate(wild(whole, seed), options, MORNING)
    assert (report.differences, report.stale, failed) == ([], [], [])
    assert report.sound
    assert len(report.reasons) > 8
