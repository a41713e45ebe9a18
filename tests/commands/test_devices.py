"""`doorstream devices`, over what the record role has stored."""

from __future__ import annotations

import json

import pytest

from schemas.record import Record
from tests.commands.conftest import Ask
from tests.sinks.test_device_states import a_morning, on_file


@pytest.fixture(scope="module")
def stored() -> list[Record]:
    """A morning."""
    return [*on_file(), *a_morning()]


@pytest.mark.branch("M1.02")
def test_devices_are_listed_with_the_troubled_ones_first(ask: Ask) -> None:
    code, out, _ = ask("list")
    assert code == 0
    first, *rest = out.splitlines()[1:]
    assert first.split()[:3] == ["c2", "hq", "offline"]
    assert first.endswith("reader_lost")
    assert [line.split()[0] for line in rest] == ["c1", "c3", "c5"]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--state", "offline"], ["c2"]),
        (["--state", "trouble"], ["c2"]),
        (["--state", "online"], ["c1", "c3"]),
        (["--state", "unknown", "--site", "hq"], ["c5"]),
        (["--site", "elsewhere"], []),
    ],
)
def test_a_list_may_be_narrowed(ask: Ask, options: list[str], shown: list[str]) -> None:
    code, out, _ = ask("list", *options, "--json")
    assert code == 0
    assert [row["device_id"] for row in json.loads(out)["devices"]] == shown


def test_nothing_to_list_is_said(ask: Ask) -> None:
    assert ask("list", "--site", "elsewhere")[1] == "no such devices\n"


def test_one_device_is_shown_with_its_faults_and_doors(ask: Ask) -> None:
    code, out, _ = ask("show", "c2")
    assert code == 0
    assert "c2 Controller 2" in out
    assert "offline since 2026-03-02" in out
    assert "reader_lost since 2026-03-02T09:00:00Z: reader 1" in out
    assert "d2 Door" in out
    assert json.loads(ask("show", "c3", "--json")[1])["doors"][0]["last_event"] == "door_held_open"
    assert "unknown since -" in ask("show", "c5")[1]


def test_a_device_that_nobody_knows_is_one_line_and_exit_code_1(ask: Ask) -> None:
    code, _, err = ask("show", "nobody")
    assert code == 1
    assert err == "doorstream: there is no device nobody: `doorstream devices list` shows all\n"
