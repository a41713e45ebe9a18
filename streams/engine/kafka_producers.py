"""Producers of a worker: one for journals, one for everything else, shared by all of its writers.

aiokafka has one produce request in flight per node and producer, so a journal must not queue behind outputs; and what
many partitions append in one turn of the event loop leaves in one request only if they share a producer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from schemas.record import Output
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import TransientError, UnknownOutcome

BATCH_BYTES = 900_000
"""One batch at most: below the broker's default limit of 1 MiB, which is a limit of batches."""
RECORD_BYTES = 1_000_000
"""Key, value and headers of one record at most; a bigger one is refused before anything is written."""
HEADER_BYTES = 16
DELIVERY_TIMEOUT_S = 15.0
"""After that nobody knows what became of an append: an idempotent aiokafka batch would be retried for ever."""

BROKEN_STOP_S = 1.0

_REFUSED = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class SharedProducer:
    """One aiokafka producer. After an unknown outcome it is `broken`: it takes nothing more and is replaced."""

    def __init__(self, settings: KafkaSettings, *, idempotent: bool, lz4: bool, timeout_s: float) -> None:
        self.broken = False
        self._timeout_s = timeout_s
        self._locks: dict[tuple[str, int], asyncio.Lock] = {}
        self._producer = AIOKafkaProducer(
            **settings.client_options,
            acks="all",
            enable_idempotence=idempotent,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            compression_type="lz4" if lz4 else None,
            request_timeout_ms=int(timeout_s * 1000),
        )

    async def start(self) -> None:
        """Connect.

        Raises:
            TransientError: the broker can't be reached.
        """
        try:
            await self._producer.start()
        except KafkaError as error:
            with contextlib.suppress(Exception):
                await self._producer.stop()
            raise TransientError(f"a producer can't reach Kafka: {error}") from error

    async def stop(self) -> None:
        """Disconnect; whatever is still under way has an unknown outcome."""
        patience_s = BROKEN_STOP_S if self.broken else self._timeout_s
        self.broken = True
        try:
            await asyncio.wait_for(self._producer.stop(), patience_s)
        except (TimeoutError, KafkaError, OSError):
            # It waits for acknowledgements that won't come: pull the connections from under it.
            with contextlib.suppress(Exception):
                await self._producer.client.close()
                await asyncio.wait_for(self._producer._sender.close(), BROKEN_STOP_S)  # noqa: SLF001

    def build(self, outputs: Sequence[Output]) -> list[Any]:
        """Batches of these outputs, in order.

        Raises:
            ValueError: one of them is too large; nothing is written then.
        """
        batches = [self._producer.create_batch()]
        for output in outputs:
            check_size(output)
            headers = list(output.headers)
            timestamp = output.timestamp_ms
            if batches[-1].append(timestamp=timestamp, key=output.key, value=output.value, headers=headers) is None:
                batches.append(self._producer.create_batch())
                batches[-1].append(timestamp=timestamp, key=output.key, value=output.value, headers=headers)
        for batch in batches:
            batch.close()
        return batches

    async def send(self, topic: str, partition: int, batches: Sequence[Any]) -> int:
        """Hand the batches over, in the order of the calls per partition, and await them; gives the first offset."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(topic, partition, batches)
        except TimeoutError:
            self.broken = True
            raise UnknownOutcome(f"{topic}/{partition}: no answer within {self._timeout_s:g} s") from None
        except _TOO_LARGE as error:
            raise ValueError(f"{topic}/{partition}: the broker takes no batch that large: {error}") from error
        except _REFUSED as error:
            raise TransientError(f"{topic}/{partition}: refused: {error!r}") from error
        except (KafkaError, OSError) as error:
            self.broken = True
            raise UnknownOutcome(f"{topic}/{partition}: {error!r}") from error

    async def _send(self, topic: str, partition: int, batches: Sequence[Any]) -> int:
        place = (topic, partition)
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = asyncio.Lock()
        async with lock:
            if self.broken:
                raise UnknownOutcome(f"{topic}/{partition}: the producer was given up")
            future = await self._producer.send_batch(batches[0], topic, partition=partition)
            if len(batches) > 1:
                # Each after the one before it: were an earlier one refused, its repeat would come after later ones,
                # and readers drop what is below their mark.
                first = await _offset(future)
                for batch in batches[1:]:
                    await _offset(await self._producer.send_batch(batch, topic, partition=partition))
        if len(batches) == 1:
            first = await _offset(future)
        if first < 0:
            self.broken = True
            raise UnknownOutcome(f"{topic}/{partition}: acknowledged without an offset")
        return first


async def _offset(future: asyncio.Future[Any]) -> int:
    """What a batch was given; who no longer waits for it leaves no error behind."""
    try:
        offset: int = (await future).offset
    except BaseException:
        future.add_done_callback(_consume)
        raise
    return offset


def check_size(output: Output) -> None:
    """Refuse what the broker would refuse.

    Raises:
        ValueError: the record is too large.
    """
    size = len(output.value or b"") + len(output.key or b"")
    if output.headers:
        size += sum(len(name) + len(data) + HEADER_BYTES for name, data in output.headers)
    if size > RECORD_BYTES:
        raise ValueError(f"{output.topic}: a record of {size} bytes is above the limit of {RECORD_BYTES}")


def _consume(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
