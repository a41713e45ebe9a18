"""A stack comes up, is found again, goes down, and leaves nothing behind however its owner ends."""

# ruff: noqa: ASYNC240 - a test's event loop may wait for a local disk

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.stack import BrokerKind, StackError, StackOptions, down, lifecycle, processes, status, up
from deploy.stack.launch import Launch, Progress
from deploy.stack.processes import Process, environment, identify, is_alive, marked, stop
from deploy.stack.state import Record
from schemas.keys import read_master_secret

PATIENCE_S = 15.0

OWNER = """
    import asyncio, os, sys, time
    from pathlib import Path
    from deploy.stack import StackOptions, up
    folder, owned = Path(sys.argv[1]), sys.argv[2] == "owned"
    asyncio.run(up(StackOptions(folder, with_clickhouse=False, owner_pid=os.getpid() if owned else None)))
    print("up", flush=True)
    time.sleep(120)
"""


def broker_only(folder: Path, kafka: BrokerKind = "embedded", owner_pid: int | None = None) -> StackOptions:
    return StackOptions(folder, kafka, with_postgres=False, with_clickhouse=False, owner_pid=owner_pid)


def start_owner(folder: Path, *, owned: bool) -> subprocess.Popen[str]:
    code = textwrap.dedent(OWNER)
    arguments = [sys.executable, "-c", code, str(folder), "owned" if owned else "detached"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def end(owner: subprocess.Popen[str], number: signal.Signals = signal.SIGKILL) -> None:
    owner.send_signal(number)
    owner.wait()
    if owner.stdout is not None:
        owner.stdout.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - a process's end has no event
            await asyncio.sleep(0.05)


async def round_trip(bootstrap: str) -> bytes:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("probe", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    await producer.send_and_wait("probe", b"knock")
    await producer.stop()
    consumer = AIOKafkaConsumer("probe", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            return bytes((await consumer.getone()).value or b"")
    finally:
        await consumer.stop()


async def test_all_parts_come_up_on_this_machine_alone_and_go_down(folder: Path) -> None:
    lines: list[str] = []
    endpoints = await up(StackOptions(folder), lines.append)
    assert endpoints.broker == "embedded"
    assert endpoints.kafka.startswith("127.0.0.1:")
    assert endpoints.clickhouse.startswith("http://127.0.0.1:")
    assert "kafka is ready on " + endpoints.kafka in lines
    assert await round_trip(endpoints.kafka) == b"knock"
    connection = await asyncpg.connect(endpoints.postgres)
    assert await connection.fetchval("SELECT current_database()") == "doorstream"
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    await connection.close()
    assert status(folder).running
    assert status(folder).endpoints == endpoints

    assert sorted(await down(folder)) == ["clickhouse", "kafka", "postgres"]
    assert status(folder).endpoints is None
    assert [part.state for part in status(folder).parts] == ["stopped"] * 3
    assert marked(folder.resolve()) == []
    assert await down(folder) == []


async def test_postgres_refuses_a_wrong_password(folder: Path) -> None:
    endpoints = await up(StackOptions(folder, with_kafka=False, with_clickhouse=False))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(endpoints.postgres, password="guessed")


async def test_a_running_stack_is_found_and_reported(folder: Path) -> None:
    first = await up(broker_only(folder))
    pid = status(folder).part("kafka").pid
    assert await up(broker_only(folder)) == first
    assert status(folder).part("kafka").pid == pid


async def test_a_missing_part_is_added_and_the_running_ones_stay(folder: Path) -> None:
    await up(broker_only(folder))
    pid = status(folder).part("kafka").pid
    endpoints = await up(StackOptions(folder, with_clickhouse=False))
    assert endpoints.postgres
    assert status(folder).part("kafka").pid == pid


async def test_postgres_keeps_its_data_after_being_killed(folder: Path) -> None:
    options = StackOptions(folder, with_kafka=False, with_clickhouse=False)
    connection = await asyncpg.connect((await up(options)).postgres)
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    part = Record.read(folder).parts["postgres"]
    os.kill(part.process.pid, signal.SIGKILL)
    await until(lambda: status(folder).part("postgres").state == "stale")
    connection = await asyncpg.connect((await up(options)).postgres)
    assert await connection.fetchval("SELECT answer FROM kept") == 42
    await connection.close()


async def test_the_master_secret_is_private_and_made_once(folder: Path) -> None:
    path = Path((await up(broker_only(folder))).master_secret_file)
    secret = path.read_text(encoding="utf-8")
    assert len(read_master_secret(secret)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "stack.json").stat().st_mode) == 0o600
    await down(folder)
    await up(broker_only(folder))
    assert path.read_text(encoding="utf-8") == secret


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_an_owned_stack_dies_with_its_owner(folder: Path, number: signal.Signals) -> None:
    owner = await asyncio.to_thread(start_owner, folder, owned=True)
    try:
        assert owner.stdout is not None
        assert await asyncio.to_thread(owner.stdout.readline) == "up\n"
        assert status(folder).running
        assert status(folder).owner_pid == owner.pid
    finally:
        await asyncio.to_thread(end, owner, number)
    await until(lambda: marked(folder.resolve()) == [])
    await until(lambda: all(part.state == "stopped" for part in status(folder).parts))


async def test_a_detached_stack_outlives_the_command_that_started_it(folder: Path) -> None:
    owner = await asyncio.to_thread(start_owner, folder, owned=False)
    assert owner.stdout is not None
    await asyncio.to_thread(owner.stdout.readline)
    await asyncio.to_thread(end, owner)
    await asyncio.sleep(0.3)
    assert status(folder).running
    assert sorted(await down(folder)) == ["kafka", "postgres"]


async def test_the_next_up_ends_what_a_killed_run_and_its_watcher_left(folder: Path) -> None:
    owner = await asyncio.to_thread(start_owner, folder, owned=True)
    assert owner.stdout is not None
    await asyncio.to_thread(owner.stdout.readline)
    record = Record.read(folder)
    assert record.watcher is not None
    await stop(record.watcher, signal.SIGKILL, 1.0)
    await asyncio.to_thread(end, owner)
    left = record.parts["kafka"].process
    assert is_alive(left)

    lines: list[str] = []
    await up(broker_only(folder), lines.append)
    assert not is_alive(left)
    assert "ended what an earlier run had left: kafka, postgres" in lines
    assert status(folder).part("postgres").state == "stopped"


async def test_a_part_that_was_started_but_never_recorded_is_ended_too(folder: Path) -> None:
    await up(broker_only(folder))
    process = Record.read(folder).parts["kafka"].process
    (folder / "stack.json").unlink()
    await up(broker_only(folder))
    assert not is_alive(process)


async def test_cancelling_up_stops_what_had_been_started(folder: Path) -> None:
    task: asyncio.Task[object] | None = None

    def cancel_when_one_is_ready(line: str) -> None:
        if "is ready" in line and task is not None:
            task.cancel()

    task = asyncio.ensure_future(up(StackOptions(folder), cancel_when_one_is_ready))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked(folder.resolve()) == []
    assert not status(folder).running


async def test_interrupting_the_command_stops_what_had_been_started(folder: Path) -> None:
    owner = await asyncio.to_thread(start_owner, folder, owned=False)
    await until(lambda: bool(marked(folder.resolve())))
    await asyncio.to_thread(end, owner, signal.SIGINT)
    await until(lambda: marked(folder.resolve()) == [])


async def test_a_recycled_pid_is_never_killed(folder: Path) -> None:
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    try:
        await up(broker_only(folder))
        part = Record.read(folder).parts["kafka"]
        record = Record.read(folder)
        record.parts["postgres"] = type(part)(Process(bystander.pid, "1"), 1, "", "")
        record.write(folder)
        assert status(folder).part("postgres").state == "stale"
        assert await down(folder) == ["kafka"]
        assert identify(bystander.pid) is not None
    finally:
        bystander.kill()
        await bystander.wait()


async def test_another_broker_or_owner_is_refused_with_the_fix(folder: Path) -> None:
    await up(broker_only(folder, owner_pid=os.getpid()))
    with pytest.raises(StackError, match=rf"belongs to the running process {os.getpid()}; stop that"):
        await up(broker_only(folder))
    await down(folder)
    await up(broker_only(folder))
    with pytest.raises(StackError, match="run `doorstream stack down` first"):
        await up(broker_only(folder, kafka="apache"))


async def test_a_part_that_dies_while_starting_says_where_to_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.stack.tansu.binary", lambda _folder: Path("/bin/false"))
    started = time.monotonic()
    with pytest.raises(StackError, match=r"ended (while starting|at once).*kafka\.log"):
        await up(StackOptions(folder))
    assert time.monotonic() - started < PATIENCE_S
    assert marked(folder.resolve()) == []


async def test_what_prepares_a_part_ends_with_a_failed_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = threading.Event()

    def prepare(folder: Path, _port: int, _say: Progress) -> Launch:
        time.sleep(0.5)  # the other part has failed by now
        slept = [sys.executable, "-c", "import time; time.sleep(60)"]
        done = subprocess.run(slept, env=environment(folder, {}), check=False)
        prepared.set()
        raise StackError(f"ended with {done.returncode}")

    monkeypatch.setattr("deploy.stack.tansu.binary", lambda _folder: Path("/bin/false"))
    monkeypatch.setattr("deploy.stack.postgres.prepare", prepare)
    with pytest.raises(StackError, match=r"kafka\.log"):
        await up(StackOptions(folder))
    assert prepared.is_set()
    assert marked(folder.resolve()) == []


async def test_a_port_that_somebody_takes_in_the_last_moment_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = int(taken.getsockname()[1])
    chosen = iter([port])
    real = processes.free_port

    def choose_badly_once(preferred: int | None = None) -> int:
        return next(chosen, None) or real(preferred)

    monkeypatch.setattr(lifecycle, "free_port", choose_badly_once)
    try:
        endpoints = await up(StackOptions(folder, with_kafka=False, with_clickhouse=False))
    finally:
        taken.close()
    assert f":{port}/" not in endpoints.postgres
    connection = await asyncpg.connect(endpoints.postgres)
    await connection.close()


@pytest.mark.parametrize(
    ("text", "complaint"), [("{", "is damaged; stop"), ('{"broker": "embedded"}', "written by another version")]
)
def test_a_record_that_makes_no_sense_is_refused_with_the_fix(folder: Path, text: str, complaint: str) -> None:
    folder.mkdir()
    record = folder / "stack.json"
    record.write_text(text)
    with pytest.raises(StackError, match=complaint):
        status(folder)
    record.unlink()
