"""What a recipient's rate holds back: two queues, the urgent one first, in pages that stay small in a storm."""

from __future__ import annotations

import msgspec

from schemas.vocabulary import Severity
from streams.core.notify_state import Bucket, Page, Telling, page_key
from streams.core.notify_work import Work

PAGE = 20
"""Notifications on a page, so that holding one more costs the same in a storm."""

_replace = msgspec.structs.replace


def holds(bucket: Bucket) -> bool:
    """Whether anything is held back."""
    return bool(bucket.held or bucket.urgent or bucket.first < bucket.last or bucket.urgent_first < bucket.urgent_last)


def hold(key: str, bucket: Bucket, telling: Telling, work: Work) -> Bucket:
    """Put a notification at the end of its queue."""
    if telling.severity == Severity.HIGH.value:
        ids = (*bucket.urgent, telling.notification_id)
        if len(ids) < PAGE:
            return _replace(bucket, urgent=ids)
        work.put(page_key(key, "urgent", bucket.urgent_last), Page(ids))
        return _replace(bucket, urgent=(), urgent_last=bucket.urgent_last + 1)
    ids = (*bucket.held, telling.notification_id)
    if len(ids) < PAGE:
        return _replace(bucket, held=ids)
    work.put(page_key(key, "held", bucket.last), Page(ids))
    return _replace(bucket, held=(), last=bucket.last + 1)


def take(key: str, bucket: Bucket, most: int, work: Work) -> tuple[list[Telling], Bucket]:
    """The first that still wait, the urgent ones before the others, at least `most` where there are so many."""
    found: list[Telling] = []
    first = _pages(key, "urgent", bucket.urgent_first, bucket.urgent_last, most, found, work)
    bucket = _replace(bucket, urgent_first=first)
    if len(found) < most:
        found += _waiting(bucket.urgent, work)
        first = _pages(key, "held", bucket.first, bucket.last, most, found, work)
        bucket = _replace(bucket, urgent=(), first=first)
    if len(found) < most:
        found += _waiting(bucket.held, work)
        bucket = _replace(bucket, held=())
    return found, bucket


def _pages(key: str, queue: str, first: int, last: int, most: int, found: list[Telling], work: Work) -> int:
    while first < last and len(found) < most:
        place = page_key(key, queue, first)
        page: Page | None = work.get(place)
        if page is not None:
            found += _waiting(page.ids, work)
            work.put(place, None)
        first += 1
    return first


def _waiting(ids: tuple[str, ...], work: Work) -> list[Telling]:
    return [one for id_ in ids if (one := work.telling(id_)) is not None and one.phase == "held"]
