"""What the machine promises whatever broker it runs on. A module with a `bench` fixture subclasses `Contract`.

Every test uses the toy bank of `tests.engine.toy`, with one partition per topic.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from schemas.record import Record
from streams.engine.marks import POSITION_HEADER, Marks
from tests.engine.toy import message


class Bench(Protocol):
    """A broker and workers that can be ill-treated. Worker 0 runs at the start; `start` gives the next number."""

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        """Write one record to partition 0 of a topic."""

    def settle(self) -> None:
        """Wait until the running workers have decided everything and their outputs are acknowledged."""

    def advance(self, seconds: float) -> None:
        """Let that much time pass on the workers' clocks, and settle."""

    def start(self) -> int:
        """Start a worker that takes partition 0."""

    def crash(self, worker: int) -> None:
        """SIGKILL."""

    def stop(self, worker: int) -> None:
        """Graceful end."""

    def pause(self, worker: int) -> None:
        """SIGSTOP; the group gives its partition away."""

    def resume(self, worker: int) -> None:
        """SIGCONT."""

    def outputs(self, topic: str) -> list[Record]:
        """All records of partition 0 of a topic, repeats included."""


def seen(bench: Bench, topic: str = "ledger") -> list[dict[str, Any]]:
    """What a reader with marks sees."""
    marks = Marks()
    fresh = [r for r in bench.outputs(topic) if marks.accept(r.topic, r.partition, r.header(POSITION_HEADER))]
    return [json.loads(record.value or b"") for record in fresh]


def balances(bench: Bench) -> list[int]:
    return [event["balance"] for event in seen(bench)]


class Contract:
    def test_every_message_is_decided_once_and_in_order(self, bench: Bench) -> None:
        for amount in range(1, 101):
            bench.publish("requests", "a", message("deposit", "a", amount))
        bench.settle()
        assert [event["amount"] for event in seen(bench)] == list(range(1, 101))
        assert balances(bench)[-1] == 5050

    def test_a_crash_loses_and_doubles_nothing(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.settle()
        bench.crash(0)
        bench.publish("requests", "a", message("deposit", "a", 2))
        bench.start()
        bench.settle()
        assert balances(bench) == [1, 3]

    def test_what_is_sent_again_is_the_same_with_the_same_number(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.settle()
        bench.crash(0)
        bench.start()
        bench.settle()
        by_position: dict[bytes | None, set[bytes | None]] = {}
        for record in bench.outputs("ledger"):
            by_position.setdefault(record.header(POSITION_HEADER), set()).add(record.value)
        assert len(by_position) == 1
        assert all(len(values) == 1 for values in by_position.values())

    def test_state_outlives_a_checkpoint_and_a_crash(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 5))
        bench.settle()
        bench.advance(1.5)
        bench.crash(0)
        bench.start()
        bench.publish("requests", "a", message("withdraw", "a", 3))
        bench.settle()
        assert balances(bench) == [5, 2]

    def test_a_graceful_stop_leaves_nothing_to_send_again(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 5))
        bench.settle()
        bench.stop(0)
        bench.start()
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.settle()
        assert balances(bench) == [5, 6]
        assert len(bench.outputs("ledger")) == 2

    def test_a_worker_that_wakes_up_after_a_takeover_decides_nothing(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.settle()
        bench.pause(0)
        bench.publish("requests", "a", message("deposit", "a", 2))
        bench.start()
        bench.settle()
        before = balances(bench)
        bench.resume(0)
        bench.settle()
        bench.publish("requests", "a", message("deposit", "a", 4))
        bench.settle()
        assert before == [1, 3]
        assert balances(bench) == [1, 3, 7]

    def test_a_bad_message_is_a_dead_letter_and_its_neighbours_are_decided(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.publish("requests", "a", b"\xff\x00 not json")
        bench.publish("requests", "a", None)
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.settle()
        assert balances(bench) == [1, 2]
        letters = bench.outputs("requests.dead")
        assert [letter.header("__connect.errors.offset") for letter in letters] == [b"1", b"2"]
        assert letters[0].value == b"\xff\x00 not json"
        assert letters[0].header("__connect.errors.stage") == b"decode"

    def test_a_decider_that_raises_refuses_that_message_alone(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.publish("requests", "a", message("nonsense", "a"))
        bench.publish("requests", "a", message("half", "a", 100))
        bench.publish("requests", "a", message("deposit", "a", 1))
        bench.settle()
        assert [(event["kind"], event["balance"]) for event in seen(bench)] == [
            ("deposited", 1),
            ("failed", 0),
            ("failed", 0),
            ("deposited", 2),
        ]
        letters = bench.outputs("requests.dead")
        assert [letter.header("__connect.errors.offset") for letter in letters] == [b"1", b"2"]
        text = letters[0].header("__connect.errors.exception.message") or b""
        assert b"RuntimeError" in text
        assert b"4711" not in text

    def test_a_deadline_outlives_a_crash(self, bench: Bench) -> None:
        bench.publish("requests", "a", message("lend", "a", 2_000))
        bench.settle()
        bench.crash(0)
        bench.start()
        bench.settle()
        bench.advance(3)
        assert [event["kind"] for event in seen(bench)] == ["lent", "overdue"]

    def test_three_crashes_under_load_change_nothing(self, bench: Bench) -> None:
        worker = 0
        for round_ in range(4):
            for _ in range(50):
                bench.publish("requests", "a", message("deposit", "a", 1))
            if round_ < 3:
                bench.advance(0.4)
                bench.crash(worker)
                worker = bench.start()
        bench.settle()
        assert balances(bench) == list(range(1, 201))
