"""`doorstream devices repairs` and `devices repair`, over what the record role has stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator

import pytest

from deploy.stack.model import Endpoints
from sinks.postgres import PostgresSink
from streams import cli
from tests.sinks.databases import fresh_postgres
from tests.sinks.test_device_states import INCARNATION
from tests.sinks.test_repairs import IDS, a_week

Ask = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="module")
def dsn(endpoints: Endpoints) -> Iterator[str]:
    """A PostgreSQL in which a week is stored."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def start() -> str:
            dsn: str = await stack.enter_async_context(fresh_postgres(endpoints))
            sink = PostgresSink(dsn)
            await sink.write(INCARNATION, a_week())
            await sink.close()
            return dsn

        yield runner.run(start())
        runner.run(stack.aclose())


@pytest.fixture
def ask(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `doorstream devices ...`: its exit code, stdout and stderr."""
    monkeypatch.setenv("DOORSTREAM_POSTGRES", dsn)

    def run(*args: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["doorstream", "devices", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


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
