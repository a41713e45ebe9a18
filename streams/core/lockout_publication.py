"""Lockouts as records, and who may have written them.

What locks and unlocks people at all sites is signed under a key of its own: who can write a topic can lock nobody out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from schemas.envelope import event_headers, type_of
from schemas.ids import derive
from schemas.keys import EVERYWHERE_ID, LOCKOUTS, lockouts_key
from schemas.lockouts import AuthenticationFailed, LockoutEvent, LockoutImpending, LockoutLifted
from schemas.partitioning import partition_of
from schemas.record import Output, Record
from schemas.signing import MAC_HEADER, NOT_AFTER_HEADER, sign, verify
from streams.core.admission import Keys
from streams.core.lockouts import TABLE, TOPIC, read_everywhere
from streams.core.processor import Context, ReferenceTable
from streams.core.times import from_ms, rfc3339, to_ms

FAILURES = "doorstream.failures"
LOCKOUT_TOPIC = "lockouts"

SIGNED_S = 90 * 86_400
"""How long a signature counts: as long as the topics keep it. What is older than the version in force never does."""


def publish_at_site(message: LockoutEvent, source: str, context: Context, partition: int | None) -> Output:
    """The record of what is told of a lock, for those who follow a site."""
    return _output(LOCKOUT_TOPIC, message.lockout_key, message, source, context, partition)


def publish_everywhere(message: LockoutEvent, source: str, context: Context, keys: Keys) -> Output:
    """The record of what is told of a cardholder's lock, for all sites to obey."""
    return _signed(_output(TOPIC, message.cardholder_id or "", message, source, context, None), context, keys)


def publish_failure(message: AuthenticationFailed | LockoutLifted, source: str, context: Context, keys: Keys) -> Output:
    """The record by which a site tells of a cardholder's failure, on the cardholder's partition."""
    partition = partition_of(message.cardholder_id, context.partitions) if context.partitions else 0
    return _signed(_output(FAILURES, message.cardholder_id, message, source, context, partition), context, keys)


def _output(topic: str, key: str, message: Any, source: str, context: Context, partition: int | None) -> Output:
    time = rfc3339(from_ms(context.now_ms))
    headers = event_headers(_id_of(message), source, type_of(message), time)
    return Output(topic, key.encode(), message.to_json(), headers, partition)


def _id_of(message: Any) -> str:
    kind = type_of(message)
    if isinstance(message, AuthenticationFailed):
        return derive(kind, message.decision_id)
    if isinstance(message, LockoutLifted):
        return derive(kind, message.site_id, message.request_id)
    if isinstance(message, LockoutImpending):
        return derive(kind, message.decision_id)
    return derive(kind, message.lockout_id)


def _signed(output: Output, context: Context, keys: Keys) -> Output:
    secret = keys.of(LOCKOUTS, EVERYWHERE_ID)
    if secret is None:
        return output
    end = rfc3339(from_ms(context.now_ms + SIGNED_S * 1000)).encode()
    headers = (*output.headers, (NOT_AFTER_HEADER, end))
    mac = sign(secret, 1, output.topic, output.key, output.value, headers)
    return Output(output.topic, output.key, output.value, (*headers, mac), output.partition)


def signed_until(master: bytes) -> Callable[[Record], int | None]:
    """What tells until when (Unix, milliseconds) the signature of such a record counts; None = it does not."""
    key = lockouts_key(master)

    def authenticate(record: Record) -> int | None:
        header, end = record.header(MAC_HEADER), record.header(NOT_AFTER_HEADER)
        if header is None or end is None:
            return None
        if not verify(key, header, record.topic, record.key, record.value, record.headers):
            return None
        try:
            return to_ms(datetime.fromisoformat(end.decode("ascii")))
        except (ValueError, OverflowError):
            return None

    return authenticate


def lockout_table(master: bytes | None) -> ReferenceTable:
    """How the sites read who is locked everywhere."""
    return ReferenceTable(TABLE, TOPIC, read_everywhere, {}, signed_until(master) if master is not None else None)
