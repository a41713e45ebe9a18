"""The floor: a bare aiokafka echo, what a consumer and a producer cost without any decision.

Run as a program it echoes `bench.echo.in` to `bench.echo.out` until it is stopped.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

IN, OUT = "bench.echo.in", "bench.echo.out"


async def echo(options: dict[str, Any]) -> None:
    """Publish every record of `IN` to `OUT`, acks=all, batch by batch, as fast as it goes."""
    consumer = AIOKafkaConsumer(IN, **options, group_id=None, auto_offset_reset="latest", fetch_max_wait_ms=500)
    producer = AIOKafkaProducer(**options, acks="all", linger_ms=0)
    await consumer.start()
    await producer.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        while True:
            sent = []
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                sent += [
                    await producer.send(OUT, record.value, key=record.key, partition=place.partition)
                    for record in records
                ]
            await asyncio.gather(*sent)
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    uvloop.run(echo({"bootstrap_servers": sys.argv[1]}))
