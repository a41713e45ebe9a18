"""The notify role: what decides who is told of alerts and sent events, and what tells and sends.

Each of the two processors has a sender of its own: the sender of notifications, and the courier of events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schemas.deliveries import DeliveryFailed, EventsDelivered, EventsDropped
from schemas.delivering import EventsDue
from schemas.envelope import type_of
from schemas.notifications import Notification
from schemas.recipients import Recipient
from schemas.record import Output
from schemas.sending import NotificationDue
from streams import telemetry
from streams.agents.courier import Courier
from streams.agents.metering import MetricsObserver
from streams.agents.notify_channels import Attempt, channels
from streams.agents.notify_sending import Sender
from streams.agents.notify_wording import Wording, WordingError
from streams.connection import kafka_options
from streams.core.notifications import NotifyProcessor
from streams.core.notify_work import NOTIFICATIONS
from streams.core.processor import Cause, Context, Outcome, Processor
from streams.core.publishing import Publication
from streams.core.subscription_state import Lane
from streams.core.subscription_work import LaneKept
from streams.core.subscriptions import SubscriptionsProcessor
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.lagging import Lag
from streams.engine.ports import TopicPartition
from streams.engine.runner import DecideOptions
from streams.engine.worker import DecideWorker
from streams.settings import Settings, SettingsError

FROM_FILE = "file:"
OURS = frozenset({"recovering", "running"})
"""Phases of a partition in which this worker's sender makes itself known: early, so that what is decided first after a
recovery is addressed to it, and not to one that is gone."""


class MeteredSubscriptions(SubscriptionsProcessor):
    """The subscriptions processor, how each lane stands told as it is published: a recovery tells it, too."""

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        """Tell, then publish."""
        if isinstance(outcome, LaneKept) and isinstance(outcome.value, Lane):
            lane: Lane = outcome.value
            telemetry.EVENTS_PENDING.labels(lane.subscription_id, str(context.partition)).set(lane.pending)
            failing = 0 if lane.failing_ms is None else lane.failing_ms / 1000
            telemetry.DELIVERY_FAILING_SINCE.labels(lane.subscription_id, str(context.partition)).set(failing)
        return super().publish(outcome, cause, context)


def count_notification(outcome: Any) -> None:
    """Count what becomes of notifications; of duress nothing is."""
    message = outcome.message if isinstance(outcome, Publication) and outcome.topic == NOTIFICATIONS else None
    if isinstance(message, Notification):
        telemetry.NOTIFICATIONS.labels(message.channel, type_of(message).removeprefix("notification_")).inc()


def count_delivery(outcome: Any) -> None:
    """Count what becomes of subscribers' events."""
    message = outcome.message if isinstance(outcome, Publication) else None
    if isinstance(message, EventsDelivered):
        telemetry.EVENTS_DELIVERED.labels(message.subscription_id, "delivered").inc(len(message.events))
    elif isinstance(message, EventsDropped):
        telemetry.EVENTS_DELIVERED.labels(message.subscription_id, "dropped").inc(len(message.events))
    elif isinstance(message, DeliveryFailed):
        telemetry.DELIVERY_FAILURES.labels(message.subscription_id).inc()


_COUNTS = {NotifyProcessor.name: count_notification, SubscriptionsProcessor.name: count_delivery}


