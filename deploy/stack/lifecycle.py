"""Bringing a stack up, taking it down, and telling what runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from deploy.stack import apache, catcher, clickhouse, postgres, tansu
from deploy.stack.launch import Launch, Progress
from deploy.stack.model import (
    CATCHER,
    CLICKHOUSE,
    DEFAULT_FOLDER,
    HOST,
    KAFKA,
    PARTS,
    POSTGRES,
    BrokerKind,
    Endpoints,
    PartState,
    PartStatus,
    StackError,
    StackOptions,
    StackStatus,
)
from deploy.stack.processes import (
    Command,
    Process,
    free_port,
    identify,
    is_alive,
    log_tail,
    marked,
    module_command,
    spawn,
    stop,
)
from deploy.stack.state import SECRET_FILE, Part, Record, ensure_master_secret, locked

_READY_WITHIN_S = 60.0
_WATCH_S = 0.1
_ATTEMPTS = 3
_FOLDER_MODE = 0o755
_WATCHER_GRACE_S = 1.0
_LEFTOVER_GRACE_S = 3.0
_ROUNDS = 5

Prepare = Callable[[Path, int, Progress], Launch]
_BROKERS: dict[BrokerKind, Prepare] = {"embedded": tansu.prepare, "apache": apache.prepare}


async def up(options: StackOptions, on_progress: Progress | None = None) -> Endpoints:
    """Start what is not running yet and wait until all of it answers.

    A running stack is found and reported. What a dead run has left is ended first. When this fails or is cancelled,
    what it has started is stopped again.

    Raises:
        StackError: a part can't be started, another broker runs in the folder, or the stack belongs to another process.
    """
    folder = _make_folder(options.folder)
    say = on_progress or (lambda _line: None)
    async with locked(folder):
        record = await _inherit(folder, options, say)
        ensure_master_secret(folder)
        missing = [name for name in options.wanted if name not in record.parts]
        if missing:
            await _start(folder, record, options, missing, say)
        return _endpoints(folder, record, options.wanted)


async def down(folder: Path = DEFAULT_FOLDER) -> list[str]:
    """Stop all that runs in the folder and return the names of what was stopped. The data stays."""
    found = _existing(folder)
    if found is None:
        return []
    async with locked(found):
        return await _stop_all(found, Record.read(found))


def status(folder: Path = DEFAULT_FOLDER) -> StackStatus:
    """What runs in the folder, without waiting for anything.

    Raises:
        StackError: the folder's record can't be read.
    """
    folder = folder.resolve()
    record = Record.read(folder)
    shown = [*PARTS, *(name for name in record.parts if name not in PARTS)]
    parts = tuple(_part_status(name, record.parts.get(name)) for name in shown)
    running = [part.name for part in parts if part.state == "running"]
    return StackStatus(
        folder=folder,
        parts=parts,
        broker=record.broker if record.parts else None,
        owner_pid=record.owner.pid if record.owner is not None else None,
        endpoints=_endpoints(folder, record, running) if running else None,
    )


def _part_status(name: str, part: Part | None) -> PartStatus:
    if part is None:
        return PartStatus(name, "stopped")
    state: PartState = "running" if is_alive(part.process) else "stale"
    return PartStatus(name, state, part.process.pid, part.port, part.endpoint, part.log)


def _existing(folder: Path) -> Path | None:
    return folder.resolve() if folder.is_dir() else None


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"{folder} can't be made ({error.strerror}); give another folder") from None
    return folder.resolve()


async def _inherit(folder: Path, options: StackOptions, say: Progress) -> Record:
    """The record to go on with: that of a live stack, or an empty one after the leftovers were ended."""
    record = Record.read(folder)
    owner_alive = record.owner is None or is_alive(record.owner)
    alive = {name: part for name, part in record.parts.items() if is_alive(part.process)}
    if not (record.complete and owner_alive and alive):
        if stopped := await _stop_all(folder, record):
            say(f"ended what an earlier run had left: {', '.join(stopped)}")
        return Record(broker=options.kafka, ports=record.ports)
    if record.owner is not None and record.owner.pid != options.owner_pid:
        raise StackError(
            f"the stack in {folder} belongs to the running process {record.owner.pid}; stop that or give another folder"
        )
    if record.broker != options.kafka and KAFKA in alive:
        raise StackError(f"the {record.broker} broker runs in {folder}; run `doorstream stack down` first")
    record.broker = options.kafka
    record.parts = alive
    return record


async def _start(folder: Path, record: Record, options: StackOptions, missing: list[str], say: Progress) -> None:
    before = set(record.parts)
    record.complete = False
    if record.owner is None and options.owner_pid is not None and not before:
        record.owner = identify(options.owner_pid)
        if record.owner is None:
            raise StackError(f"there is no process {options.owner_pid} to own the stack; give a running one")
        record.watcher = spawn(_watcher(folder, record.owner))
        record.write(folder)
    try:
        async with asyncio.TaskGroup() as group:
            for name in missing:
                group.create_task(_start_part(folder, record, name, say))
    except BaseException as error:
        await asyncio.shield(_undo(folder, record, before))
        if isinstance(error, BaseExceptionGroup):
            raise _first(error) from None
        raise
    record.complete = True
    record.write(folder)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to show: a stack error where there is one, as the rest follows from it."""
    found = group.subgroup(StackError) or group
    inner = found.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _watcher(folder: Path, owner: Process) -> Command:
    arguments = ["--folder", str(folder), "--pid", str(owner.pid), "--started", owner.started]
    return Command(module_command("deploy.stack.watcher", *arguments), folder / "watcher.log", folder)


