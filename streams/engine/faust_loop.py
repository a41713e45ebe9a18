"""Faust's consumer thread without a thread, and which partitions it may fetch from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers.aiokafka import (
    DEFAULT_GENERATION_ID,
    AIOKafkaConsumerThread,
    credentials_to_aiokafka_auth,
    server_list,
)
from faust.types import TP
from mode import Service

from streams.engine.kafka_fetching import SessionConsumer

FETCH_WAIT_MS = 100
"""A partition that had no room joins the next fetch at the latest after this time."""


class OpenPartitions:
    """The partitions that may be fetched from: sought by their owner, with nothing under way.

    aiokafka looks at it again each time that records arrive; one that is closed keeps what was fetched, so that
    nothing is lost or read twice, and no `pause` is needed.
    """

    def __init__(self) -> None:
        self._sought: set[Any] = set()
        self._busy: set[Any] = set()

    def __contains__(self, partition: Any) -> bool:
        return partition in self._sought and partition not in self._busy

    def __bool__(self) -> bool:
        return True  # an empty collection would mean "all" to aiokafka

    def __iter__(self) -> Iterator[Any]:
        return iter(self._sought - self._busy)

    def sought(self, partition: Any) -> None:
        """The owner has said where to go on."""
        self._sought.add(partition)

    def knows(self, partition: Any) -> bool:
        """Whether its owner has said where to go on."""
        return partition in self._sought

    def busy(self, partition: Any) -> None:
        """A chunk is on its way to the machine."""
        self._busy.add(partition)

    def free(self, partition: Any) -> None:
        """The machine took the chunk."""
        self._busy.discard(partition)

    def clear(self) -> None:
        """Nothing is owned."""
        self._sought.clear()
        self._busy.clear()


class LoopConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread without a thread: each hand-over between threads would wait for the interpreter."""

    abstract = False
    wait_for_shutdown = False

    def __init__(self, consumer: Any, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)

    async def start(self) -> None:
        """Start on the running loop."""
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        """Stop, leaving the group."""
        if self._started.is_set():
            await Service.stop(self)

    async def on_stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def crash(self, exc: BaseException) -> None:
        """Crash like any service."""
        await Service.crash(self, exc)

    def _stopped_set(self) -> None:
        self._stopped.set()

    def set_shutdown(self) -> None:
        """Set the shutdown signal."""
        self._shutdown.set()

    async def _stop_children(self) -> None:
        await self._default_stop_children()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def _stop_exit_stacks(self) -> None:
        await self._default_stop_exit_stacks()

    def _get_tasks(self) -> Iterable[Any]:
        return ()  # Faust's only task here keeps a thread's loop awake

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here and now."""
        result = fun(*args, **kwargs)
        return await result if asyncio.iscoroutine(result) or asyncio.isfuture(result) else result

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Hand back; called while the group still counts this member in, unless the generation is gone."""
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take over."""
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    @property
    def expelled(self) -> bool:
        """Whether the group no longer knows this member: its partitions may be somebody else's already."""
        return bool(self._ensure_consumer()._coordinator.generation == DEFAULT_GENERATION_ID)  # noqa: SLF001

    def _create_worker_consumer(self, transport: Any) -> SessionConsumer:
        conf = self.app.conf
        # Round-robin, Faust's choice for apps without tables, would tear apart what is decided together.
        self._assignor = RangePartitionAssignor
        return SessionConsumer(
            open_=self.consumer.open_partitions,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_min_bytes=self.app.fetch_min_bytes,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )
