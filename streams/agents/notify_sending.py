"""The sender of a notify worker: tells people and programs of alerts, each attempt once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from schemas.base import Message
from schemas.ids import derive
from schemas.recipients import Recipient
from schemas.sending import NotificationAttempted, NotificationBegun, NotificationDue, SenderReady
from streams.agents.addressee import Addressee, Owned, Say
from streams.agents.notify_channels import Attempt, Channel, masked
from streams.agents.notify_wording import Wording

AT_A_TIME = 4
"""Attempts under way for a recipient by one channel."""

logger = logging.getLogger(__name__)

FindRecipient = Callable[[str], Recipient | None]
Tell = Callable[[NotificationDue, Attempt, float], None]


class Sender(Addressee[NotificationDue]):
    """Sends notifications. `tell` hears of every attempt, its end and how long it took."""

    sends = "doorstream.notify.sends"
    results = "doorstream.notify.results"
    source = "/doorstream/notify"
    due = NotificationDue

    def __init__(
        self,
        options: Mapping[str, Any],
        owned: Owned,
        recipient: FindRecipient,
        channels: Mapping[str, Channel],
        wording: Wording,
        tell: Tell = lambda _due, _attempt, _seconds: None,
    ) -> None:
        super().__init__(options, owned)
        self._recipient = recipient
        self._channels = channels
        self._wording = wording
        self._tell = tell
        self._turns: dict[tuple[str, str], asyncio.Semaphore] = {}

    def ready_message(self) -> Message:
        """What makes this sender known."""
        return SenderReady(sender_id=self.sender_id)

    def addressee(self, due: NotificationDue) -> str:
        """The sender that an attempt is for."""
        return due.sender_id

    def attempt_of(self, due: NotificationDue) -> tuple[str, int]:
        """The notification, and the attempt's number."""
        return due.notification_id, due.attempt

    async def make(self, due: NotificationDue, partition: int, say: Say) -> tuple[Message, str]:
        """Make an attempt; gives the answer and its id."""
        begun_s = time.monotonic()
        recipient = self._recipient(due.recipient_id)
        address = None if recipient is None else recipient.address(due.channel)
        if address is None:
            attempt, target = Attempt("refused", "the recipient has no such address any more"), ""
        else:
            target = masked(address)
            # Begun in order, and a few at a time: nobody gets a flood at once, and no other recipient waits for it.
            async with self._turns.setdefault((due.recipient_id, due.channel), asyncio.Semaphore(AT_A_TIME)):
                attempt = await self._begin(due, partition, say) or await self._attempt(due, address)
        self._tell(due, attempt, time.monotonic() - begun_s)
        answer = NotificationAttempted.model_validate(
            {
                "sender_id": due.sender_id,
                "notification_id": due.notification_id,
                "attempt": due.attempt,
                "verdict": attempt.verdict,
                "error": attempt.error,
                "target": target,
                "retry_after_s": attempt.retry_after_s,
            }
        )
        return answer, derive("attempted", due.notification_id, due.attempt)

    async def _begin(self, due: NotificationDue, partition: int, say: Say) -> Attempt | None:
        """Say that an attempt begins, before it does: whoever comes after this sender need not do again what has not.

        Gives the attempt's end where it must not begin any more.
        """
        too_late = Attempt("expired", "the channel is busy")
        if time.time() > due.begin_before_at.timestamp() or partition not in self._owned():
            return too_late
        begun = NotificationBegun(sender_id=due.sender_id, notification_id=due.notification_id, attempt=due.attempt)
        await say(begun, derive("begun", due.notification_id, due.attempt))
        return too_late if time.time() > due.begin_before_at.timestamp() else None

    async def _attempt(self, due: NotificationDue, address: Any) -> Attempt:
        channel = self._channels.get(due.channel)
        if channel is None:
            return Attempt("refused", "this version knows no such channel")
        try:
            text = self._wording.text(due.notice, due.channel, due.language)
            return await channel.send(address, due, text)
        except Exception as error:  # noqa: BLE001 - nobody is to be told less because of one message
            # The text of the error may quote the address.
            logger.error("an attempt by %s failed: %s", due.channel, type(error).__name__)  # noqa: TRY400
            return Attempt("failed", f"a defect of doorstream: {type(error).__name__}")
