"""A Faust app whose agent is fed with chunks: its transport, its settings, and what is refused at start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.app.base import BootStrategy
from faust.sensors.base import Sensor
from faust.serializers.schemas import Schema
from faust.tables.manager import TableManager
from faust.transport.drivers.aiokafka import Producer as AioKafkaProducer
from faust.transport.drivers.aiokafka import Transport as AioKafkaTransport
from faust.types import EventT, Message
from yarl import URL

from streams.engine.faust_consumer import FETCH_BYTES, ChunkConsumer
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import Chunk

GROUP_PREFIX = "doorstream-"
STREAM_BUFFER = 4_096
"""Chunks in Faust's queue at most; there is never more than one per topic partition."""


GATHERED_BYTES = 64 * 1024
"""What a broker need not gather any longer for those who can wait."""

MOST_HEARTBEAT_S = 3.0
HEARTBEATS = 3
"""Heartbeats within the session time-out."""


@dataclass(frozen=True)
class GroupOptions:
    """Times of group membership, in seconds.

    `rebalance_timeout_s` bounds how long a group waits for members that don't rejoin; the embedded broker waits that
    long at every join.
    """

    session_timeout_s: float = 10.0
    heartbeat_s: float = 3.0
    rebalance_timeout_s: float = 10.0

    @classmethod
    def missed_after(cls, session_timeout_s: float) -> GroupOptions:
        """A member is missed after that time; one lost heartbeat, or two, are no reason."""
        return cls(session_timeout_s, min(MOST_HEARTBEAT_S, session_timeout_s / HEARTBEATS))


EMBEDDED_REBALANCE_S = 1.0


def group_for(group: GroupOptions, *, embedded: bool) -> GroupOptions:
    """The times that fit a broker: the embedded one makes every join wait for the whole rebalance time-out."""
    if not embedded:
        return group
    rebalance_s = min(group.rebalance_timeout_s, EMBEDDED_REBALANCE_S)
    return GroupOptions(group.session_timeout_s, group.heartbeat_s, rebalance_s)


class ChunkSchema(Schema):  # type: ignore[misc]
    """Messages whose value is a `Chunk` already; raw bytes are decoded in the engine, where a failure has a name."""

    def compile(self, app: Any, **_kwargs: Any) -> Callable[..., Awaitable[EventT]]:
        """A decoder that decodes nothing."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT:  # noqa: ARG001
            event: EventT = create_event(None, message.value, None, message)
            return event

        return decode


class LeanMonitor(Sensor):  # type: ignore[misc]
    """Faust's Monitor keeps statistics of every message and has no off switch; the machine's observer has ours."""

    tp_end_offsets: dict[Any, int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stream_inbound_time: dict[Any, float] = {}
        self.assignments_completed = 0

    def track_tp_end_offset(self, tp: Any, offset: int) -> None:
        """Nothing."""

    def on_tp_commit(self, tp_offsets: Any) -> None:
        """Nothing."""

    def count(self, metric_name: str, count: int = 1) -> None:
        """Nothing."""


class SafeProducer(AioKafkaProducer):  # type: ignore[misc]
    """Faust's producer, unused by the machine; whatever does use it gets every acknowledgement, and order."""

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": getattr(self.app, "idempotent", True)}

    async def flush(self) -> None:
        """Wait until all is acknowledged; Faust's gives up after 100 ms."""
        while self.buffer.size:
            await self.buffer.flush()
        if self._producer is not None:
            await self._producer.flush()


class ChunkTransport(AioKafkaTransport):  # type: ignore[misc]
    """Faust's Kafka transport with our consumer and producer."""

    Consumer = ChunkConsumer
    Producer = SafeProducer


class NoTables(TableManager):  # type: ignore[misc]
    """Faust waits a second for tables to be declared; there are none, and a group should not wait for that."""

    async def sleep(self, n: Any, **_kwargs: Any) -> None:
        """Don't."""


class ConsumerOnly(BootStrategy):  # type: ignore[misc]
    """The machine brings its own producers."""

    enable_kafka_producer = False
    enable_web = False
    enable_sensors = False


class ChunkApp(faust.App):  # type: ignore[misc]
    """A Faust app for one processor."""

    BootStrategy = ConsumerOnly
    idempotent = True
    stamps = False
    fetch_min_bytes = 1

    def _create_directories(self) -> None:
        """Keep nothing in files: Faust would leave a folder for its tables wherever the process was started."""


