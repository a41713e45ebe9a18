"""However much hangs, a worker stops within about ten seconds."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.engine.kafka_settings import KafkaSettings
from streams.engine.runner import DecideOptions, ProcessorRunner
from streams.engine.virtual import VirtualLoop
from tests.engine.toy import Bank


class Hanging:
    """Stands for a machine, an app and a broker of a cluster that is gone."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.consumer = self

    def stop_flow(self) -> None:
        self.asked.append("flow")

    async def stop(self) -> None:
        self.asked.append("stop")
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.asked.append("close")
        await asyncio.Event().wait()


def test_a_stop_is_bounded_where_the_broker_is_gone() -> None:
    runner: Any = ProcessorRunner(Bank(), DecideOptions(KafkaSettings("127.0.0.1:9")))
    runner._started = True
    runner.machine = runner.app = runner._broker = gone = Hanging()
    loop = VirtualLoop()
    started_s = loop.time()
    loop.run_until_complete(runner.stop())
    taken_s = loop.time() - started_s
    loop.close()
    assert gone.asked == ["flow", "stop", "stop", "close"]
    assert 10 <= taken_s <= 12.1
