"""Keys as they are handed out, against another implementation of the standards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from nacl.public import PrivateKey

from streams import cli
from tests.e2e.outside import derived_key

MASTER = bytes(range(32))


@pytest.fixture(autouse=True)
def _master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "master").write_text(MASTER.hex())
    monkeypatch.setenv("DOORSTREAM_MASTER_SECRET_FILE", str(tmp_path / "master"))


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> str:
    monkeypatch.setattr(sys, "argv", ["doorstream", "keys", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    return capsys.readouterr().out.strip()


def test_a_controller_is_given_the_key_that_its_messages_are_checked_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(monkeypatch, capsys, "device", "hq-c01") == derived_key(MASTER, "device", "hq-c01").hex()
    swapped = json.loads(printed(monkeypatch, capsys, "device", "hq-c01", "--key-version", "2", "--json"))
    assert swapped["key"] == derived_key(MASTER, "device", "hq-c01", 2).hex()


def test_an_operator_is_given_a_key_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(monkeypatch, capsys, "operator", "op-7") == derived_key(MASTER, "operator", "op-7").hex()


def test_everybody_is_given_the_public_key_that_secrets_are_sealed_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    public = PrivateKey(derived_key(MASTER, "sealing", "decide")).public_key
    assert printed(monkeypatch, capsys, "sealing") == bytes(public).hex()


def test_without_a_master_secret_there_are_no_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DOORSTREAM_MASTER_SECRET_FILE")
    monkeypatch.setattr(sys, "argv", ["doorstream", "keys", "sealing"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("doorstream: DOORSTREAM_MASTER_SECRET_FILE is not set")
