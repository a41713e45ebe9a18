"""An observer that remembers, and shorthands for reading a harness."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from streams.engine.harness import Harness
from streams.engine.journal import JournalRecord, decode_record
from streams.engine.marks import POSITION_HEADER
from streams.engine.observer import Observer


class Watching(Observer):
    def __init__(self) -> None:
        self.drops: list[tuple[int, str]] = []
        self.halts: list[tuple[int, str]] = []
        self.recoveries: list[tuple[int, int]] = []
        self.drifts: list[tuple[int, int]] = []
        self.skips: list[tuple[int, int]] = []
        self.ticks: list[str] = []
        self.retries: list[str] = []
        self.skews: list[int] = []
        self.decisions: list[tuple[int, int]] = []
        self.outcomes: list[Any] = []
        self.checkpoints: list[tuple[int, int]] = []

    def decided(self, partition: int, messages: int, ticks: int) -> None:
        assert messages >= 0 <= ticks
        self.decisions.append((partition, messages))

    def came_out(self, outcomes: Sequence[Any]) -> None:
        self.outcomes += outcomes

    def dropped(self, partition: int, reason: str) -> None:
        self.drops.append((partition, reason))

    def halted(self, partition: int, reason: str) -> None:
        self.halts.append((partition, reason))

    def recovered(self, partition: int, entries: int, seconds: float) -> None:
        assert seconds >= 0
        self.recoveries.append((partition, entries))

    def drift(self, partition: int, number: int) -> None:
        self.drifts.append((partition, number))

    def skipped(self, partition: int, number: int, index: int) -> None:
        assert partition >= 0
        self.skips.append((number, index))

    def tick_failed(self, partition: int, key: str, error: str) -> None:
        self.ticks.append(f"{partition} {key} {error}")

    def retried(self, step: str, error: str) -> None:
        self.retries.append(f"{step}: {error}")

    def clock_skew(self, milliseconds: int) -> None:
        self.skews.append(milliseconds)

    def checkpointed(self, partition: int, number: int, entities: int) -> None:
        assert partition >= 0
        self.checkpoints.append((number, entities))


def watching(harness: Harness) -> Watching:
    assert isinstance(harness.observer, Watching)
    return harness.observer


def events(harness: Harness, topic: str = "ledger", *, marked: bool = True) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"null") for record in harness.outputs(topic, marked=marked)]


def kinds(harness: Harness) -> list[str]:
    return [event["kind"] for event in events(harness)]


def balances(harness: Harness) -> list[int]:
    return [event["balance"] for event in events(harness)]


def assert_repeats_are_equal(harness: Harness, topic: str = "ledger") -> None:
    """What was sent again has the same number, key and value. (The last entry's drift shows in nothing else.)"""
    by_position: dict[bytes | None, set[tuple[bytes | None, bytes | None]]] = {}
    for record in harness.outputs(topic, marked=False):
        by_position.setdefault(record.header(POSITION_HEADER), set()).add((record.key, record.value))
    assert [position for position, sent in by_position.items() if len(sent) > 1] == []


def journal(harness: Harness, partition: int = 0) -> list[JournalRecord]:
    records = harness.broker.log("doorstream.bank.journal", partition).records
    return [item for record in records if (item := decode_record(record)) is not None]
