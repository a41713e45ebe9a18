"""The command line as a whole: one line for every error, and the exit codes that are promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from aiokafka.errors import KafkaConnectionError

from sinks.migrate import Status
from streams import cli
from streams.commands import app, doctor
from streams.commands.reading import since_ms
from streams.commands.running import CommandError
from streams.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DOORSTREAM_{name.upper()}", raising=False)


def outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str
) -> tuple[object, list[str]]:
    """Exit code and lines on stderr."""
    monkeypatch.setattr(sys, "argv", ["doorstream", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["worker", "nonsense"], "see `doorstream worker --help`"),
        (["tail"], "Missing argument"),
        (["tail", "access.decisions", "--bogus"], "No such option: --bogus"),
        (["tail", "nowhere"], "no topic nowhere"),
        (["tail", "access.decisions", "--type", "acces_granted"], "did you mean access_granted?"),
        (["tail", "alerts", "door.alarms", "--type", "door_held_opn"], "did you mean door_held_open?"),
        (["tail", "alerts", "--since", "soon"], "give a span such as 10m"),
        (["stack", "up", "--kafka", "other"], "'other' is not one of 'embedded', 'apache'"),
        (["simulate", "--rate", "0"], "greater than or equal to 0.1"),
        (["dead", "show", "access.requests.dead:x:1"], "give TOPIC:PARTITION:OFFSET"),
        (["unlock", "d\n", "--site", "s", "--operator", "o", "--reason", "r"], "door_id"),
        (["lag"], "DOORSTREAM_KAFKA is not set"),
        (["worker", "decide"], "DOORSTREAM_KAFKA is not set"),
        (["load", "nowhere"], "there is no such folder"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    args: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if args[:2] == ["tail", "alerts"]:
        monkeypatch.setenv("DOORSTREAM_KAFKA", "127.0.0.1:1")
    code, lines = outcome(monkeypatch, capsys, *args)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("doorstream: ")
    assert said in lines[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA", "127.0.0.1:port"),
        ("KAFKA", "::::"),
        ("POSTGRES", "no secret-of-mine address"),
        ("POSTGRES", "postgresql://u:secret-of-mine@host:port/x"),
        ("CLICKHOUSE", "ftp://secret-of-mine"),
        ("PARTITIONS", "many"),
    ],
)
def test_a_setting_that_is_no_such_thing_is_named_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"DOORSTREAM_{name}", value)
    code, lines = outcome(monkeypatch, capsys, "lag")
    assert code == 2
    assert len(lines) == 1
    assert f"DOORSTREAM_{name}" in lines[0]
    assert "secret-of-mine" not in lines[0]


@pytest.mark.parametrize("args", [["lag"], ["topics", "plan"], ["dead", "list"], ["replay"], ["worker", "decide"]])
def test_a_server_that_does_not_answer_is_exit_code_3(args: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("00" * 32)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DOORSTREAM_KAFKA": "127.0.0.1:1",
        "DOORSTREAM_MASTER_SECRET_FILE": str(secret),
        "DOORSTREAM_METRICS_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *args], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("doorstream: Kafka")


INTERRUPTED_WHILE_READ = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "streams.commands.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from streams.cli import main
main()
"""


def test_ctrl_c_leaves_no_trace_on_the_screen_however_early() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_READ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_defect_is_told_in_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("impossible")

    monkeypatch.setattr(app, "app", broken)
    code, lines = outcome(monkeypatch, capsys)
    assert code == 1
    assert len(lines) == 1
    assert "ZeroDivisionError: impossible" in lines[0]
    assert "test_command_line.py" in lines[0]


@pytest.mark.parametrize("text", ["99999999999999d", "0001-01-01", "1970-01-01T00:00:00+14:00"])
def test_a_time_before_all_times_is_the_beginning(text: str) -> None:
    assert since_ms(text) == 0


@pytest.mark.parametrize("text", ["", "-5m", "5 m", "2026-13-01", "tomorrow"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="give a span such as 10m"):
        since_ms(text)


def test_every_command_but_the_workers_prints_json() -> None:
    def commands(group: typer.core.TyperGroup, path: str) -> Iterator[tuple[str, set[str]]]:
        for name, command in group.commands.items():
            if isinstance(command, typer.core.TyperGroup):
                yield from commands(command, f"{path}{name} ")
            else:
                yield path + name, {option for parameter in command.params for option in parameter.opts}

    whole = typer.main.get_command(app.app)
    assert isinstance(whole, typer.core.TyperGroup)
    found = list(commands(whole, ""))
    assert len(found) > 40
    assert [name for name, options in found if "--json" not in options and not name.startswith("worker ")] == []


@pytest.mark.parametrize("args", [["topics", "check"], ["lag"], ["stack", "status"]])
def test_an_unknown_setting_ends_every_command(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOORSTREAM_KAFKAA", "x")
    said = "doorstream: DOORSTREAM_KAFKAA is no setting: did you mean DOORSTREAM_KAFKA?"
    assert outcome(monkeypatch, capsys, *args) == (2, [said])


def test_a_store_that_does_not_answer_is_one_line_that_names_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOORSTREAM_POSTGRES", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("DOORSTREAM_CLICKHOUSE", "http://127.0.0.1:1")
    code, (line,) = outcome(monkeypatch, capsys, "db", "status")
    assert code == 3
    assert "DOORSTREAM_POSTGRES" in line


@pytest.mark.parametrize(
    ("what", "error", "code", "fix"),
    [
        ("topics", KafkaConnectionError("nobody"), 3, "check DOORSTREAM_KAFKA"),
        ("PostgreSQL", ConnectionRefusedError("nobody"), 3, "check DOORSTREAM_POSTGRES"),
        ("worker here", ConnectionRefusedError("nobody"), 1, "run `doorstream worker all`"),
    ],
)
def test_the_doctor_tells_a_server_that_does_not_answer_from_a_worker_that_does_not_run(
    what: str,
    error: Exception,
    code: int,
    fix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def look(_settings: Settings) -> doctor.Finding:
        raise error

    monkeypatch.setattr(doctor, "_LOOKS", {what: look})
    monkeypatch.setattr(sys, "argv", ["doorstream", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert fix in capsys.readouterr().out


async def test_the_doctor_names_the_first_migration_that_a_store_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def status(_dsn: str, _url: str) -> list[Status]:
        return [
            Status("postgres", "0001_state.sql", applied=True),
            Status("clickhouse", "0002_more.sql", applied=False),
        ]

    monkeypatch.setattr(doctor, "migration_status", status)
    monkeypatch.setattr(doctor, "_LOOKS", {"tables": doctor._tables})
    settings = Settings(postgres="postgresql://nobody@127.0.0.1:1/none", clickhouse="http://127.0.0.1:1")
    (found,) = await doctor.diagnose(settings)
    assert (found.well, found.reachable, found.fix) == (False, True, "run `doorstream db migrate`")
    assert found.detail == "1 of 2 migrations missing, first clickhouse 0002_more.sql"
