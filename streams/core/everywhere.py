"""The `lockouts` processor: what fails for a cardholder at all sites, added up, and the lock that holds at all (A4).

Its partitions are by cardholder, unlike the sites'. Each site locks by itself what fails there three times; what is
spread over sites is locked here, and every site reads it milliseconds later. Only what doorstream itself has signed
counts, each failure once, and nothing that is told again much later locks anybody: who can write the topic can neither
lock nor unlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from schemas.ids import derive
from schemas.lockouts import EVERYWHERE, AuthenticationFailed, LockoutEvent, LockoutLifted
from schemas.partitioning import partition_of
from schemas.record import Output, Record
from streams.core import entities, lockout_events
from streams.core.admission import Keys
from streams.core.counting import next_lock, would_be_over
from streams.core.decoding import message_in
from streams.core.failures import Kept
from streams.core.lockout_publication import FAILURES, publish_at_site, publish_everywhere, signed_until
from streams.core.lockout_state import Failures, LockCause, Lockout, failures_key, lockout_key
from streams.core.lockouts import in_force
from streams.core.processor import (
    Arrival,
    Cause,
    Change,
    Context,
    Need,
    Outcome,
    ReferenceTable,
    State,
    Tick,
    UndecodableError,
)
from streams.core.times import to_ms

VERSION = "lockouts-1"
SOURCE = "/doorstream/lockouts"
SUBJECT = "cardholder"

Counted = tuple[str, tuple[int, ...]]
"""A failure: `<site>/<decision>` and its time."""


class AtSite(msgspec.Struct, frozen=True, gc=False, tag="at_site"):
    """What is told of a lock at the site of its last failure too, where no site has locked by itself."""

    message: LockoutEvent


class LockoutsProcessor:
    """Locks cardholders at all sites. `master` is the master secret; without one nothing is signed or checked."""

    name = "lockouts"
    version = VERSION
    inputs: tuple[str, ...] = (FAILURES,)
    references: tuple[ReferenceTable, ...] = ()

    def __init__(self, master: bytes | None) -> None:
        self._keys = Keys(master)
        self._signed = signed_until(master) if master is not None else None

    def decode(self, record: Record) -> Any:
        """The message in a record that a site of ours has signed.

        Raises:
            UndecodableError: it is none, or somebody else wrote it.
        """
        if self._signed is not None and self._signed(record) is None:
            raise UndecodableError("not signed by doorstream: nobody else may write here")
        return message_in(record)

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:  # noqa: ARG002
        """Nothing."""
        return ()

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """Count, lock, lift, or tell that a lock ran out."""
        if isinstance(cause, Tick):
            return list(_due(cause.key, state, context))
        message = cause.message
        if context.partitions > 0 and partition_of(message.cardholder_id, context.partitions) != context.partition:
            return []
        if isinstance(message, AuthenticationFailed):
            return list(_failed(message, state, context))
        return list(_lifted(message, state, context))

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:  # noqa: ARG002
        """What an outcome changes."""
        return ((outcome.key, outcome.entity),) if isinstance(outcome, Kept) else ()

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:  # noqa: ARG002
        """Nothing is locked by what can't be read; it is a dead letter."""
        return []

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:  # noqa: ARG002
        """The record of a lock, for all sites; and for those who follow the site where it came about."""
        if isinstance(outcome, AtSite):
            told = outcome.message
            partition = partition_of(told.site_id, context.partitions) if context.partitions else 0
            return publish_at_site(told, SOURCE, context, partition)
        return publish_everywhere(outcome, SOURCE, context, self._keys) if isinstance(outcome, LockoutEvent) else None

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """Nothing that is read here holds a secret."""
        return record.value, None

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002
        """The end of a window or of a lock, or when a lock no longer makes the next one longer."""
        end: int | None = entity.until_ms
        return entity.forget_ms if isinstance(entity, Lockout) and entity.cause is None else end

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return entities.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return entities.decode(data)


def _keys(cardholder_id: str) -> tuple[str, str]:
    return failures_key(EVERYWHERE, SUBJECT, cardholder_id), lockout_key(EVERYWHERE, SUBJECT, cardholder_id)


