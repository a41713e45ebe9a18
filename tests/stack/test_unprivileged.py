"""PostgreSQL runs for root and for an ordinary user, wherever the checkout lies."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

import asyncpg
import pytest

from deploy.stack import StackError, StackOptions, down, postgres, unprivileged, up
from deploy.stack.state import Record
from deploy.stack.unprivileged import Account, account, can_reach, reachable_folder, reachable_programs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs, and can give, another user")
NOBODY = pwd.getpwnam("nobody")
WHO = Account(NOBODY.pw_uid, NOBODY.pw_gid)


@pytest.fixture
def hidden(folder: Path) -> Path:
    """A folder that lies under one which only root may enter."""
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)
    place = closed / "stack"
    place.mkdir()
    return place


@as_root
async def test_the_server_is_never_root(folder: Path) -> None:
    await up(StackOptions(folder, with_kafka=False, with_clickhouse=False))
    pid = Record.read(folder).parts["postgres"].process.pid
    assert Path(f"/proc/{pid}").stat().st_uid == account().user != 0  # noqa: ASYNC240 - procfs


@as_root
def test_what_every_user_can_come_to_is_told_from_what_it_cannot(hidden: Path, folder: Path) -> None:
    assert can_reach(folder)
    assert not can_reach(hidden)


@as_root
def test_data_in_a_closed_folder_goes_where_the_user_can_reach_it_and_goes_with_its_stack(
    hidden: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = folder.parent / "shared"
    shared.mkdir(mode=0o755)
    monkeypatch.setattr(unprivileged, "_SHARED", shared)
    data = reachable_folder(hidden / "postgres", WHO)
    assert data == reachable_folder(hidden / "postgres", WHO)
    assert data.is_relative_to(shared)
    assert (data.stat().st_uid, stat.S_IMODE(data.stat().st_mode)) == (WHO.user, 0o700)
    subprocess.run(["/bin/touch", str(data / "mine")], check=True, user=WHO.user, group=WHO.group, extra_groups=[])

    hidden.rmdir()
    other = hidden.with_name("other")
    other.mkdir()
    reachable_folder(other / "postgres", WHO)
    assert not data.exists()


@as_root
def test_a_place_that_somebody_else_prepared_is_not_trusted(
    hidden: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = folder.parent / "shared"
    shared.mkdir(mode=0o755)
    monkeypatch.setattr(unprivileged, "_SHARED", shared)
    place = reachable_folder(hidden / "postgres", WHO).parent
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(StackError, match="not root's own folder; remove it"):
        reachable_folder(hidden / "postgres", WHO)


@as_root
def test_programs_in_a_closed_folder_are_copied_to_where_they_run(
    hidden: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole wheel, copied as from a virtual environment in root's home."""
    shared = folder.parent / "shared"
    shared.mkdir(mode=0o755)
    monkeypatch.setattr(unprivileged, "_SHARED", shared)
    installed = postgres.programs(Account(None, None)).parents[1]
    for name in (installed.name, f"{installed.name}.libs"):
        (hidden / name).symlink_to(installed.with_name(name))
    package = hidden / installed.name
    copied = reachable_programs(package, WHO, "1")
    assert copied.is_relative_to(shared)
    assert reachable_programs(package, WHO, "1") == copied
    initdb = next(copied.glob("pginstall18/bin/initdb"))
    said = subprocess.run(
        [str(initdb), "--version"],
        check=True,
        capture_output=True,
        text=True,
        user=WHO.user,
        group=WHO.group,
        extra_groups=[],
    ).stdout
    assert said.startswith("initdb (PostgreSQL) 18")


def test_an_ordinary_user_keeps_its_own_account_and_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert account() == Account(None, None)
    assert reachable_folder(tmp_path / "postgres", account()) == tmp_path / "postgres"


@as_root
async def test_a_stack_in_a_closed_folder_works(hidden: Path) -> None:
    endpoints = await up(StackOptions(hidden, with_kafka=False, with_clickhouse=False))
    connection = await asyncpg.connect(endpoints.postgres)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    await down(hidden)
