"""How old is what a broker has that doesn't stamp: nothing that lay there through an outage counts as new."""

from __future__ import annotations

from typing import Any

from aiokafka.structs import ConsumerRecord

from streams.engine.dating import runs

NOW = 1_700_000_000_000


def sent(*ages_ms: int, stamped: bool = False) -> list[ConsumerRecord[Any, Any]]:
    """Records by their senders' clocks, or by the broker's."""
    return [
        ConsumerRecord("orders", 0, at, NOW - age_ms, int(stamped), None, b"{}", None, 0, 2, ())
        for at, age_ms in enumerate(ages_ms)
    ]


def ages(records: list[ConsumerRecord[Any, Any]], read_ms: int | None) -> list[tuple[int, list[int]]]:
    return [(NOW - at, [one.offset for one in run]) for at, run in runs(records, read_ms, NOW)]


def test_what_lay_there_before_a_worker_came_is_as_old_as_its_sender_says() -> None:
    assert ages(sent(64_000, 64_000, 3_000, 0), None) == [(64_000, [0, 1]), (3_000, [2]), (0, [3])]


def test_while_a_partition_is_read_no_senders_clock_decides() -> None:
    assert ages(sent(3_600_000, 0), NOW - 1_000) == [(0, [0, 1])]


def test_after_a_pause_nothing_is_older_than_the_pause() -> None:
    assert ages(sent(3_600_000, 5_000), NOW - 40_000) == [(40_000, [0]), (5_000, [1])]


def test_a_clock_that_is_ahead_makes_nothing_come_from_the_future() -> None:
    assert ages(sent(-3_600_000), None) == [(0, [0])]


def test_what_no_clock_has_stamped_is_new() -> None:
    (record,) = sent(NOW + 1)
    assert ages([record], None) == [(0, [0])]


def test_a_broker_that_stamps_is_left_to_do_so() -> None:
    assert ages(sent(64_000, 0, stamped=True), None) == [(0, [0, 1])]