def _told(message: LockoutEvent, cause: LockCause) -> Iterator[Outcome]:
    yield message
    if cause.sites > 1:
        yield AtSite(message)


def _failed(message: AuthenticationFailed, state: State, context: Context) -> Iterator[Outcome]:
    counter, key = _keys(message.cardholder_id)
    lock: Lockout = state.get(key) or Lockout(0)
    at_ms, limits = to_ms(message.failed_at), message.limits
    if in_force(lock, at_ms, live=True) or in_force(lock, context.now_ms, live=True):
        return
    found: Failures = state.get(counter) or Failures((), 0)
    name = f"{message.site_id}/{message.decision_id}"
    newest = max([at_ms, *(one[0] for _, one in found.times)])
    after = newest - limits.window_s * 1000
    every = {**dict(found.times), name: (at_ms,)}
    kept: list[Counted] = [one for one in every.items() if one[1][0] > after]
    counted = sorted(kept, key=lambda one: (one[1], one[0]))[-limits.failures :]
    if len(counted) >= limits.failures:
        until_ms, starts = next_lock(limits, lock.starts, counted[-1][1][0])
        if not would_be_over(limits, until_ms, counted[-1][1][0], context.now_ms):
            yield Kept(counter, None)
            if lock.cause is not None:
                yield from _told(lockout_events.expired(lock, SUBJECT, "everywhere", context), lock.cause)
            cause = _cause(message, counted)
            since_ms = counted[-1][1][0] if message.live else context.now_ms
            forget_ms = counted[-1][1][0] + limits.ladder_s * 1000
            begun = Lockout(until_ms, since_ms, starts, forget_ms, cause)
            yield from _told(lockout_events.started(begun, SUBJECT, "everywhere", context), cause)
            yield Kept(key, begun)
            return
        counted = counted[1:]
    yield Kept(counter, Failures(tuple(counted), newest + limits.window_s * 1000) if counted else None)


def _cause(message: AuthenticationFailed, counted: Sequence[Counted]) -> LockCause:
    return LockCause(
        lockout_id=derive("lockout", EVERYWHERE, SUBJECT, message.cardholder_id, message.decision_id),
        site_id=message.site_id,
        subject_id=message.cardholder_id,
        cardholder_id=message.cardholder_id,
        credential_id=message.credential_id,
        access_point_id=message.access_point_id,
        door_id=message.door_id,
        failures=len(counted),
        numbers=None,
        window_s=message.limits.window_s,
        first_ms=counted[0][1][0],
        last_ms=counted[-1][1][0],
        reason=message.last_reason.value,
        decision_id=message.decision_id,
        sites=len({name.rpartition("/")[0] for name, _ in counted}),
    )


def _lifted(message: LockoutLifted, state: State, context: Context) -> Iterator[Outcome]:
    """An operator's end: of a lock, and of what was counted, up to then."""
    counter, key = _keys(message.cardholder_id)
    lifted_ms = to_ms(message.decided_at)
    lock: Lockout | None = state.get(key)
    if lock is not None and lock.cause is not None and lock.since_ms <= lifted_ms:
        if in_force(lock, context.now_ms, live=True):
            yield from _told(lockout_events.ended(lock, SUBJECT, "everywhere", message, context), lock.cause)
        else:
            yield from _told(lockout_events.expired(lock, SUBJECT, "everywhere", context), lock.cause)
        yield Kept(key, None)
    found: Failures | None = state.get(counter)
    if found is not None:
        left = tuple(one for one in found.times if one[1][0] > lifted_ms)
        yield Kept(counter, Failures(left, found.until_ms) if left else None)


def _due(key: str, state: State, context: Context) -> Iterator[Outcome]:
    lock: Lockout | Failures | None = state.get(key)
    if isinstance(lock, Lockout) and lock.cause is not None:
        yield from _told(lockout_events.expired(lock, SUBJECT, "everywhere", context), lock.cause)
        yield Kept(key, msgspec.structs.replace(lock, cause=None))
    elif lock is not None:
        yield Kept(key, None)
