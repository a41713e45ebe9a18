"""`doorstream devices repairs` and `devices repair`, over what the record role has stored."""

from __future__ import annotations

import json

import pytest

from schemas.record import Record
from tests.commands.conftest import Ask
from tests.sinks.test_repairs import IDS, a_week


@pytest.fixture(scope="module")
def stored() -> list[Record]:
    """A week."""
    return a_week()


def test_open_repair_cases_are_listed_with_what_usually_helps(ask: Ask) -> None:
    code, out, _ = ask("repairs")
    assert code == 0
    assert out.split()[1:5] == [IDS[2][:8], "hq", "hq-c01", "fault/lock_jammed"]
    assert "opened. Replace or adjust the lock." in out
    found = json.loads(ask("repairs", "--closed", "--json")[1])["repairs"]
    assert {one["case_id"] for one in found} == set(IDS[1:])
    assert ask("repairs", "--site", "elsewhere")[1] == "no open repair cases\n"


def test_a_case_that_nobody_knows_is_one_line_and_exit_code_1(ask: Ask) -> None:
    code, _, err = ask("repair", "assign", "nobody", "--to", "fitter-2", "--operator", "op-7")
    assert code == 1
    assert err == "doorstream: there is no repair case nobody: `doorstream devices repairs` shows them\n"
