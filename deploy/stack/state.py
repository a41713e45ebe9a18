"""The record of a stack in its folder: `stack.json`, written whole or not at all, and the lock around changes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.stack.model import BrokerKind, StackError
from deploy.stack.processes import Process

FILE = "stack.json"
SECRET_FILE = "master.secret"  # noqa: S105 - a file's name
PRIVATE_MODE = 0o600
_SECRET_BYTES = 32
_LOCK_POLL_S = 0.05


@dataclass(frozen=True)
class Part:
    """A started part: what it takes to reach it, to recognise it and to stop it."""

    process: Process
    port: int
    endpoint: str
    log: str
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0


@dataclass
class Record:
    """What runs in a folder. `complete` turns true when `up` has seen every part ready."""

    broker: BrokerKind = "embedded"
    complete: bool = False
    owner: Process | None = None
    watcher: Process | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Record:
        """The record of a folder; an empty one when there is none.

        Raises:
            StackError: the file is not what this package writes.
        """
        path = folder / FILE
        try:
            raw = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise StackError(f"{path} can't be read ({error.strerror}); give a folder of your own") from None
        except ValueError:
            raise StackError(f"{path} is damaged; stop what runs there by hand and delete the file") from None
        try:
            return cls(
                broker=raw["broker"],
                complete=raw["complete"],
                owner=_process(raw["owner"]),
                watcher=_process(raw["watcher"]),
                parts={
                    name: Part(**{**part, "process": Process(**part["process"])}) for name, part in raw["parts"].items()
                },
                ports=raw["ports"],
            )
        except (KeyError, TypeError):
            raise StackError(f"{path} was written by another version; run its `stack down`, then delete it") from None

    def write(self, folder: Path) -> None:
        """Replace the file in one step; only its owner can read it, as it holds a password."""
        write_private(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")


def _process(raw: dict[str, Any] | None) -> Process | None:
    return None if raw is None else Process(**raw)


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def ensure_master_secret(folder: Path) -> Path:
    """The stack's master secret file: 32 random bytes in hexadecimal, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SECRET_FILE
    if not path.exists():
        write_private(path, secrets.token_hex(_SECRET_BYTES) + "\n")
    return path


@contextlib.asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[None]:
    """One change of a stack at a time. The lock goes with its process, so a killed one leaves none behind."""
    try:
        opened = (folder / ".lock").open("a")
    except OSError as error:
        raise StackError(f"{folder} can't be written ({error.strerror}); give a folder of your own") from None
    with opened as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_S)
                continue
            break
        yield