def _preparer(name: str, broker: BrokerKind) -> Prepare:
    return {
        KAFKA: _BROKERS[broker],
        POSTGRES: postgres.prepare,
        CLICKHOUSE: clickhouse.prepare,
        CATCHER: catcher.prepare,
    }[name]


async def _start_part(folder: Path, record: Record, name: str, say: Progress) -> None:
    say(f"starting {name}")
    loop = asyncio.get_running_loop()

    def say_from_thread(line: str) -> None:
        loop.call_soon_threadsafe(partial(say, line))

    preferred = record.ports.get(name)
    for attempt in range(_ATTEMPTS):
        port = free_port(preferred if attempt == 0 else None)
        launch = await _prepared(partial(_preparer(name, record.broker), folder, port, say_from_thread), folder, record)
        try:
            await _start_once(folder, record, name, launch)
        except StackError:
            # Between being chosen and being listened on, a port can go to somebody else's connection.
            if free_port(port) == port or attempt == _ATTEMPTS - 1:
                raise
            if (failed := record.parts.pop(name, None)) is not None:
                await _stop_part(failed)
            continue
        say(f"{name} is ready on {HOST}:{port}")
        return


async def _prepared(prepare: Callable[[], Launch], folder: Path, record: Record) -> Launch:
    """Prepare in a thread. A thread can't be cancelled: the programs that it runs are ended until it gives up."""
    preparing = asyncio.ensure_future(asyncio.to_thread(prepare))
    try:
        return await asyncio.shield(preparing)
    except asyncio.CancelledError:
        while not (await asyncio.wait({preparing}, timeout=_WATCH_S))[0]:
            await _end(_unrecorded(folder, record))
        with contextlib.suppress(Exception):
            preparing.result()
        raise


async def _start_once(folder: Path, record: Record, name: str, launch: Launch) -> None:
    process = spawn(launch.command)
    record.parts[name] = Part(
        process, launch.port, launch.endpoint, str(launch.command.log), int(launch.stop_signal), launch.grace_s
    )
    record.ports[name] = launch.port
    record.write(folder)
    await _until_ready(name, launch, process)


async def _until_ready(name: str, launch: Launch, process: Process) -> None:
    ready = asyncio.ensure_future(launch.ready())
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            while not ready.done():
                await asyncio.wait({ready}, timeout=_WATCH_S)
                if not is_alive(process):
                    said = log_tail(launch.command.log)
                    raise StackError(f"{name} ended while starting ({said}); see {launch.command.log}")
        await ready
    except TimeoutError:
        raise StackError(f"{name} gave no answer in {_READY_WITHIN_S:.0f} s; see {launch.command.log}") from None
    finally:
        ready.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await ready


async def _undo(folder: Path, record: Record, before: set[str]) -> None:
    if not before:
        await _stop_all(folder, record)
        return
    started = {name: part for name, part in record.parts.items() if name not in before}
    await asyncio.gather(*(_stop_part(part) for part in started.values()))
    for name in started:
        del record.parts[name]
    record.complete = True
    record.write(folder)


async def _stop_part(part: Part) -> bool:
    return await stop(part.process, signal.Signals(part.stop_signal), part.grace_s)


async def _stop_all(folder: Path, record: Record) -> list[str]:
    """Stop the recorded parts, then whatever else carries this folder's mark."""
    if record.watcher is not None and record.watcher.pid != os.getpid():
        await stop(record.watcher, signal.SIGTERM, _WATCHER_GRACE_S)
    names = list(record.parts)
    done = await asyncio.gather(*(_stop_part(part) for part in record.parts.values()))
    ended = False
    for _ in range(_ROUNDS):  # what is being ended may have been starting something
        if not (rest := marked(folder)):
            break
        ended = True
        await _end(rest)
    record.parts, record.owner, record.watcher, record.complete = {}, None, None, False
    record.write(folder)
    stopped = [name for name, was_running in zip(names, done, strict=True) if was_running]
    return stopped + (["unrecorded processes"] if ended else [])


def _unrecorded(folder: Path, record: Record) -> list[Process]:
    """What runs for this folder's parts before they do: the programs that prepare them."""
    known = {part.process for part in record.parts.values()} | {record.watcher}
    return [process for process in marked(folder) if process not in known]


async def _end(processes: list[Process]) -> None:
    await asyncio.gather(*(stop(process, signal.SIGTERM, _LEFTOVER_GRACE_S) for process in processes))


def _endpoints(folder: Path, record: Record, names: Collection[str]) -> Endpoints:
    reached = {name: record.parts[name].endpoint if name in names else "" for name in (*PARTS, CATCHER)}
    return Endpoints(
        kafka=reached[KAFKA],
        postgres=reached[POSTGRES],
        clickhouse=reached[CLICKHOUSE],
        broker=record.broker,
        master_secret_file=str(folder / SECRET_FILE),
        catcher=reached[CATCHER],
    )
