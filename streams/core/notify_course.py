"""The course of a notification: held, attempted, tried again, told by another channel, given up.

Waiting is state with a deadline, so that whoever takes over goes on with it. An attempt is for one sender, which makes
it once and says before that it begins. Nobody knows whether an attempt has arrived that was begun and whose sender is
gone or gives no answer, and only one of those is made good for, so that nobody is told more than twice by a channel.
"""

from __future__ import annotations

import msgspec

from schemas.ids import derive
from schemas.notifications import NotificationFailed, NotificationHeld, NotificationSent, NotificationSkipped
from schemas.recipients import KEEPING, Recipient
from schemas.sending import NotificationAttempted, NotificationBegun
from schemas.vocabulary import Severity
from streams.core.notify_holding import hold, holds, take
from streams.core.notify_state import Bucket, Program, Telling, Told, bucket_key, told_key
from streams.core.notify_work import Work
from streams.core.rates import Rate

BEGIN_WITHIN_MS = 5_000
"""How long an attempt may wait for its sender; what is later is not begun, and told to have expired."""
SEND_WITHIN_S = 10.0
"""How long a channel's server may take."""
ANSWER_WITHIN_MS = BEGIN_WITHIN_MS + int(SEND_WITHIN_S * 1000) + 2_000
LOOK_AFTER_MS = 1_000
"""How often somebody looks whether the sender of an attempt is still there, or whether there is one at last."""
PATIENCE_MS = 25_000
"""From the first failure of a channel to the last attempt by it, where there is another one: with the attempt's own
time, the other one is tried within a minute."""
LAST_PATIENCE_MS = 900_000
"""The same where there is none."""
BACKOFF_MS = (1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000)
MOST_UNKNOWN = 2
OVER_STEP = 0
"""The step by which a program that keeps alerts itself is told that one is over; nobody asked for it."""
MOST_TOGETHER = 200
"""Notifications that are told in one message, and a page or two more."""

_replace = msgspec.structs.replace


def admit(telling: Telling, told: Told, recipient: Recipient, work: Work) -> None:
    """Begin a notification now, or hold it where its recipient has had enough; what is critical never waits."""
    if told.duress or telling.severity == Severity.CRITICAL.value:
        attempt(work.keep(telling), work)
        return
    rate = Rate(recipient.burst, recipient.most_per_minute)
    key = bucket_key(telling.site_id, telling.recipient_id)
    bucket: Bucket = work.get(key) or Bucket(float(rate.burst), work.now_ms, 0)
    tokens = rate.refilled(bucket.tokens, bucket.at_ms, work.now_ms)
    if not holds(bucket) and tokens >= 1:
        full_ms = rate.full_ms(tokens - 1, work.now_ms)
        work.put(key, _replace(bucket, tokens=tokens - 1, at_ms=work.now_ms, due_ms=full_ms))
        attempt(work.keep(telling), work)
        return
    held = work.keep(_replace(telling, phase="held", due_ms=None))
    due_ms = rate.next_ms(tokens, work.now_ms)
    work.put(key, hold(key, _replace(bucket, tokens=tokens, at_ms=work.now_ms, due_ms=due_ms), held, work))
    work.tell(NotificationHeld, told, held, error=f"more than {rate.per_minute} a minute: told together with others")


def release(key: str, bucket: Bucket, work: Work) -> None:
    """Tell what a recipient's rate has held, in one message; forget the bucket when it is full."""
    waiting, bucket = take(key, bucket, MOST_TOGETHER, work)
    recipient = work.recipient(key.rpartition("/")[2])
    rate = Rate(1, 60) if recipient is None else Rate(recipient.burst, recipient.most_per_minute)
    if not waiting:
        full_ms = rate.full_ms(rate.refilled(bucket.tokens, bucket.at_ms, work.now_ms), work.now_ms)
        work.put(key, _replace(bucket, due_ms=full_ms) if full_ms > work.now_ms else None)
        return
    tokens = rate.refilled(bucket.tokens, bucket.at_ms, work.now_ms)
    waiting.sort(key=lambda one: (one.severity != Severity.HIGH.value, one.demanded_ms, one.notification_id))
    first, *others = waiting
    for other in others:
        work.keep(_replace(other, phase="along", leader=first.notification_id))
    due_ms = (rate.next_ms if holds(bucket) else rate.full_ms)(tokens - 1, work.now_ms)
    work.put(key, _replace(bucket, tokens=tokens - 1, at_ms=work.now_ms, due_ms=due_ms))
    attempt(work.keep(_replace(first, also=tuple(one.notification_id for one in others))), work)


