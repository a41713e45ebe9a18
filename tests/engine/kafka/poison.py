"""Records that no library of ours would write, as `kcat -H` does."""

from __future__ import annotations

import struct
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

NAME = b"\xff\xfe\xc3("
_STAND_IN = b"name"
_CRC_AT, _CRC_FROM = 17, 21


async def publish_poison(producer: AIOKafkaProducer, topic: str, *values: bytes) -> None:
    """One batch of records, of which the second one's only header has a name that is not UTF-8."""
    batch = producer.create_batch()
    for at, value in enumerate(values):
        batch.append(timestamp=None, key=b"k", value=value, headers=[(_STAND_IN.decode(), b"x")] if at == 1 else [])
    batch.close()
    data: Any = bytearray(batch._build())
    at = bytes(data).index(_STAND_IN)
    data[at : at + len(NAME)] = NAME
    sealed = calc_crc32c(bytes(data[_CRC_FROM:]))
    struct.pack_into(">I", data, _CRC_AT, sealed)
    batch._buffer = data
    future = await producer.send_batch(batch, topic, partition=0)
    await future
