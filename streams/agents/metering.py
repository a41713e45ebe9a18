"""Counting what a processor decides, without the core knowing of metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import structlog
from prometheus_client import Counter

from schemas.access import AccessDenied, AccessGranted
from schemas.device_states import DeviceState
from schemas.ids import derive
from schemas.lockouts import LockoutStarted
from schemas.record import Record
from streams import telemetry
from streams.core.admission import DeviceHeard
from streams.engine.lagging import Lag
from streams.engine.observer import Observer
from streams.engine.ports import TopicPartition
from streams.engine.recording_lanes import SinkLane

SITE_GROUPS = 16
"""Sites are counted in this many groups, so that a thousand sites don't make a thousand series."""

COMMANDS = "device.commands"

log = structlog.get_logger("doorstream")

_AGAIN = telemetry.DUPLICATES.labels("site")


@cache
def site_group(site_id: str) -> str:
    """The group that a site is counted in: stable, `00` to `15`."""
    return f"{int(derive('site-group', site_id)[:8], 16) % SITE_GROUPS:02d}"


@cache
def _decisions(outcome: str, reason: str, group: str) -> Counter:
    return telemetry.DECISIONS.labels(outcome, reason, group)


def count_outcome(outcome: Any) -> None:
    """Count decisions by outcome, reason and site group, how old their requests were, locks, and what came again."""
    kind = type(outcome)
    if kind is DeviceHeard:
        if outcome.again:
            _AGAIN.inc()
        return
    if kind is AccessGranted or kind is AccessDenied:
        name = "granted" if kind is AccessGranted else "denied"
        _decisions(name, outcome.reason or "none", site_group(outcome.site_id)).inc()
        telemetry.DECISION_SECONDS.observe(outcome.age_ms / 1000)
    elif kind is LockoutStarted:
        telemetry.LOCKOUTS.labels(outcome.subject).inc()


def count_device(outcome: Any) -> None:
    """Count what is told of a device, by event and site group."""
    if type(outcome) is DeviceState:
        telemetry.DEVICE_EVENTS.labels(outcome.event.value, site_group(outcome.site_id)).inc()


class Measured(Protocol):
    """A worker that tells how it fares: a decide or a record one."""

    @property
    def lags(self) -> Mapping[str, Mapping[TopicPartition, Lag]]:
        """Lag of each topic partition, by role."""

    @property
    def owned(self) -> Mapping[str, int]:
        """Partitions in hand, by role."""


def tell_lag(workers: Sequence[Measured]) -> None:
    """Set the gauges of lag and ownership to how these workers stand now."""
    for gauge in (telemetry.LAG_MESSAGES, telemetry.LAG_SECONDS, telemetry.PARTITIONS_OWNED):
        gauge.clear()
    for worker in workers:
        for role, count in worker.owned.items():
            telemetry.PARTITIONS_OWNED.labels(role).set(count)
        for role, lags in worker.lags.items():
            for (topic, partition), lag in lags.items():
                telemetry.LAG_MESSAGES.labels(role, topic, partition).set(lag.messages)
                telemetry.LAG_SECONDS.labels(role, topic, partition).set(lag.seconds)


class StoredCounts:
    """What the sinks of a recorder have stored and tried again, as counters."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, int]] = {}

    def tell(self, lanes: Sequence[SinkLane]) -> None:
        """Count what has come since the last time."""
        for lane in lanes:
            name = lane.sink.name
            stored, retries = self._told.get(name, (0, 0))
            telemetry.RECORDS_STORED.labels(name).inc(lane.stored - stored)
            telemetry.SINK_RETRIES.labels(name).inc(lane.retries - retries)
            self._told[name] = lane.stored, lane.retries


class MetricsObserver(Observer):
    """What the engine tells, as metrics and log lines; `count` counts one outcome."""

    def __init__(self, processor: str, count: Callable[[Any], None] | None = None) -> None:
        self._name = processor
        self._count = count
        self._cycles = telemetry.CYCLE_SECONDS.labels(processor)
        self._entries = telemetry.JOURNAL_ENTRIES.labels(processor)

    def cycle(self, seconds: float, messages: int, partitions: int) -> None:  # noqa: ARG002 - the engine's signature
        """Observe how long a cycle took."""
        self._cycles.observe(seconds)

    def came_out(self, outcomes: Sequence[Any]) -> None:
        """Count outcomes."""
        if self._count is not None:
            for outcome in outcomes:
                self._count(outcome)

    def journalled(self, partition: int, records: int) -> None:  # noqa: ARG002
        """Count journal records."""
        self._entries.inc(records)

    def acknowledged(self, topic: str, since_ms: int) -> None:
        """Observe how long commands took from their request on."""
        # A probe answers nobody who waits.
        if topic == COMMANDS and self._name == "site":
            telemetry.COMMAND_SECONDS.observe(max(0.0, time.time() - since_ms / 1000))

    def dead_letter(self, topic: str, partition: int, offset: int, stage: str, error: str) -> None:
        """Count and log a dead letter."""
        telemetry.DEAD_LETTERS.labels(topic, stage).inc()
        log.warning("dead_letter", topic=topic, partition=partition, offset=offset, stage=stage, error=error)

    def tick_failed(self, partition: int, key: str, error: str) -> None:
        """Count and log a deadline that could not be decided: every minute, until it can be."""
        telemetry.TICKS_FAILED.labels(self._name).inc()
        log.critical("tick_failed", processor=self._name, partition=partition, key=key, error=error)

    def recovered(self, partition: int, entries: int, seconds: float) -> None:
        """Count and log a recovery."""
        telemetry.RECOVERIES.labels(self._name).inc()
        log.info("recovered", processor=self._name, partition=partition, entries=entries, seconds=round(seconds, 3))

    def dropped(self, partition: int, reason: str) -> None:
        """Count and log a partition that was given up."""
        telemetry.PARTITIONS_DROPPED.labels(self._name, reason.partition(":")[0][:60]).inc()
        log.warning("dropped", processor=self._name, partition=partition, reason=reason)

    def halted(self, partition: int, reason: str) -> None:
        """Log a partition that waits for a person."""
        log.critical("halted", processor=self._name, partition=partition, reason=reason)

    def drift(self, partition: int, number: int) -> None:
        """Log that deciding again gave something else."""
        log.critical("drift", processor=self._name, partition=partition, number=number)

    def verifiers_hung(self, threads: int) -> None:
        """Tell and log how many threads hang."""
        telemetry.VERIFIERS_HUNG.labels(self._name).set(threads)
        log.error("verifiers_hung", processor=self._name, threads=threads)

    def skipped(self, partition: int, number: int, index: int) -> None:
        """Log a cause that was passed over."""
        log.critical("skipped", processor=self._name, partition=partition, number=number, index=index)

    def reference_refused(self, record: Record) -> None:
        """Count and log a reference record that somebody else wrote."""
        telemetry.REFERENCES_REFUSED.labels(record.topic).inc()
        log.critical("reference_refused", topic=record.topic, offset=record.offset, key=str(record.key)[:130])

    def retried(self, step: str, error: str) -> None:
        """Log a step that is tried again."""
        log.warning("retried", processor=self._name, step=step, error=error)

    def clock_skew(self, milliseconds: int) -> None:
        """Log a clock that is wrong."""
        log.critical("clock_skew", processor=self._name, milliseconds=milliseconds)