def attempt(telling: Telling, work: Work) -> None:
    """Hand an attempt to the sender; without one, wait for it."""
    telling = _replace(telling, admitted=True)
    told, recipient = work.told(telling.alert_id), work.recipient(telling.recipient_id)
    if told is None or recipient is None or recipient.address(telling.channel) is None:
        next_channel(_replace(telling, error="the recipient has no such address any more"), work)
        return
    sender_id = work.sender_id
    now_ms = work.now_ms
    if sender_id is None:
        work.keep(_replace(telling, phase="waiting", due_ms=now_ms + LOOK_AFTER_MS))
        return
    sending = _replace(
        telling,
        phase="sending",
        attempt=telling.attempt + 1,
        made=telling.made + 1,
        sender_id=sender_id,
        begun=False,
        lost_ms=now_ms + ANSWER_WITHIN_MS,
        due_ms=now_ms + LOOK_AFTER_MS,
    )
    work.keep(sending)
    work.send(sending, told, recipient, now_ms + BEGIN_WITHIN_MS)


def due(telling: Telling, work: Work) -> None:
    """A notification's time has come."""
    if telling.phase == "waiting":
        told, recipient = work.told(telling.alert_id), work.recipient(telling.recipient_id)
        if told is not None and told.quiet and telling.step != OVER_STEP:
            skip(telling, told, work, told.quiet)
        elif not telling.admitted and told is not None and recipient is not None:
            admit(_replace(telling, due_ms=None), told, recipient, work)
        else:
            attempt(telling, work)
    elif telling.phase == "sending" and (telling.sender_id != work.sender_id or work.now_ms >= telling.lost_ms):
        _lost(telling, work)
    else:
        work.keep(_replace(telling, due_ms=work.now_ms + LOOK_AFTER_MS))


def _lost(telling: Telling, work: Work) -> None:
    """No answer will come. What the sender had not begun when it went has not arrived, and counts for nothing."""
    if telling.begun or telling.sender_id == work.sender_id:
        _failed(_replace(telling, unknown=telling.unknown + 1, error="no answer of the sender"), work, None)
        return
    spared = (*telling.spared, telling.attempt)
    made = telling.made - 1
    _failed(_replace(telling, made=made, spared=spared, error="its sender was gone before it began"), work, None)


def began(begun: NotificationBegun, work: Work) -> None:
    """A sender says that an attempt begins."""
    telling = work.telling(begun.notification_id)
    if telling is None:
        return
    if telling.phase == "sending" and begun.attempt == telling.attempt:
        work.keep(_replace(telling, begun=True))
    elif begun.attempt in telling.spared:
        # Its sender was slow, not gone: the message may arrive.
        spared = tuple(attempt for attempt in telling.spared if attempt != begun.attempt)
        telling = _replace(telling, made=telling.made + 1, unknown=telling.unknown + 1, spared=spared)
        if telling.phase == "waiting" and telling.unknown >= MOST_UNKNOWN:
            next_channel(telling, work)
        else:
            work.keep(telling)


def answered(answer: NotificationAttempted, work: Work) -> None:
    """A sender says how an attempt ended."""
    telling = work.telling(answer.notification_id)
    if telling is None:
        return
    if answer.verdict == "delivered":
        # Be it late, and another attempt under way: it has arrived.
        _sent(_replace(telling, target=answer.target, error=""), work)
        return
    if telling.phase != "sending" or answer.attempt != telling.attempt:
        return
    telling = _replace(telling, error=answer.error, target=answer.target or telling.target)
    if answer.verdict == "expired":
        _failed(_replace(telling, made=telling.made - 1), work, None)
    elif answer.verdict == "refused":
        next_channel(telling, work)
    else:
        unknown = telling.unknown + (answer.verdict == "unknown")
        _failed(_replace(telling, unknown=unknown), work, answer.retry_after_s)


def _sent(telling: Telling, work: Work) -> None:
    digest_id = telling.notification_id if telling.also else None
    for one in list(work.members(telling)):
        told = work.told(one.alert_id)
        if told is not None:
            work.tell(
                NotificationSent, told, one, attempts=telling.made, target=telling.target, error="", digest_id=digest_id
            )
        work.done(one)
        if one.channel in KEEPING and one.step != OVER_STEP:
            _remember(one, work)


