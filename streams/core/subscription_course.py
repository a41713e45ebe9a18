"""The course of a delivery: collected, attempted, tried again for as long as it takes.

Nothing but positions is kept: the events themselves stay in their topics, and the courier reads them there. One
delivery of a subscription is under way in a partition, so that events arrive in their order. Of an attempt nobody knows
what arrived where its courier is gone: it is made again with the same ids, by which a receiver knows what it has.
"""

from __future__ import annotations

import msgspec

from schemas.deliveries import DeliveryFailed, EventsDelivered, EventsPending
from schemas.delivering import DeliveryAttempted, EventsDue
from schemas.subscriptions import Subscription
from streams.core.subscription_state import BLOCK_EVENTS, Lane
from streams.core.subscription_work import Work
from streams.core.times import from_ms

BEGIN_WITHIN_MS = 5_000
"""How long an attempt may wait for its courier; what is later is not begun."""
DELIVER_WITHIN_S = 20.0
"""After this time a courier begins with no further event of an attempt."""
ANSWER_WITHIN_MS = BEGIN_WITHIN_MS + int(DELIVER_WITHIN_S * 1000) + 15_000
LOOK_AFTER_MS = 1_000
"""How often somebody looks whether the courier of an attempt is still there, or whether there is one at last."""
PAUSED_MS = 30_000
"""How often somebody looks whether a paused subscription is active again."""
BACKOFF_MS = (1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000)
MOST_PUSHED = 50
"""Events of one attempt that are pushed one by one."""
MOST_PENDING = 500_000
"""Events that wait for a subscription in a partition; of more, the oldest are dropped, which is said."""

_replace = msgspec.structs.replace


def want(subscription: Subscription, topic: str, offset: int, work: Work) -> None:
    """An event is wanted: pushed now, or kept for the batch."""
    lane = work.lane(subscription.subscription_id)
    if lane.pending >= MOST_PENDING:
        idle = _replace(lane, phase="waiting", due_ms=work.now_ms + LOOK_AFTER_MS)
        lane = work.drop(idle, BLOCK_EVENTS, f"more than {MOST_PENDING} events wait")
    lane = work.append(lane, topic, offset)
    if lane.phase == "sending" or lane.failures:
        return
    if subscription.delivery == "push" or lane.pending >= subscription.most_events:
        attempt(lane, subscription, work)
    elif lane.pending == 1:
        _collect(lane, subscription, work)


def _collect(lane: Lane, subscription: Subscription, work: Work) -> None:
    due_ms = work.now_ms + subscription.every_s * 1000
    work.keep(_replace(lane, due_ms=due_ms))
    work.tell(EventsPending, lane, due_at=from_ms(due_ms))


def attempt(lane: Lane, subscription: Subscription, work: Work) -> None:
    """Hand an attempt to the courier; without one, or while the subscription is paused, wait."""
    courier_id, now_ms = work.courier_id, work.now_ms
    if courier_id is None or subscription.status != "active":
        pause_ms = LOOK_AFTER_MS if courier_id is None else PAUSED_MS
        work.keep(_replace(lane, phase="waiting", due_ms=now_ms + pause_ms))
        return
    most = MOST_PUSHED if subscription.delivery == "push" else subscription.most_events
    count = lane.count or min(lane.pending, most)
    lane = work.keep(
        _replace(
            lane,
            phase="sending",
            count=count,
            attempt=lane.attempt + 1,
            courier_id=courier_id,
            lost_ms=now_ms + ANSWER_WITHIN_MS,
            due_ms=now_ms + LOOK_AFTER_MS,
        )
    )
    work.send(
        EventsDue(
            courier_id=courier_id,
            subscription_id=lane.subscription_id,
            delivery_id=work.delivery_id(lane),
            attempt=lane.attempt,
            begin_before_at=from_ms(now_ms + BEGIN_WITHIN_MS),
            recipient_id=subscription.recipient_id,
            channel=subscription.channel,
            delivery=subscription.delivery,
            events=tuple(work.oldest(lane, count)),
        )
    )


