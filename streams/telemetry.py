"""What a worker tells about itself: logs by structlog, metrics by Prometheus, /livez and /readyz."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Literal

import stamina
import stamina.instrumentation
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

DECISIONS = Counter(
    "doorstream_decisions", "Decisions by outcome and reason.", ["outcome", "reason", "site_group"], registry=REGISTRY
)
DECISION_SECONDS = Histogram(
    "doorstream_decision_seconds",
    "From a request's append at the broker (its fetch where the broker does not stamp) to its decision.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
COMMAND_SECONDS = Histogram(
    "doorstream_command_seconds",
    "From the append of a journal entry's oldest message to the broker's acknowledgement of the entry's commands.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
DEVICE_EVENTS = Counter(
    "doorstream_device_events", "What was told of devices.", ["event", "site_group"], registry=REGISTRY
)
LAG_MESSAGES = Gauge(
    "doorstream_lag_messages", "Messages not yet decided or stored.", ["role", "topic", "partition"], registry=REGISTRY
)
LAG_SECONDS = Gauge(
    "doorstream_lag_seconds", "Age of the oldest message waiting.", ["role", "topic", "partition"], registry=REGISTRY
)
DEAD_LETTERS = Counter("doorstream_dead_letters", "Messages given up, by step.", ["topic", "stage"], registry=REGISTRY)
TICKS_FAILED = Counter(
    "doorstream_ticks_failed",
    "Deadlines that could not be decided; each is tried again every minute.",
    ["processor"],
    registry=REGISTRY,
)
REFERENCES_REFUSED = Counter(
    "doorstream_references_refused",
    "Reference records that count as never written: not signed by the administration, or old ones again.",
    ["topic"],
    registry=REGISTRY,
)
JOURNAL_ENTRIES = Counter("doorstream_journal_entries", "Journal entries written.", ["processor"], registry=REGISTRY)
CYCLE_SECONDS = Histogram(
    "doorstream_cycle_seconds", "One cycle of a processor.", ["processor"], buckets=_SECONDS, registry=REGISTRY
)
RECOVERIES = Counter("doorstream_recoveries", "Partitions recovered.", ["processor"], registry=REGISTRY)
PARTITIONS_DROPPED = Counter(
    "doorstream_partitions_dropped", "Partitions given up, by reason.", ["processor", "reason"], registry=REGISTRY
)
PARTITIONS_OWNED = Gauge("doorstream_partitions_owned", "Partitions in hand.", ["processor"], registry=REGISTRY)
VERIFIERS_HUNG = Gauge(
    "doorstream_verifiers_hung",
    "Threads that hang in the verification of a secret.",
    ["processor"],
    registry=REGISTRY,
)
LOCKOUTS = Counter("doorstream_lockouts", "Locks that began, by what is locked.", ["subject"], registry=REGISTRY)
DUPLICATES = Counter(
    "doorstream_duplicates", "Messages that arrived again and were not decided again.", ["processor"], registry=REGISTRY
)
RECORDS_STORED = Counter("doorstream_records_stored", "Records stored, by sink.", ["sink"], registry=REGISTRY)
RECORDS_SKIPPED = Counter(
    "doorstream_records_skipped",
    "Records that a store passed over: undecodable, unauthenticated, or nothing that it can hold.",
    ["sink", "topic", "reason"],
    registry=REGISTRY,
)
SINK_RETRIES = Counter("doorstream_sink_retries", "Batches tried again, by sink.", ["sink"], registry=REGISTRY)

NOTIFICATIONS = Counter(
    "doorstream_notifications",
    "What became of notifications, by channel; duress excepted.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
NOTIFICATION_ATTEMPTS = Counter(
    "doorstream_notification_attempts",
    "Attempts to tell somebody, by channel and how they ended; duress excepted.",
    ["channel", "verdict"],
    registry=REGISTRY,
)
NOTIFICATION_SECONDS = Histogram(
    "doorstream_notification_seconds", "How long attempts took.", ["channel"], buckets=_SECONDS, registry=REGISTRY
)
NOTIFICATIONS_UNDER_WAY = Gauge(
    "doorstream_notifications_under_way", "Attempts that the sender has and has not ended.", registry=REGISTRY
)
NOTIFICATIONS_OLDEST_SECONDS = Gauge(
    "doorstream_notifications_oldest_seconds", "Age of the oldest of them.", registry=REGISTRY
)

EVENTS_PENDING = Gauge(
    "doorstream_subscription_pending_events",
    "Events that wait for a subscription, as this worker last left it.",
    ["subscription", "partition"],
    registry=REGISTRY,
)
DELIVERY_FAILING_SINCE = Gauge(
    "doorstream_subscription_failing_since_seconds",
    "Since when a subscription's deliveries fail (Unix seconds); 0 while they don't.",
    ["subscription", "partition"],
    registry=REGISTRY,
)
EVENTS_DELIVERED = Counter(
    "doorstream_subscription_events",
    "Events that a subscription's recipient took (delivered), or will not get (dropped).",
    ["subscription", "outcome"],
    registry=REGISTRY,
)
DELIVERY_FAILURES = Counter(
    "doorstream_subscription_failures", "Failed attempts to deliver.", ["subscription"], registry=REGISTRY
)
DELIVERY_ATTEMPTS = Counter(
    "doorstream_delivery_attempts", "Attempts to deliver, by how they ended.", ["channel", "verdict"], registry=REGISTRY
)

LogFormat = Literal["auto", "json", "console"]


def configure_logging(log_format: LogFormat = "auto", level: str = "info") -> None:
    """Send structlog's and the standard library's records to stderr, as JSON lines or for a person's eyes."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in (
        "aiokafka",
        "faust",
        "mode",
        "kafka",
        "asyncio",
        "streams.engine.faust_transport",
        "streams.engine.faust_consumer",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    # A store that is away is told once by whoever waits for it, not at every attempt.
    for repeating in ("urllib3", "clickhouse_connect"):
        logging.getLogger(repeating).setLevel(max(logging.ERROR, root.level))
    stamina.instrumentation.set_on_retry_hooks([])


class Health:
    """What /livez and /readyz ask. Each check gives None when all is well, else what is wrong."""

    def __init__(self) -> None:
        self.live: dict[str, Callable[[], str | None]] = {}
        self.ready: dict[str, Callable[[], str | None]] = {}
        self.before_metrics: list[Callable[[], None]] = []
        """Called before each scrape: they set what is only known by asking."""

    def troubles(self, checks: dict[str, Callable[[], str | None]]) -> list[str]:
        """A line for each check that fails."""
        return [f"{name}: {trouble}" for name, check in checks.items() if (trouble := check()) is not None]


def _answer(checks: Callable[[], list[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_request: web.Request) -> web.Response:
        troubles = checks()
        return web.Response(text="\n".join(troubles or ["ok"]) + "\n", status=503 if troubles else 200)

    return handler


def _metrics(health: Health) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_request: web.Request) -> web.Response:
        for refresh in health.before_metrics:
            refresh()
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler


async def serve(health: Health, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Serve `/metrics`, `/livez` and `/readyz`; gives the runner (to be cleaned up) and the port that was bound."""
    app = web.Application()
    app.router.add_get("/metrics", _metrics(health))
    app.router.add_get("/livez", _answer(lambda: health.troubles(health.live)))
    app.router.add_get("/readyz", _answer(lambda: health.troubles(health.ready)))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    bound = runner.addresses[0][1]
    return runner, int(bound)
