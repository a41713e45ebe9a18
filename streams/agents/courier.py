"""The courier of a notify worker: reads the events that subscriptions want where they stand, and hands them over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.base import Message
from schemas.delivering import CourierReady, DeliveryAttempted, EventsDue
from schemas.ids import derive
from schemas.keys import SUBSCRIPTION, derive_key
from schemas.recipients import Address, Recipient
from schemas.record import Record
from schemas.subscriptions import Subscription
from streams.agents import courier_payloads
from streams.agents.addressee import Addressee, Owned, Say
from streams.agents.notify_channels import Attempt, ByApprise, Channel, Poster, masked
from streams.core.subscription_course import DELIVER_WITHIN_S
from streams.engine.kafka_reading import Readers
from streams.engine.kafka_settings import KafkaSettings
from streams.engine.ports import TransientError

READ_WITHIN_S = 5.0
READS_AT_A_TIME = 4
NEAR = 200
"""Positions that lie closer than this are read in one go, with what lies between."""
KEPT_EVENTS = 2_000
"""Events read last: what many subscriptions want is read once."""

logger = logging.getLogger(__name__)

Find = Callable[[str, str], Any]
"""What is on file: entity and id."""
Tell = Callable[[EventsDue, str], None]

Place = tuple[str, int, int]


class Courier(Addressee[EventsDue]):
    """Delivers events; `tell` hears how every attempt ended. Bodies are signed where there is a master secret."""

    sends = "doorstream.subscriptions.sends"
    results = "doorstream.subscriptions.results"
    source = "/doorstream/subscriptions"
    due = EventsDue

    def __init__(
        self,
        options: Mapping[str, Any],
        owned: Owned,
        find: Find,
        email: Channel,
        master: bytes | None,
        tell: Tell = lambda _due, _verdict: None,
    ) -> None:
        super().__init__(options, owned)
        self._find = find
        self._email = email
        self._poster = Poster()
        self._master = master
        self._tell = tell
        self._readers = Readers(KafkaSettings.of(dict(options)), READ_WITHIN_S)
        self._turns = asyncio.Semaphore(READS_AT_A_TIME)
        self._read: OrderedDict[Place, Record] = OrderedDict()

    def ready_message(self) -> Message:
        """What makes this courier known."""
        return CourierReady(courier_id=self.sender_id)

    def addressee(self, due: EventsDue) -> str:
        """The courier that an attempt is for."""
        return due.courier_id

    def attempt_of(self, due: EventsDue) -> tuple[str, int]:
        """The delivery, and the attempt's number."""
        return due.delivery_id, due.attempt

    async def close(self) -> None:
        """Disconnect."""
        await self._poster.close()
        await self._readers.close()

    async def make(self, due: EventsDue, partition: int, say: Say) -> tuple[Message, str]:  # noqa: ARG002 - the base's
        """Make an attempt; gives the answer and its id."""
        recipient: Recipient | None = self._find("recipient", due.recipient_id)
        address = None if recipient is None or recipient.status != "active" else recipient.address(due.channel)
        delivered, missing, target = 0, 0, ""
        if address is None:
            attempt = Attempt("refused", f"recipient {due.recipient_id} has no {due.channel} address any more")
        elif time.time() > due.begin_before_at.timestamp():
            attempt = Attempt("expired", "it came too late")
        else:
            target = masked(address)
            try:
                records = await self._events(due, partition)
                missing = records.count(None)
                attempt, delivered = await self._deliver(due, address, records)
            except TransientError as error:
                attempt = Attempt("failed", f"the events can't be read: {error}")
            except Exception as error:  # noqa: BLE001 - no other subscription is to wait because of one event
                # The text of the error may quote the address.
                logger.error("a delivery to %s failed: %s", due.subscription_id, type(error).__name__)  # noqa: TRY400
                attempt = Attempt("failed", f"a defect of doorstream: {type(error).__name__}")
        self._tell(due, attempt.verdict)
        answer = DeliveryAttempted.model_validate(
            {
                "courier_id": due.courier_id,
                "subscription_id": due.subscription_id,
                "delivery_id": due.delivery_id,
                "attempt": due.attempt,
                "delivered": delivered,
                "missing": missing if delivered else 0,
                "verdict": attempt.verdict,
                "error": attempt.error[:2000],
                "target": target,
                "retry_after_s": attempt.retry_after_s,
            }
        )
        return answer, derive("delivery_attempted", due.delivery_id, due.attempt)

    # -- handing over -------------------------------------------------------------------------------------------

    async def _deliver(self, due: EventsDue, address: Address, records: Sequence[Record | None]) -> tuple[Attempt, int]:
        """How it ended, and how many events are done with, from the first on."""
        found = [record for record in records if record is not None]
        if not found:
            return Attempt("delivered"), len(records)
        if due.channel == "email":
            attempt = await self._mail(due, address, found)
        elif due.delivery == "batch":
            body = courier_payloads.batch(found)
            attempt = await self._post(due, address, due.delivery_id, courier_payloads.BATCH, body)
        else:
            return await self._push(due, address, records)
        return attempt, len(records) if attempt.verdict == "delivered" else 0

    async def _push(self, due: EventsDue, address: Address, records: Sequence[Record | None]) -> tuple[Attempt, int]:
        until_s = time.monotonic() + DELIVER_WITHIN_S
        for done, record in enumerate(records):
            if record is None:
                continue
            if time.monotonic() > until_s:
                # What is left is ordered again.
                return Attempt("delivered"), done
            id_, body = courier_payloads.event_id(record), courier_payloads.one(record)
            attempt = await self._post(due, address, id_, courier_payloads.ONE, body)
            if attempt.verdict != "delivered":
                return attempt, done
        return Attempt("delivered"), len(records)

    async def _post(self, due: EventsDue, address: Address, id_: str, kind: str, body: bytes) -> Attempt:
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Idempotency-Key": id_}
        if self._master is not None:
            key = derive_key(self._master, SUBSCRIPTION, due.subscription_id)
            headers |= courier_payloads.signed(key, id_, int(time.time()), body)
        return await self._poster.post(address.to, body, headers)

    async def _mail(self, due: EventsDue, address: Address, records: Sequence[Record]) -> Attempt:
        if not isinstance(self._email, ByApprise):
            return Attempt("refused", "no gateway is set: set DOORSTREAM_NOTIFY_EMAIL")
        subscription: Subscription | None = self._find("subscription", due.subscription_id)
        name = due.subscription_id if subscription is None else subscription.name or subscription.subscription_id
        text = courier_payloads.letter(name, records)
        return await self._email.tell(address.to, due.begin_before_at.timestamp() + DELIVER_WITHIN_S, text)

    # -- reading ------------------------------------------------------------------------------------------------

    async def _events(self, due: EventsDue, partition: int) -> list[Record | None]:
        """The events in their order; None for what is in its topic no longer.

        Raises:
            TransientError: they can't be read now.
        """
        places = [(topic, partition, offset) for topic, offset in due.events]
        found = {place: record for place in places if (record := self._read.get(place)) is not None}
        lacking: dict[str, list[int]] = defaultdict(list)
        for topic, _, offset in (place for place in places if place not in found):
            lacking[topic].append(offset)
        for topic, offsets in lacking.items():
            async with self._turns:
                for start, stop in spans(offsets):
                    async for records in self._readers.read(topic, partition, start, stop):
                        found.update({(topic, partition, record.offset): record for record in records})
        events = [found.get(place) for place in places]
        self._read.update((place, found[place]) for place in places if place in found)
        while len(self._read) > KEPT_EVENTS:
            self._read.popitem(last=False)
        return events


def spans(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """What to read for these offsets: from each start up to before each stop."""
    found: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if found and offset - found[-1][1] < NEAR:
            found[-1] = (found[-1][0], offset + 1)
        else:
            found.append((offset, offset + 1))
    return found