class NotifyWorker:
    """Two processors and their senders as one worker."""

    def __init__(self, settings: Settings) -> None:
        options = kafka_options(settings)
        signed = settings.reference_authentication == "required"
        master = settings.master_secret() if signed or settings.master_secret_file is not None else None
        processors: list[Processor] = [
            NotifyProcessor(master if signed else None),
            MeteredSubscriptions(master if signed else None),
        ]
        self._deciding = DecideWorker(
            DecideOptions(
                kafka=KafkaSettings.of(options),
                observer=lambda processor: MetricsObserver(processor.name, _COUNTS[processor.name]),
                # There may be many events, and an alert's notification is not to wait for them.
                unhurried=frozenset({MeteredSubscriptions.name}),
            ),
            processors,
        )
        try:
            wording = Wording(settings.notify_templates)
        except WordingError as error:
            raise SettingsError(str(error)) from None
        ways = channels(gateways(settings))
        self._sender = Sender(options, self._owned_by(0), self._recipient, ways, wording, _count)
        self._courier = Courier(options, self._owned_by(1), self._on_file, ways["email"], master, _count_attempt)

    # -- what the senders ask -----------------------------------------------------------------------------------

    def _owned_by(self, index: int) -> Callable[[], list[int]]:
        runner = self._deciding.runners[index]
        return lambda: [partition for partition, health in runner.health().items() if health.phase in OURS]

    def _recipient(self, recipient_id: str) -> Recipient | None:
        found: Recipient | None = self._deciding.runners[0].machine.references.live().get("recipient", recipient_id)
        return found

    def _on_file(self, entity: str, id_: str) -> Any | None:
        return self._deciding.runners[1].machine.references.live().get(entity, id_)

    # -- what it tells ------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """For `/readyz`."""
        return self._deciding.ready and self._sender.ready and self._courier.ready

    @property
    def live(self) -> bool:
        """For `/livez`."""
        return self._deciding.live

    @property
    def lags(self) -> Mapping[str, Mapping[TopicPartition, Lag]]:
        """What is not yet decided."""
        telemetry.NOTIFICATIONS_UNDER_WAY.set(self._sender.waiting[0])
        telemetry.NOTIFICATIONS_OLDEST_SECONDS.set(self._sender.waiting[1])
        return self._deciding.lags

    @property
    def owned(self) -> Mapping[str, int]:
        """How many partitions are in hand."""
        return self._deciding.owned

    # -- life ---------------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Begin a graceful stop: the senders end what they have begun, and say so, before the processors stop."""
        for sender in (self._sender, self._courier):
            sender.request_stop()

    async def run(self) -> int:
        """Work until asked to stop (0) or until a part fails (1).

        Raises:
            ClusterError: the cluster is not as it must be; the text says what to do.
        """
        deciding = asyncio.ensure_future(self._deciding.run())
        sending = [asyncio.ensure_future(sender.run()) for sender in (self._sender, self._courier)]
        await asyncio.wait({deciding, *sending}, return_when=asyncio.FIRST_COMPLETED)
        failed = any(task.done() and task.exception() is not None for task in sending)
        self.request_stop()
        await asyncio.wait(sending)
        self._deciding.request_stop()
        code = await deciding
        await self._courier.close()
        for task in sending:
            task.result()
        return 1 if failed else code


def _count_attempt(due: EventsDue, verdict: str) -> None:
    telemetry.DELIVERY_ATTEMPTS.labels(due.channel, verdict).inc()


def _count(due: NotificationDue, attempt: Attempt, seconds: float) -> None:
    if due.notice.kind != "duress":
        telemetry.NOTIFICATION_ATTEMPTS.labels(due.channel, attempt.verdict).inc()
        telemetry.NOTIFICATION_SECONDS.labels(due.channel).observe(seconds)


def gateways(settings: Settings) -> dict[str, str]:
    """The apprise URL of each channel; one that lies in a file is read from it.

    Raises:
        SettingsError: a file can't be read, or a URL has no place for the address.
    """
    found: dict[str, str] = {}
    for name in ("email", "sms", "phone", "webhook"):
        url = str(getattr(settings, f"notify_{name}"))
        variable = f"DOORSTREAM_NOTIFY_{name.upper()}"
        if url.startswith(FROM_FILE):
            path = Path(url.removeprefix(FROM_FILE))
            try:
                url = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"{variable}: {path} can't be read ({error}): check the path and its mode"
                ) from None
        if url and "{to}" not in url:
            # The URL may hold a password, so it is not repeated.
            raise SettingsError(f"{variable} has no place for the address: write {{to}} where it belongs")
        found[name] = url
    return found


def wire(settings: Settings) -> Any:
    """A notify worker. Needs a running event loop.

    Raises:
        SettingsError: Kafka is not set, or the master secret where reference records have to be signed, or a gateway
            or template can't be used.
    """
    return NotifyWorker(settings)
