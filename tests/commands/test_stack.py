"""`doorstream stack status`, over the record that `stack up` leaves in its folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.stack.processes import Process, identify
from deploy.stack.state import Part, Record
from streams import cli

ENDPOINTS = {
    "kafka": "127.0.0.1:9092",
    "postgres": "postgresql://doorstream:secret@127.0.0.1:5432/doorstream?sslmode=disable",
    "clickhouse": "http://127.0.0.1:8123",
    "catcher": "http://127.0.0.1:8025?smtp=2525",
}
GONE = Process(pid=2**22, started="never")
Show = Callable[..., tuple[object, str]]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Run `doorstream stack status` where these parts run and those are gone: its exit code and stdout."""
    monkeypatch.setenv("DOORSTREAM_STACK_FOLDER", str(tmp_path))

    def run(running: list[str], gone: list[str], *args: str) -> tuple[object, str]:
        me = identify(os.getpid())
        assert me is not None
        processes = dict.fromkeys(running, me) | dict.fromkeys(gone, GONE)
        parts = {name: Part(process, 1, ENDPOINTS[name], "log") for name, process in processes.items()}
        Record(complete=True, parts=parts).write(tmp_path)
        monkeypatch.setattr(sys, "argv", ["doorstream", "stack", "status", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_the_status_prints_what_one_exports_to_use_the_stack(show: Show, tmp_path: Path) -> None:
    code, out = show(list(ENDPOINTS), [])
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("export ")][:4] == [
        "export DOORSTREAM_KAFKA=127.0.0.1:9092",
        f"export DOORSTREAM_POSTGRES='{ENDPOINTS['postgres']}'",
        "export DOORSTREAM_CLICKHOUSE=http://127.0.0.1:8123",
        f"export DOORSTREAM_MASTER_SECRET_FILE={tmp_path / 'master.secret'}",
    ]
    assert "export DOORSTREAM_NOTIFY_SMS=" in out


def test_the_status_as_json_has_the_settings_beside_the_parts(show: Show) -> None:
    code, out = show(list(ENDPOINTS), [], "--json")
    found = json.loads(out)
    assert code == 0
    assert {part["name"]: part["state"] for part in found["parts"]} == dict.fromkeys(ENDPOINTS, "running")
    assert {name: found[name] for name in ENDPOINTS} == ENDPOINTS
    assert found["broker"] == "embedded"


def test_the_status_prints_no_setting_for_a_part_that_is_gone(show: Show) -> None:
    code, out = show(["kafka", "clickhouse"], ["postgres"])
    assert code == 1
    assert "DOORSTREAM_KAFKA=" in out
    assert "DOORSTREAM_POSTGRES=" not in out
    code, out = show([], ["kafka", "postgres", "clickhouse"])
    assert code == 1
    assert "export" not in out