def due(lane: Lane, work: Work) -> None:
    """A lane's time has come."""
    subscription = work.subscription(lane.subscription_id)
    if subscription is None:
        _end(lane, work)
    elif lane.phase == "sending" and lane.courier_id == work.courier_id and work.now_ms < lane.lost_ms:
        work.keep(_replace(lane, due_ms=work.now_ms + LOOK_AFTER_MS))
    elif lane.phase == "sending":
        _failed(lane, work, error="no answer of the courier")
    elif lane.pending == 0:
        work.keep(_replace(lane, due_ms=None))
    else:
        attempt(lane, subscription, work)


def _end(lane: Lane, work: Work) -> None:
    """The subscription is on file no longer."""
    lane = _replace(lane, phase="waiting", due_ms=None, count=0, failures=0, failing_ms=None)
    while lane.pending:
        lane = work.drop(lane, min(lane.pending, BLOCK_EVENTS), "the subscription is no longer on file")
    work.keep(lane)


def answered(answer: DeliveryAttempted, work: Work) -> None:
    """A courier says how an attempt ended."""
    lane = work.lane(answer.subscription_id)
    if not lane.count or answer.delivery_id != work.delivery_id(lane):
        return
    delivered = min(answer.delivered, lane.count)
    if delivered:
        # Be it late, and another attempt under way: these have arrived.
        lane = _delivered(lane, delivered, answer, work)
    elif answer.attempt != lane.attempt or lane.phase != "sending":
        return
    if answer.verdict == "delivered":
        _go_on(lane, work)
    else:
        _failed(lane, work, error=answer.error, target=answer.target, retry_after_s=answer.retry_after_s)


def _delivered(lane: Lane, count: int, answer: DeliveryAttempted, work: Work) -> Lane:
    subscription = work.subscription(lane.subscription_id)
    events, delivery_id, attempts = tuple(work.oldest(lane, count)), work.delivery_id(lane), lane.attempt
    lane = _replace(lane, phase="waiting", due_ms=None, number=lane.number + 1, count=0, attempt=0)
    lane = work.take_off(_replace(lane, failures=0, failing_ms=None), count)
    delivery = "push" if subscription is None else subscription.delivery
    work.tell(
        EventsDelivered, lane, delivery_id=delivery_id, delivery=delivery, events=events, attempts=max(1, attempts),
        missing=min(answer.missing, count), target=answer.target,
    )  # fmt: skip
    return lane


def _go_on(lane: Lane, work: Work) -> None:
    """What waits by now: pushed at once; of a batch, when it is full or has waited for its time."""
    subscription = work.subscription(lane.subscription_id)
    if lane.pending == 0:
        return
    if subscription is None:
        work.keep(_replace(lane, due_ms=work.now_ms))
    elif subscription.delivery == "push" or lane.pending >= subscription.most_events:
        attempt(lane, subscription, work)
    else:
        _collect(lane, subscription, work)


def _failed(lane: Lane, work: Work, *, error: str, target: str = "", retry_after_s: float | None = None) -> None:
    """Try again later, for as long as it takes."""
    pause_ms = BACKOFF_MS[min(lane.failures, len(BACKOFF_MS) - 1)]
    if retry_after_s is not None:
        pause_ms = max(pause_ms, round(retry_after_s * 1000))
    retry_ms = work.now_ms + pause_ms
    failing_ms = work.now_ms if lane.failing_ms is None else lane.failing_ms
    lane = work.keep(
        _replace(lane, phase="waiting", due_ms=retry_ms, failures=lane.failures + 1, failing_ms=failing_ms)
    )
    work.tell(
        DeliveryFailed, lane, attempts=max(1, lane.attempt), first_failed_at=from_ms(failing_ms),
        retry_at=from_ms(retry_ms), error=error, target=target,
    )  # fmt: skip
