"""Reference records to their topics: signed, in batches, each step acknowledged before the next one begins."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.base import Message
from schemas.keys import administration_key
from schemas.reference import BY_NAME
from streams.connection import started
from streams.loading.plan import Step
from streams.loading.present import source_of
from streams.signed import Event, signed_headers

VALID_FOR_S = 600
"""How long a signed record may take to its topic; what is published later than that is a replay."""

BATCH_BYTES = 512 * 1024
LARGEST_RECORD_BYTES = BATCH_BYTES // 2
IN_FLIGHT = 16
"""Batches sent before their acknowledgements are awaited."""


class Publisher:
    """Writes steps. `home` is the folder's first site; `prefix` goes before the topics' names.

    `latest_end_ms` is the latest end of a signature that is there: what ends before it would count as published again,
    so an administrator whose clock is behind another's signs a little longer.
    """

    def __init__(
        self, options: Mapping[str, Any], master: bytes, home: str, *, latest_end_ms: int = 0, prefix: str = ""
    ) -> None:
        self._options = dict(options)
        self._key = administration_key(master)
        self._source = source_of(home)
        self._prefix = prefix
        self._least_end = datetime.fromtimestamp(latest_end_ms / 1000, UTC) + timedelta(milliseconds=1)

    async def publish(self, steps: Iterable[Step], progress: Callable[[int], None] = lambda _count: None) -> int:
        """Write all steps in their order; gives how many records were written. `progress` gets each batch's count."""
        written = 0
        producer = AIOKafkaProducer(**self._options, acks="all", max_batch_size=BATCH_BYTES, linger_ms=0)
        async with started(producer):
            for step in steps:
                written += await self._step(producer, step, progress)
        return written

    async def _step(self, producer: AIOKafkaProducer, step: Step, progress: Callable[[int], None]) -> int:
        topic = self._prefix + BY_NAME[step.entity].topic
        waiting: list[asyncio.Future[Any]] = []
        batch = producer.create_batch()
        for id_, record in step.records.items():
            key, value, headers = self._signed(step.entity, topic, id_, record)
            if len(key) + len(value or b"") > LARGEST_RECORD_BYTES:
                raise ValueError(f"{step.entity} {id_} is larger than {LARGEST_RECORD_BYTES} bytes: split it")
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                waiting.append(await self._send(producer, topic, batch, progress))
                if len(waiting) >= IN_FLIGHT:
                    await _acknowledged(waiting)
                    waiting = []
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        waiting.append(await self._send(producer, topic, batch, progress))
        await _acknowledged(waiting)
        return len(step.records)

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, batch: Any, progress: Callable[[int], None]
    ) -> asyncio.Future[Any]:
        batch.close()
        progress(batch.record_count())
        sent: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=0)
        return sent

    def _signed(
        self, entity: str, topic: str, id_: str, record: Message | None
    ) -> tuple[bytes, bytes | None, list[tuple[str, bytes]]]:
        key, value = id_.encode(), None if record is None else record.to_json()
        type_ = str(BY_NAME[entity].model.model_fields["type"].default)
        event_type = type_ if record is not None else f"{type_}_removed"
        now = datetime.now(UTC)
        event = Event(secrets.token_hex(16), self._source, event_type, now.isoformat())
        self._least_end = max(now + timedelta(seconds=VALID_FOR_S), self._least_end)
        return key, value, signed_headers(self._key, event, topic, key, value, self._least_end)


async def _acknowledged(waiting: list[asyncio.Future[Any]]) -> None:
    """Wait for all; then raise what the first one that failed did."""
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
