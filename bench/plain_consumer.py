"""The ceiling: a plain aiokafka consumer that reads a topic and does nothing with it.

Run as a program with the bootstrap servers and a topic; prints one JSON line: records, seconds, CPU seconds.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

AT_LEAST_S = 3.0
"""The topic is read again from its beginning until so long was read."""


async def consume(options: dict[str, Any], topic: str) -> dict[str, float]:
    """Read all that a topic has now, again and again."""
    consumer = AIOKafkaConsumer(topic, **options, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = consumer.assignment()
        ends = {place: end for place, end in (await consumer.end_offsets(places)).items() if end > 0}
        records, start_s, start_cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start_s < AT_LEAST_S:
            await consumer.seek_to_beginning(*places)
            records += await _read(consumer, ends)
        seconds, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu
        return {"records": records, "seconds": seconds, "cpu_s": cpu_s}
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> int:
    left, records = set(ends), 0
    while left:
        for place, batch in (await consumer.getmany(timeout_ms=500)).items():
            records += len(batch)
            if batch[-1].offset + 1 >= ends[place]:
                left.discard(place)
    return records


if __name__ == "__main__":
    print(json.dumps(uvloop.run(consume({"bootstrap_servers": sys.argv[1]}, sys.argv[2]))))
