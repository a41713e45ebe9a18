"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.agents.site import wire
from streams.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DOORSTREAM_{name.upper()}", raising=False)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doorstream.toml").write_text('kafka = "file:9092"\npartitions = 3\n')
    monkeypatch.setenv("DOORSTREAM_KAFKA", "environment:9092")
    settings = load_settings()
    assert (settings.kafka, settings.partitions) == ("environment:9092", 3)


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORSTREAM_CLICKHOUS", "x")
    with pytest.raises(SettingsError, match="did you mean DOORSTREAM_CLICKHOUSE"):
        load_settings()


def test_an_unknown_line_of_the_file_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    (tmp_path / "doorstream.toml").write_text('partition = "x"\n')
    with pytest.raises(SettingsError, match="did you mean partitions"):
        load_settings()


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "doorstream.toml").write_text("kafka = ")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load_settings()


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORSTREAM_PARTITIONS", "many")
    with pytest.raises(SettingsError, match="DOORSTREAM_PARTITIONS"):
        load_settings()


def test_what_is_needed_and_not_set_says_how_to_set_it() -> None:
    with pytest.raises(SettingsError, match="DOORSTREAM_POSTGRES is not set"):
        load_settings().need("postgres")


def test_the_names_of_the_tests_servers_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOORSTREAM_TEST_KAFKA", "127.0.0.1:9092")
    assert load_settings().kafka == ""


def test_a_master_secret_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("00112233445566778899aabbccddeeff\n")
    assert load_settings(master_secret_file=path).master_secret() == bytes.fromhex("00112233445566778899aabbccddeeff")


@pytest.mark.parametrize(("text", "problem"), [(None, "No such file"), ("xyz", "hexadecimal"), ("00", "too short")])
def test_a_bad_master_secret_file_says_what_is_wrong(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=problem):
        load_settings(master_secret_file=path).master_secret()


def test_every_setting_is_on_the_settings_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `DOORSTREAM_(\w+)` \|[^|]*\| ([^|]*) \|$", page, re.MULTILINE))
    assert rows == {name.upper(): field.description for name, field in Settings.model_fields.items()}


@pytest.mark.parametrize(("given", "group"), [(None, (10.0, 3.0)), ("6", (6.0, 2.0)), ("60", (60.0, 3.0))])
async def test_a_decide_worker_is_missed_after_the_session_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, group: tuple[float, float]
) -> None:
    (tmp_path / "master").write_text("ab" * 32)
    monkeypatch.setenv("DOORSTREAM_MASTER_SECRET_FILE", str(tmp_path / "master"))
    monkeypatch.setenv("DOORSTREAM_KAFKA", "127.0.0.1:9")
    if given is not None:
        monkeypatch.setenv("DOORSTREAM_SESSION_TIMEOUT_S", given)
    for runner in wire(load_settings(), 1).runners:
        told = runner._options.group
        assert (told.session_timeout_s, told.heartbeat_s) == group


@pytest.mark.parametrize("given", ["5.9", "61", "soon"])
def test_a_session_timeout_that_kafka_refuses_or_that_nobody_wants_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("DOORSTREAM_SESSION_TIMEOUT_S", given)
    with pytest.raises(SettingsError, match="DOORSTREAM_SESSION_TIMEOUT_S"):
        load_settings()
