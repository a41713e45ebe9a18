"""The README's first command, run as a newcomer runs it, and ended as impatient people end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack.processes import marked
from streams.simulator.scene import Story

STARTED_WITHIN_S = 90.0
GONE_WITHIN_S = 20.0
SERVERS, WORKERS = 4, 3


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the demo's stack lies; nothing of it may be left running."""
    yield tmp_path / "demo"
    for process in marked(tmp_path / "demo"):
        os.kill(process.pid, signal.SIGKILL)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DOORSTREAM_STACK_FOLDER": str(folder.with_name("stack"))}
    command = [sys.executable, "-m", "streams.cli", "demo", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_it_says(demo: subprocess.Popen[str], what: str) -> None:
    assert demo.stderr is not None
    deadline = time.monotonic() + STARTED_WITHIN_S
    for line in demo.stderr:
        if what in line:
            return
        assert time.monotonic() < deadline, line
    raise AssertionError(f"the demo ended: {demo.wait()}")


def nothing_is_left(folder: Path) -> bool:
    deadline = time.monotonic() + GONE_WITHIN_S
    while marked(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not marked(folder)


def test_the_demo_shows_that_nothing_is_lost_or_doubled_and_leaves_nothing_behind(folder: Path) -> None:
    demo = start(folder, "--seconds", "32", "--rate", "12", "--json")
    out, err = demo.communicate(timeout=420)
    assert demo.returncode == 0, err
    found = json.loads(out)
    assert found["requests"] == found["granted"] + found["denied"] > 50
    # A machine so busy that an answer takes two seconds makes controllers open alone: what comes then is not confirmed.
    failed = sum(found["failed_commands"].values())
    assert 0 < found["confirmed"] <= found["commands"] <= found["confirmed"] + failed
    wrong = ["undecided", "doubled", "stale_actuations", "mode_violations", "kept_in"]
    wrong += ["oracle_differences", "device_differences", "drift"]
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert found["postgres_rows"] == found["clickhouse_rows"] == found["requests"]
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert (found["broker"], found["sites"]) == ("embedded", 1)
    stories = {one["story"]: one for one in found["stories"]}
    assert set(stories) == {story.value for story in Story}
    assert all(one["complete"] for one in stories.values()), found["stories"]
    assert found["duress_leaks"] == []
    (lockdown,) = found["lockdowns"].values()
    assert lockdown["confirmed"] == lockdown["secured"] == lockdown["doors"] > len(lockdown["missing"]) > 0
    assert set(lockdown["missing"].values()) <= {"no_answer", "controller_offline"}
    assert lockdown["seconds_until_secured"] < lockdown["seconds_until_released"]
    assert len(lockdown["approved_by"]) == 2, "the plan of an intruder asks for two people"
    assert lockdown["refused"] > 0
    assert "was a drill" not in (folder / "lockdown-hq.html").read_text(encoding="utf-8")
    told = {name: {s["text"] for s in one["steps"] if s["step"] == "told"} for name, one in stories.items()}
    assert told["duress_pin"] == {"Monitoring centre by sms", "Monitoring centre by phone"}
    # Where monitoring is heightened, one level higher is told: by SMS, and of the forced door to all at once. What is
    # above the control room's rate waits, and is raised to others meanwhile.
    for name in ("held_door", "dying_controller", "pin_guesser"):
        assert told[name] & {"Control room by email", "Control room by sms", "Li Jun by sms"}, told
    assert "Chen Jing by phone" in told["forced_door"], "nobody answered the first message, so it was raised"
    steps = [s["step"] for s in stories["forced_door"]["steps"]]
    critical_at_once = any(
        s["text"].startswith("critical") for s in stories["forced_door"]["steps"] if s["step"] == "raised"
    )
    assert critical_at_once or "escalated" in steps[: steps.index("acknowledged")]
    assert steps.index("acknowledged") < steps.index("closed")
    assert err == "", "a machine's reader gets JSON and no chatter"
    assert nothing_is_left(folder)


def test_ctrl_c_ends_the_day_early_with_its_summary(folder: Path) -> None:
    demo = start(folder, "--seconds", "600")
    until_it_says(demo, "the day begins")
    time.sleep(1)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=90)
    assert demo.returncode == 0, err
    assert "undecided            0" in out
    assert nothing_is_left(folder)


def test_a_killed_demo_takes_everything_with_it(folder: Path) -> None:
    demo = start(folder, "--seconds", "600")
    until_it_says(demo, "starting workers")
    deadline = time.monotonic() + STARTED_WITHIN_S
    while len(marked(folder)) < SERVERS + WORKERS and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(marked(folder)) >= SERVERS + WORKERS
    demo.kill()
    demo.communicate()
    assert nothing_is_left(folder)


def test_a_folder_that_is_no_campus_is_refused_before_anything_starts(folder: Path, tmp_path: Path) -> None:
    demo = start(folder, "--campus", str(tmp_path / "nowhere"))
    _out, err = demo.communicate(timeout=30)
    assert demo.returncode == 2
    assert len(err.splitlines()) == 1
    assert not folder.exists()