def chunk_app(
    name: str,
    topics: Sequence[str],
    settings: KafkaSettings,
    feed: Callable[[Chunk], Awaitable[None]],
    *,
    group: GroupOptions | None = None,
    hurried: bool = True,
    stamps: bool = False,
) -> ChunkApp:
    """An app with one agent called `name`, which hands every chunk of the topics to `feed`.

    `hurried`: somebody waits for each message. Otherwise one fetch gathers what comes within `FETCH_WAIT_MS`: a fetch
    costs half a millisecond of Python, however little it brings. `stamps`: the broker stamps every one of the topics,
    so that nobody need note when they were read (`dating`).

    Chunks of one topic partition are handed over one after the other, those of different ones side by side: a full
    queue holds up nobody else. The consumer group is `doorstream-<name>`.
    """
    group = group or GroupOptions()
    app = ChunkApp(
        GROUP_PREFIX + name,
        broker=settings.faust_brokers,
        broker_credentials=settings.faust_credentials,
        broker_session_timeout=group.session_timeout_s,
        broker_heartbeat_interval=group.heartbeat_s,
        broker_rebalance_timeout=group.rebalance_timeout_s,
        broker_request_timeout=max(group.session_timeout_s + 5.0, 15.0),
        broker_max_poll_interval=300.0,
        broker_commit_interval=3600.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        producer_acks=-1,
        producer_linger=0,
        producer_max_batch_size=128 * 1024,
        producer_request_timeout=30.0,
        stream_buffer_maxsize=STREAM_BUFFER,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        web_enabled=False,
        worker_redirect_stdouts=False,
        autodiscover=False,
        Schema=ChunkSchema,
        TableManager=NoTables,
        Monitor=LeanMonitor,
        loghandlers=[],
    )
    app.stamps = stamps
    if not hurried:
        app.fetch_min_bytes = GATHERED_BYTES
    app.transport = ChunkTransport([URL(broker) for broker in settings.faust_brokers], app)
    # A topic without acknowledgements: Faust's bookkeeping of them is neither needed nor trusted.
    source = app.topic(*topics, schema=ChunkSchema(), acks=False)
    feeder = Feeder(app, feed)

    @app.agent(source, name=name)  # type: ignore[untyped-decorator]
    async def decide(chunks: Any) -> None:
        async for chunk in chunks:
            feeder.hand_over(chunk)

    return app


class Feeder:
    """Chunks on their way into the machine: one task each, one per topic partition."""

    def __init__(self, app: ChunkApp, feed: Callable[[Chunk], Awaitable[None]]) -> None:
        self._app = app
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()

    def hand_over(self, chunk: Chunk) -> None:
        """Feed it without waiting; the consumer fetches from its partition again when the machine has taken it."""
        task = asyncio.ensure_future(self._hand_over(chunk))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, chunk: Chunk) -> None:
        try:
            await self._feed(chunk)
        except Exception as error:  # noqa: BLE001 - a defect: the worker must not go on as if nothing were
            await self._app.crash(error)
        else:
            self._app.consumer.release(chunk.topic, chunk.partition)


def assert_safe(app: ChunkApp) -> None:
    """Refuse to run with a consumer that would tear partitions apart.

    Faust's compiled and pure-Python streams differ in how they acknowledge; as acknowledgements have no effect here,
    either will do.

    Raises:
        RuntimeError: another assignor or another transport got in.
    """
    consumer = app.consumer
    if not isinstance(consumer, ChunkConsumer):
        raise RuntimeError(f"the app's consumer is {type(consumer).__name__}: set app.transport to ChunkTransport")  # noqa: TRY004
    raw = consumer._thread._consumer  # noqa: SLF001 - there is no public way to ask
    assignors = [] if raw is None else list(raw._partition_assignment_strategy)  # noqa: SLF001
    if raw is None or assignors != [RangePartitionAssignor]:
        raise RuntimeError("the consumer's assignor is not Range: topics of one partition number would part company")
    if app.conf.consumer_group_instance_id:
        raise RuntimeError("static membership sends no leave, so a clean stop would cost a session time-out: unset it")
