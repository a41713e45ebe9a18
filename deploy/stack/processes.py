"""Starting, recognising and ending processes so that none is ever left over and no stranger is ever killed."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import deploy
from deploy.stack.model import HOST, StackError

MARKER = "PART_OF_DOORSTREAM_STACK"
"""Environment variable that every part carries: it names the stack's folder, so that an unrecorded part is found.

Nobody else may set it, so it must not be the name of a setting: who carries it is ended by `down`.
"""

_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "JAVA_HOME", "LD_LIBRARY_PATH")
_POLL_S = 0.03
_KILL_WAIT_S = 5.0

# Popen complains when it is collected while its process lives; the parts outlive the call that starts them.
_children: dict[int, subprocess.Popen[bytes]] = {}


@atexit.register
def _part() -> None:
    """Reap the parts that have ended, and let the others go: they may outlive this process, too."""
    for child in _children.values():
        if child.poll() is None:
            child.returncode = 0
    _children.clear()


@dataclass(frozen=True)
class Process:
    """A process that can't be mistaken for another: a recycled pid has another start time."""

    pid: int
    started: str


@dataclass(frozen=True)
class Command:
    """What to run. `user` and `group` are ids to drop to; None keeps the caller's."""

    arguments: list[str]
    log: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: int | None = None
    group: int | None = None


def start_time(pid: int) -> str | None:
    """When the process started, in an opaque form; None when it doesn't run (a zombie doesn't)."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
        return None
    if sys.platform == "linux":
        try:
            # The name in parentheses may hold spaces; what follows the last one is fixed (proc(5): state is field 3).
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    listed = subprocess.run(  # noqa: S603 - a fixed command and a number
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return listed.partition(" ")[2].strip() if listed and not listed.startswith("Z") else None


def identify(pid: int) -> Process | None:
    """The process that has this pid now."""
    started = start_time(pid)
    return None if started is None else Process(pid, started)


def is_alive(process: Process) -> bool:
    """Whether exactly this process still runs."""
    return start_time(process.pid) == process.started


def module_command(module: str, *arguments: str) -> list[str]:
    """Run one of this package's modules with the running interpreter."""
    return [sys.executable, "-m", module, *arguments]


def environment(folder: Path, extra: dict[str, str]) -> dict[str, str]:
    """What a part gets to see: little, so that no `PG*` variable and no secret of the caller's reaches it."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # The package first, then where the caller's own modules come from: a part runs from anywhere.
    paths = [str(Path(deploy.__file__).resolve().parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**passed, "PYTHONPATH": os.pathsep.join(filter(None, paths)), MARKER: str(folder), **extra}


def spawn(command: Command) -> Process:
    """Start a process in a session of its own, with its output in its log.

    Raises:
        StackError: it can't be started or ended at once.
    """
    try:
        with command.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - the arguments are this package's own
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(command.folder, command.environment),
                cwd="/",
                start_new_session=True,
                user=command.user,
                group=command.group,
                extra_groups=None if command.user is None else [],
            )
    except OSError as error:
        raise StackError(f"{command.arguments[0]} can't be started ({error}); reinstall doorstream[embedded]") from None
    _children[child.pid] = child
    process = identify(child.pid)
    if process is None:
        raise StackError(f"{Path(command.arguments[0]).name} ended at once; its log says why: {command.log}")
    return process


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone."""
    if not is_alive(process):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
        return True
    return False


async def stop(process: Process, number: signal.Signals, grace_s: float) -> bool:
    """Ask a process to end and kill it when it doesn't within `grace_s` seconds; False when it wasn't running."""
    if not send(process, number):
        return False
    if not await _ended(process, grace_s):
        send(process, signal.SIGKILL)
        await _ended(process, _KILL_WAIT_S)
    return True


async def _ended(process: Process, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def marked(folder: Path) -> list[Process]:
    """Every process that carries this folder's mark, recorded or not (Linux; elsewhere only the record counts)."""
    wanted = f"{MARKER}={folder}".encode()
    found: list[Process] = []
    for entry in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        try:
            carries = wanted in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        process = identify(int(entry.name)) if carries and int(entry.name) != os.getpid() else None
        if process is not None:
            found.append(process)
    return found


def free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on: the preferred one where it is free."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, candidate))
                return int(probe.getsockname()[1])
    raise StackError("no TCP port is free on 127.0.0.1; stop something that listens there")


async def until_listening(port: int) -> None:
    """Wait until somebody accepts connections on the port."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(_POLL_S)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return


def log_tail(log: Path, lines: int = 3) -> str:
    """The end of a log in one line, for an error's text."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())