def _remember(telling: Telling, work: Work) -> None:
    """A program that keeps alerts has one now: it is to be told when that is over, at once if it is over already."""
    told = work.told(telling.alert_id)
    program = (telling.recipient_id, telling.asked_for, telling.channel)
    if told is None or program in told.programs:
        return
    told = _replace(told, programs=(*told.programs, program))
    work.put(told_key(told.alert_id), told)
    if told.over:
        tell_over(told, program, work)


def tell_over(told: Told, program: Program, work: Work) -> None:
    """Tell a program that an alert is over, by the channel that told it of the alert and by no other."""
    recipient_id, asked_for, channel = program
    recipient = work.recipient(recipient_id)
    if recipient is None:
        return
    telling = Telling(
        notification_id(told.alert_id, OVER_STEP, recipient_id, channel),
        told.alert_id,
        told.site_id,
        OVER_STEP,
        told.severity,
        recipient_id,
        asked_for,
        channel,
        told.updated_ms,
        tried=tuple(address.channel for address in recipient.addresses),
    )
    attempt(work.keep(telling), work)


def _failed(telling: Telling, work: Work, retry_after_s: float | None) -> None:
    """Try again while there is time, then by another channel."""
    told = work.told(telling.alert_id)
    if told is not None and told.quiet and telling.step != OVER_STEP:
        skip(telling, told, work, told.quiet)
        return
    now_ms = work.now_ms
    first_ms = now_ms if telling.first_failed_ms is None else telling.first_failed_ms
    telling = _replace(telling, first_failed_ms=first_ms)
    pause_ms = BACKOFF_MS[max(0, min(telling.made, len(BACKOFF_MS)) - 1)]
    if retry_after_s is not None:
        pause_ms = max(pause_ms, round(retry_after_s * 1000))
    patience_ms = PATIENCE_MS if _other_channel(telling, work) is not None else LAST_PATIENCE_MS
    if telling.unknown >= MOST_UNKNOWN or now_ms + pause_ms > first_ms + patience_ms:
        next_channel(telling, work)
    else:
        work.keep(_replace(telling, phase="waiting", due_ms=now_ms + pause_ms))


def _other_channel(telling: Telling, work: Work) -> str | None:
    recipient = work.recipient(telling.recipient_id)
    channels = () if recipient is None else [address.channel for address in recipient.addresses]
    return next((channel for channel in channels if channel not in telling.tried), None)


def next_channel(telling: Telling, work: Work) -> None:
    """Give a channel up, and take the recipient's next one, if there is one that is not used for this step."""
    channel = _other_channel(telling, work)
    digest_id = telling.notification_id if telling.also else None
    replaced: list[Telling] = []
    for one in list(work.members(telling)):
        told = work.told(one.alert_id)
        work.done(one)
        if told is None:
            continue
        changes = {"attempts": telling.made, "target": telling.target, "error": telling.error}
        work.tell(NotificationFailed, told, one, digest_id=digest_id, **changes)
        other = None if channel is None else _instead(one, channel, told.alert_id, work)
        if other is not None:
            replaced.append(other)
    if not replaced:
        return
    first, *others = replaced
    for other in others:
        work.keep(_replace(other, phase="along", leader=first.notification_id))
    attempt(work.keep(_replace(first, also=tuple(one.notification_id for one in others))), work)


def _instead(telling: Telling, channel: str, alert_id: str, work: Work) -> Telling | None:
    id_ = notification_id(alert_id, telling.step, telling.recipient_id, channel)
    told = work.told(alert_id)
    if told is None or id_ in told.others:
        return None
    work.put(told_key(alert_id), _replace(told, others=(*told.others, id_)))
    return Telling(
        id_,
        alert_id,
        telling.site_id,
        telling.step,
        telling.severity,
        telling.recipient_id,
        telling.asked_for,
        channel,
        telling.demanded_ms,
        telling.channel,
        (*telling.tried, channel),
    )


def skip(telling: Telling, told: Told, work: Work, why: str) -> None:
    """Tell nobody any more; those that were to be told along are still told."""
    work.done(telling)
    work.tell(NotificationSkipped, told, telling, error=why)
    others = [one for one in work.members(telling) if one.notification_id != telling.notification_id]
    if others:
        first, *rest = others
        for one in rest:
            work.keep(_replace(one, leader=first.notification_id))
        lead = _replace(first, phase="waiting", leader=None, also=tuple(one.notification_id for one in rest))
        attempt(work.keep(lead), work)


def notification_id(alert_id: str, step: int, recipient_id: str, channel: str) -> str:
    """The id of telling a recipient of an alert's step by a channel."""
    return derive("notification", alert_id, step, recipient_id, channel)
