"""The `notify` processor: from an alert's step to messages that somebody receives, each told once.

It decides who is told by what, and when; senders carry it out and say what became of it. Duress is told to the
recipients of monitoring alone, and what became of it on `duress.notifications`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from schemas.alerts import Alert
from schemas.envelope import type_of
from schemas.ids import derive
from schemas.notifications import Notification, NotificationFailed
from schemas.recipients import WEBHOOKS, Recipient
from schemas.record import Record
from schemas.registry import LARGEST_VALUE
from schemas.sending import NotificationAttempted, NotificationBegun, NotificationDue, SenderReady
from schemas.vocabulary import Severity
from streams.core import duty, notify_state
from streams.core.decoding import message_in
from streams.core.notify_course import OVER_STEP, admit, answered, began, due, notification_id, release, skip, tell_over
from streams.core.notify_state import SENDER, Bucket, Sender, Telling, Told, told_key
from streams.core.notify_work import Work
from streams.core.processor import Cause, Context, Outcome, State, Tick
from streams.core.publishing import Envelope, PublishingProcessor
from streams.core.reference_tables import tables
from streams.core.times import rfc3339, to_ms

VERSION = "notify-7"

RESULTS = "doorstream.notify.results"
ALERTS = "alerts"
DURESS_ALERTS = "duress.alerts"
INPUTS = (RESULTS, DURESS_ALERTS, ALERTS)
"""Who sends, and what has arrived, before what is to be told."""
REFERENCES = ("site", "zone", "door", "access-point", "recipient", "on-call")

STALE_MS = 30_000
"""A demand older than this waits a moment: what follows it in the backlog may have made it needless."""
SETTLE_MS = 1_000
KEPT_MS = 32 * 86_400_000
"""How long an alert is remembered that is never closed: longer than any lives."""
KEPT_CLOSED_MS = 3_600_000
LONGEST_SUMMARY = 500
LONGEST_LINE = 200
MOST_LINES = 5

_WANTED = frozenset({"unacknowledged", "returned_to_normal_unacknowledged"})
_OVER = frozenset({"resolved", "closed"})
CARDHOLDERS_OWN = frozenset({"credential_lockout", "cardholder_lockout", "permanent_lockout"})
"""Kinds of alert that the cardholder is told of at the first step, too (A4), where a recipient has that id."""
_replace = msgspec.structs.replace


_NOBODY = b"null"


class _Glance(msgspec.Struct):
    """As much of an alert as tells whether it has to be read."""

    severity: str = ""
    notify: msgspec.Raw = msgspec.Raw(_NOBODY)


_glance = msgspec.json.Decoder(_Glance).decode


class NotifyProcessor(PublishingProcessor):
    """Tells of alerts. With `master`, reference records count only with the administration's signature."""

    name = "notify"
    version = VERSION
    inputs: tuple[str, ...] = INPUTS

    def __init__(self, master: bytes | None = None) -> None:
        self.references = tables(master, REFERENCES)

    def decode(self, record: Record) -> Any:
        """The message in a record; None for an alert that is only recorded, which most are."""
        value = record.value
        if record.topic == ALERTS and value is not None and len(value) <= LARGEST_VALUE:
            with suppress(ValueError):
                seen = _glance(value)
                if seen.severity == Severity.LOW.value and bytes(seen.notify) == _NOBODY:
                    return None
        return message_in(record)

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """What a message or a deadline means for who is told."""
        work = Work(state, context)
        if isinstance(cause, Tick):
            _tick(cause.key, state.get(cause.key), work)
        elif isinstance(cause.message, SenderReady):
            work.put(SENDER, Sender(cause.message.sender_id))
        elif isinstance(cause.message, NotificationBegun):
            began(cause.message, work)
        elif isinstance(cause.message, NotificationAttempted):
            answered(cause.message, work)
        elif isinstance(cause.message, Alert):
            hear(cause.message, work, duress=cause.record.topic == DURESS_ALERTS)
        return work.outcomes()

    def envelope(self, message: Notification | NotificationDue) -> Envelope:
        """What became of a notification is of its alert; an attempt is the sender's."""
        type_ = type_of(message)
        if isinstance(message, Notification):
            id_ = derive(type_, message.notification_id)
            return Envelope(message.alert_id, id_, rfc3339(message.updated_at))
        id_ = derive(type_, message.notification_id, message.attempt)
        return Envelope(message.sender_id, id_, rfc3339(message.begin_before_at))

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002
        """When an entity is due."""
        return notify_state.deadline(entity)

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return notify_state.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return notify_state.decode(data)


def _tick(key: str, entity: Any, work: Work) -> None:
    if isinstance(entity, Telling):
        due(entity, work)
    elif isinstance(entity, Bucket):
        release(key, entity, work)
    elif isinstance(entity, Told) and entity.open:
        work.put(key, _replace(entity, until_ms=work.now_ms + KEPT_CLOSED_MS))
    else:
        work.put(key, None)


