from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import aiohttp
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from schemas.registry import decode
from streams import telemetry
from streams.agents.metering import MetricsObserver, count_device, tell_lag
from streams.engine.lagging import Lag
from streams.engine.ports import TopicPartition

EXAMPLES = Path(__file__).parents[1] / "examples"
PROMISED = {
    "doorstream_decisions": {"outcome", "reason", "site_group"},
    "doorstream_decision_seconds": set(),
    "doorstream_command_seconds": set(),
    "doorstream_lag_messages": {"role", "topic", "partition"},
    "doorstream_lag_seconds": {"role", "topic", "partition"},
    "doorstream_dead_letters": {"topic", "stage"},
    "doorstream_journal_entries": {"processor"},
    "doorstream_device_events": {"event", "site_group"},
}


class Worker:
    def __init__(self, lags: Mapping[TopicPartition, Lag]) -> None:
        self.lags: Mapping[str, Mapping[TopicPartition, Lag]] = {"site": lags}
        self.owned: Mapping[str, int] = {"site": 3}


async def pages(health: telemetry.Health) -> dict[str, tuple[int, str]]:
    runner, port = await telemetry.serve(health, "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            found = {}
            for page in ("metrics", "livez", "readyz"):
                async with session.get(f"http://127.0.0.1:{port}/{page}") as answer:
                    found[page] = (answer.status, await answer.text())
            return found
    finally:
        await runner.cleanup()


def test_every_promised_metric_is_there_with_its_labels() -> None:
    found = {metric.name: set(getattr(each, "_labelnames", ())) for each in collectors() for metric in each.describe()}
    assert {name: found.get(name) for name in PROMISED} == PROMISED


def collectors() -> list[Counter | Gauge | Histogram]:
    kinds = (Counter, Gauge, Histogram)
    return [value for value in vars(telemetry).values() if isinstance(value, kinds)]


async def test_the_lag_is_asked_for_at_each_scrape_and_what_went_elsewhere_is_gone() -> None:
    worker = Worker({("access.requests", 4): Lag(7, 2.5)})
    health = telemetry.Health()
    health.before_metrics.append(lambda: tell_lag([worker]))
    first = (await pages(health))["metrics"][1]
    assert sample(first, "doorstream_lag_messages") == {("access.requests", "4"): 7.0}
    assert sample(first, "doorstream_lag_seconds") == {("access.requests", "4"): 2.5}
    worker.lags = {"site": {}}
    assert sample((await pages(health))["metrics"][1], "doorstream_lag_messages") == {}


def sample(text: str, name: str) -> dict[tuple[str, str], float]:
    return {
        (each.labels["topic"], each.labels["partition"]): each.value
        for family in text_string_to_metric_families(text)
        if family.name == name
        for each in family.samples
    }


async def test_health_pages_say_what_is_wrong() -> None:
    health = telemetry.Health()
    assert {page: status for page, (status, _) in (await pages(health)).items()} == {
        "metrics": 200,
        "livez": 200,
        "readyz": 200,
    }
    health.ready["decide"] = lambda: "not ready"
    found = await pages(health)
    assert found["readyz"] == (503, "decide: not ready\n")
    assert found["livez"] == (200, "ok\n")


def test_what_is_told_of_devices_is_counted_and_a_probe_is_no_command_that_somebody_waits_for() -> None:
    state = decode("device.states", (EXAMPLES / "device.states/v1/device_state.json").read_bytes())
    before = counted("doorstream_device_events_total", event="controller_offline")
    count_device(state)
    count_device("something else")
    assert counted("doorstream_device_events_total", event="controller_offline") == before + 1
    waited = counted("doorstream_command_seconds_count")
    MetricsObserver("devices").acknowledged("device.commands", 0)
    assert counted("doorstream_command_seconds_count") == waited
    MetricsObserver("site").acknowledged("device.commands", 0)
    assert counted("doorstream_command_seconds_count") == waited + 1


def counted(name: str, **labels: str) -> float:
    return sum(
        sample.value
        for metric in telemetry.REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
