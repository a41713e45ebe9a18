"""`doorstream load` as administrators run it: what it says, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.stack.model import Endpoints
from schemas.topics import registry
from streams.agents.cluster import Cluster
from streams.commands.app import app
from streams.settings import Settings
from tests.loading.folders import SOUND, written

CAMPUS = Path(__file__).parents[2] / "deploy" / "campus"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DOORSTREAM_{name.upper()}", raising=False)
    (tmp_path / "master").write_text(bytes(range(32)).hex())
    monkeypatch.setenv("DOORSTREAM_MASTER_SECRET_FILE", str(tmp_path / "master"))


@pytest.fixture
def kafka(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> str:
    """A broker that has the reference topics."""
    monkeypatch.setenv("DOORSTREAM_KAFKA", endpoints.kafka)
    topics = {name: topic for name, topic in registry().items() if name.startswith("reference.")}

    async def apply() -> None:
        async with Cluster({"bootstrap_servers": endpoints.kafka}) as cluster:
            await cluster.apply({**topics, "doorstream.cluster": registry()["doorstream.cluster"]}, 1, 1)

    asyncio.run(apply())
    return endpoints.kafka


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["load", *map(str, arguments)])


def _small(folder: Path) -> Path:
    """A site with a tree of two zones, under ids that nothing else on the broker has."""
    own = f"load{time.time_ns()}"
    folder.mkdir()
    site = f"id: {own}\nname: Works\ntime_zone: Europe/Berlin\npolicy: {own}\n"
    (folder / "site.yaml").write_text(site)
    (folder / "policies.yaml").write_text(f"id: {own}\nmethods: [card]\n")
    (folder / "zones.csv").write_text(f"id,kind,name,parent\n{own},site,Works\n{own}-b1,building,One,{own}\n")
    return folder


def test_what_is_wrong_is_told_line_by_line_and_the_last_line_sums_it_up(tmp_path: Path) -> None:
    folder = written(tmp_path / "bad", pins_csv="credential,pin\nn0017,1234\n", devices_csv="id,nam\nhq-c01,One\n")
    result = _run(folder)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{folder}/devices.csv:2: device hq-c01: nam is not known - did you mean name?",
        f"{folder}/pins.csv:2: the PIN of n0017 is refused: a PIN must not be a sequence such as 1234 or 4321",
        f"doorstream: {folder}: 2 problems to mend; nothing was published",
    ]
    assert result.stdout == ""


def test_what_is_wrong_is_json_for_machines(tmp_path: Path) -> None:
    result = _run(written(tmp_path / "bad", devices_csv="id,nam\nhq-c01,One\n"), "--json")
    text = "device hq-c01: nam is not known - did you mean name?"
    assert json.loads(result.stdout) == {"problems": [{"file": "devices.csv", "line": 2, "text": text}]}
    assert result.exit_code == 1


def test_a_folder_that_is_not_there_is_wrong_use() -> None:
    result = _run("nowhere")
    assert result.exit_code == 2
    assert result.stderr == "doorstream: nowhere: there is no such folder: give one such as deploy/campus\n"


def test_a_broker_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORSTREAM_KAFKA", "127.0.0.1:1")
    result = _run(CAMPUS)
    assert result.exit_code == 3
    assert "Kafka does not answer" in result.stderr


def test_without_a_broker_a_dry_run_checks_the_folder() -> None:
    result = _run(CAMPUS, "--dry-run", "--json")
    assert result.exit_code == 0
    assert "DOORSTREAM_KAFKA is not set" in result.stderr
    found = json.loads(result.stdout)
    assert (found["done"], found["entities"]["door"]["new"], found["entities"]["secret"]["new"]) == (False, 60, 263)


def test_without_a_broker_a_load_says_which_setting_is_missing() -> None:
    result = _run(CAMPUS)
    assert result.exit_code == 2
    assert "DOORSTREAM_KAFKA is not set" in result.stderr


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka")
def test_a_load_says_what_it_did_and_a_second_one_has_nothing_to_do(tmp_path: Path) -> None:
    folder = _small(tmp_path / "works")
    before, first, second = _run(folder, "--dry-run"), _run(folder), _run(folder, "--json")
    assert (before.exit_code, first.exit_code, second.exit_code) == (0, 0, 0), before.stderr + first.stderr
    assert before.stdout.splitlines()[-1] == "nothing was written: this was a dry run"
    lines = {line.split()[0]: line.split()[1:] for line in first.stdout.splitlines()[1:]}
    assert (lines["zone"], lines["together"]) == (["2", "0", "0", "0"], ["4", "0", "0", "0"])
    assert json.loads(second.stdout)["total"] == {"new": 0, "changed": 0, "removed": 0, "unchanged": 4}


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka")
def test_ids_of_another_folder_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    first, second = _small(tmp_path / "one"), _small(tmp_path / "two")
    assert _run(first).exit_code == 0
    taken = (first / "zones.csv").read_text().splitlines()[1].split(",")[0]
    (second / "policies.yaml").write_text(f"id: {taken}\nmethods: [card]\n")
    site = (second / "site.yaml").read_text().splitlines()[:-1]
    (second / "site.yaml").write_text("\n".join([*site, f"policy: {taken}\n"]))
    result = _run(second)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"policy {taken} was loaded with site {taken} from another folder",
        "doorstream: 1 id belongs to another folder: choose another, or say --whole to take all over",
    ]


def test_no_pin_and_no_template_is_in_what_it_prints(tmp_path: Path) -> None:
    pins = "credential,pin,duress_pin\nn0017,471190283655,471190283655\n"
    folder = written(tmp_path / "bad", pins_csv=pins, faces_csv=SOUND["faces.csv"].replace("f0018", "f0019"))
    result = _run(folder)
    assert result.exit_code == 1
    assert "471190283655" not in result.output
    assert "0.1 -0.2" not in result.output