def hear(alert: Alert, work: Work, *, duress: bool) -> None:
    """An alert's message: remember how it stands, tell whom it asks for, and nobody who need know no longer."""
    before = work.told(alert.alert_id)
    if before is not None and alert.transition <= before.transition:
        return
    notify = alert.notify
    if before is None and notify is None:
        # Nobody was told of it.
        return
    step = 0 if before is None else before.step
    told = _told(alert, before, duress=duress)
    if notify is not None and notify.step > step:
        told = _replace(told, step=notify.step)
    work.put(told_key(alert.alert_id), told)
    stale = work.now_ms - told.updated_ms > STALE_MS
    _drop_needless(told, work, stale=stale)
    if notify is not None and notify.step > step:
        _demand(alert, told, work, stale=stale)
    if told.over and before is not None and not before.over:
        for program in told.programs:
            tell_over(told, program, work)


def _drop_needless(told: Told, work: Work, *, stale: bool) -> None:
    """Skip what was not told yet and need not be told any more."""
    for id_ in told.open:
        telling = work.telling(id_)
        if telling is None or telling.phase not in {"waiting", "held"} or telling.step == OVER_STEP:
            continue
        if told.quiet:
            skip(telling, told, work, told.quiet)
        elif stale and telling.attempt == 0 and told.step > telling.step:
            skip(telling, told, work, f"step {told.step} took its place before it could be told")


def _told(alert: Alert, before: Told | None, *, duress: bool) -> Told:
    updated_ms = to_ms(alert.updated_at)
    return Told(
        alert.alert_id,
        alert.site_id,
        duress,
        alert.transition,
        0 if before is None else before.step,
        alert.kind,
        alert.severity.value,
        alert.state,
        alert.count,
        alert.summary[:LONGEST_SUMMARY],
        alert.door_id,
        alert.access_point_id,
        alert.device_id,
        alert.cardholder_id,
        to_ms(alert.raised_at),
        updated_ms,
        alert.procedure[:LONGEST_SUMMARY],
        tuple((to_ms(led.at), led.summary[:LONGEST_LINE]) for led in alert.led_to[-MOST_LINES:]),
        _quiet(alert),
        alert.state in _OVER,
        updated_ms + (KEPT_CLOSED_MS if alert.state == "closed" else KEPT_MS),
        () if before is None else before.open,
        () if before is None else before.others,
        () if before is None else before.programs,
    )


def _quiet(alert: Alert) -> str:
    """Why nobody need be told any more; nothing while somebody is to know."""
    if alert.state in _WANTED and alert.acknowledged_at is None:
        return ""
    by = f" by {alert.acknowledged_by}" if alert.state == "acknowledged" and alert.acknowledged_by else ""
    return f"the alert is {alert.state.replace('_', ' ')}{by}"


def _demand(alert: Alert, told: Told, work: Work, *, stale: bool) -> None:
    """Plan a step: whom of the site, by which channels, now."""
    if alert.notify is None:
        return
    references, now_ms = work.context.references, work.now_ms
    if told.duress:
        people, nobody = duty.monitoring(references, told.site_id), []
        nobody = [] if people else ["monitoring"]
    else:
        people, nobody = duty.asked(references, alert.notify.recipients, told.site_id, now_ms)
        if alert.kind in CARDHOLDERS_OWN and told.step == 1:
            known = {one.recipient.recipient_id for one in people}
            own = duty.concerned(references, alert.cardholder_id, told.site_id)
            people += [one for one in own if one.recipient.recipient_id not in known]
    for name in nobody:
        lost = _telling(alert, told, name, name, alert.notify.channels[0])
        work.tell(
            NotificationFailed, told, lost, error="nobody is on file for it: load a recipient of that id or group"
        )
    for recipient, asked_for in people:
        wanted = _channels(recipient, alert.notify.channels)
        for channel in wanted or (recipient.addresses[0].channel,):
            telling = _telling(alert, told, recipient.recipient_id, asked_for, channel)
            telling = _replace(telling, tried=tuple(wanted) or (channel,))
            if not wanted:
                telling = _replace(telling, instead_of=alert.notify.channels[0])
            if stale:
                work.keep(_replace(telling, due_ms=now_ms + SETTLE_MS))
            else:
                admit(telling, told, recipient, work)


def _channels(recipient: Recipient, asked: Iterable[str]) -> list[str]:
    """The channels of a recipient that are asked for; `webhook` is any that a program listens to."""
    found: list[str] = []
    for channel in asked:
        meant = WEBHOOKS if channel == "webhook" else (channel,)
        found += [one for one in meant if recipient.address(one) is not None and one not in found]
    return found


def _telling(alert: Alert, told: Told, recipient_id: str, asked_for: str, channel: str) -> Telling:
    return Telling(
        notification_id(alert.alert_id, told.step, recipient_id, channel),
        alert.alert_id,
        alert.site_id,
        told.step,
        (alert.notify.severity if alert.notify is not None else alert.severity).value,
        recipient_id,
        asked_for,
        channel,
        told.updated_ms,
    )
