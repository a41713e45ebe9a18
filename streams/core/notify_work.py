"""What one cause does to notifications, step by step, each step seeing the ones before; and what is published of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schemas.notifications import Notification
from schemas.recipients import Recipient
from schemas.sending import Line, Notice, NotificationDue
from schemas.vocabulary import Severity
from streams.core import reference
from streams.core.keeping import Kept
from streams.core.notify_state import SENDER, Sender, Telling, Told, telling_key, told_key
from streams.core.publishing import PublishingWork
from streams.core.times import from_ms

NOTIFICATIONS = "notifications"
DURESS_NOTIFICATIONS = "duress.notifications"
"""What `notifications` is for everybody, for monitoring alone: no subscriber and no screen may tell of duress."""
SENDS = "doorstream.notify.sends"

MOST_ALSO = 20
"""Other alerts that a message tells of by a line each; of those beyond it says how many."""

_replace = msgspec.structs.replace


class NotifyKept(Kept, frozen=True, gc=False, tag="notify_kept"):
    """The same of notifications."""


class Work(PublishingWork):
    """The notifications while one cause is decided."""

    kept = NotifyKept

    # -- what is kept -------------------------------------------------------------------------------------------

    def told(self, alert_id: str) -> Told | None:
        """An alert."""
        found: Told | None = self.get(told_key(alert_id))
        return found

    def telling(self, notification_id: str) -> Telling | None:
        """A notification that is not done."""
        found: Telling | None = self.get(telling_key(notification_id))
        return found

    def keep(self, telling: Telling) -> Telling:
        """Keep a notification, and that its alert has it."""
        self.put(telling_key(telling.notification_id), telling)
        told = self.told(telling.alert_id)
        if told is not None and telling.notification_id not in told.open:
            self.put(told_key(told.alert_id), _replace(told, open=(*told.open, telling.notification_id)))
        return telling

    def done(self, telling: Telling) -> None:
        """A notification is done."""
        self.put(telling_key(telling.notification_id), None)
        told = self.told(telling.alert_id)
        if told is not None:
            left = tuple(one for one in told.open if one != telling.notification_id)
            self.put(told_key(told.alert_id), _replace(told, open=left))

    def members(self, telling: Telling) -> Iterator[Telling]:
        """A notification and those that are told along with it."""
        yield telling
        for notification_id in telling.also:
            found = self.telling(notification_id)
            if found is not None:
                yield found

    @property
    def sender_id(self) -> str | None:
        """Who sends in this partition; None before anybody said so."""
        sender: Sender | None = self.get(SENDER)
        return None if sender is None else sender.sender_id

    def recipient(self, recipient_id: str) -> Recipient | None:
        """A recipient who is on file and active."""
        found: Recipient | None = self.context.references.get("recipient", recipient_id)
        return found if found is not None and found.status == "active" else None

    # -- what is published --------------------------------------------------------------------------------------

    def tell(self, model: type[Notification], told: Told, telling: Telling, **changes: Any) -> None:
        """Publish what became of a notification."""
        fields = {
            "notification_id": telling.notification_id,
            "alert_id": telling.alert_id,
            "site_id": telling.site_id,
            "step": telling.step,
            "severity": Severity(telling.severity),
            "recipient_id": telling.recipient_id,
            "asked_for": telling.asked_for,
            "channel": telling.channel,
            "instead_of": telling.instead_of,
            "attempts": telling.made,
            "target": telling.target,
            "error": telling.error,
            "demanded_at": from_ms(telling.demanded_ms),
            "updated_at": from_ms(self.now_ms),
            "journal": self.journal,
        }
        topic = DURESS_NOTIFICATIONS if told.duress else NOTIFICATIONS
        self.post(topic, model(**{**fields, **changes}))

    def send(self, telling: Telling, told: Told, recipient: Recipient, begin_before_ms: int) -> None:
        """Publish an attempt for the sender."""
        due = NotificationDue(
            sender_id=telling.sender_id,
            notification_id=telling.notification_id,
            attempt=telling.attempt,
            begin_before_at=from_ms(begin_before_ms),
            recipient_id=telling.recipient_id,
            channel=telling.channel,
            language=recipient.language,
            step=telling.step,
            notice=self._notice(telling, told),
        )
        self.post(SENDS, due)

    def _notice(self, telling: Telling, told: Told) -> Notice:
        site = reference.site(self.context.references, told.site_id)
        others = [one for id_ in telling.also if (one := self._other(id_)) is not None]
        return Notice(
            alert_id=told.alert_id,
            site_id=told.site_id,
            site_name=told.site_id if site is None else site.name,
            time_zone="UTC" if site is None else site.time_zone,
            kind=told.kind,
            severity=Severity(telling.severity),
            state=told.state,
            count=told.count,
            summary=told.summary,
            where=self._where(told),
            who=told.cardholder_id or "",
            device_id=told.device_id,
            raised_at=from_ms(told.raised_ms),
            updated_at=from_ms(told.updated_ms),
            over=told.over,
            procedure=told.procedure,
            led_to=_lines(told.led_to),
            also=_lines(others[:MOST_ALSO]),
            more=max(0, len(others) - MOST_ALSO),
        )

    def _other(self, notification_id: str) -> tuple[int, str] | None:
        telling = self.telling(notification_id)
        told = None if telling is None else self.told(telling.alert_id)
        return None if told is None or telling is None else (told.raised_ms, f"{telling.severity}: {told.summary}")

    def _where(self, told: Told) -> str:
        references = self.context.references
        point = None if told.access_point_id is None else reference.access_point(references, told.access_point_id)
        door_id = told.door_id or (None if point is None else point.door_id)
        door = None if door_id is None else reference.door(references, door_id)
        zone = None if point is None else reference.zone(references, point.zone_to)
        named = door_id if door is None else f"{door.name} ({door_id})"
        return ", ".join(part for part in (named, None if zone is None else zone.name) if part)


def _lines(found: Sequence[tuple[int, str]]) -> tuple[Line, ...]:
    return tuple(Line(at=from_ms(at_ms), text=text) for at_ms, text in found)
