"""How busy a thread is."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from streams.engine.load import BUSY_SHARE, LOOK_S, Load, allowed_cores


def test_busy_is_who_had_more_than_its_share_of_a_core_since_the_last_look() -> None:
    had_s = [5.0]
    load = Load(lambda: had_s[0])
    assert not load.busy(0)
    had_s[0] += LOOK_S * 1.01 * BUSY_SHARE
    assert load.busy(LOOK_S)
    had_s[0] += LOOK_S * 0.99 * BUSY_SHARE
    assert not load.busy(2 * LOOK_S)


def test_who_may_have_half_a_core_is_busy_at_half_the_load() -> None:
    had_s = [0.0]
    load = Load(lambda: had_s[0], cores=0.5)
    load.busy(0)
    had_s[0] += LOOK_S * 0.51 * BUSY_SHARE
    assert load.busy(LOOK_S)


@pytest.mark.parametrize(
    ("told", "cores"),
    [("50000 100000\n", 0.5), ("max 100000\n", 1.0), ("400000 100000\n", 1.0), ("?", 1.0), (None, 1.0)],
)
def test_a_containers_limit_is_what_control_groups_tell(tmp_path: Path, told: str | None, cores: float) -> None:
    if told is not None:
        (tmp_path / "cpu.max").write_text(told, encoding="ascii")
    assert allowed_cores(tmp_path) == cores


def test_it_is_not_worked_out_more_often_than_it_tells_something() -> None:
    looks: list[float] = []

    def cpu_s() -> float:
        looks.append(len(looks))
        return looks[-1]

    load = Load(cpu_s)
    found = [load.busy(at * LOOK_S / 8) for at in range(20)]
    assert len(looks) == 3
    assert found == [False] * 8 + [True] * 12


def test_only_the_thread_that_asks_counts() -> None:
    load, stop = Load(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            pass

    worker = threading.Thread(target=work)
    worker.start()
    try:
        load.busy(time.monotonic())
        time.sleep(3 * LOOK_S)
        assert not load.busy(time.monotonic())
    finally:
        stop.set()
        worker.join()
