"""What a message needs of the outside before it can be decided: database look-ups and verified secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import msgspec

from streams.core.processor import Found, Lookup, Need, Verification
from streams.engine.journal import Answer
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ports import Clock, LookupSource, Verifier
from streams.engine.references import ReferenceViews
from streams.engine.verifications import Verifications, Waiting

_LARGEST_BATCH = 500
MOST_ANSWER_BYTES = 64 * 1024
"""Of one message's answers together, as journalled: more counts as no answer. The journal's records have a limit."""

_encode = msgspec.json.Encoder().encode


class Pending(Waiting):
    """The answers that a message waits for."""

    __slots__ = ("answers", "lookups", "size")

    def __init__(self, give_up_s: float) -> None:
        super().__init__(give_up_s)
        self.answers: dict[str, Answer] = {}
        self.lookups: dict[str, Lookup] = {}
        self.size = 0

    def ready(self, now_s: float) -> bool:
        """Whether the message need wait no longer."""
        return self.missing == 0 or now_s >= self.give_up_s

    def take(self, name: str, answer: Answer) -> None:
        """Keep an answer for the journal.

        Raises:
            ValueError: together with the others it is too large.
            Exception: it can't be written as JSON.
        """
        size = len(name) + len(_encode(answer))
        if self.size + size > MOST_ANSWER_BYTES:
            raise ValueError(f"an answer of {size} bytes is more than one message may have")
        self.size += size
        self.answers[name] = answer


class Breaker:
    """Spares a database that fails: after some failures in a row nothing is asked for a while."""

    def __init__(self, failures: int, open_s: float) -> None:
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._closed_at = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether to ask."""
        return self._failures < self._limit or now_s >= self._closed_at

    def count(self, now_s: float, *, failed: bool) -> None:
        """How the asking went."""
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= self._limit:
            self._closed_at = now_s + self._open_s


class Resolver:
    """Shared by all partitions of a machine. `wake` is called when an answer arrives."""

    def __init__(
        self,
        *,
        lookups: LookupSource | None,
        verifier: Verifier | None,
        references: ReferenceViews,
        clock: Clock,
        options: MachineOptions,
        observer: Observer,
        executor: Executor | None,
        wake: Callable[[], None],
    ) -> None:
        self._source = lookups
        self._references = references
        self._clock = clock
        self._options = options
        self._observer = observer
        self._wake = wake
        self._verifications = Verifications(
            verifier, executor=executor, clock=clock, options=options, observer=observer, wake=wake
        )
        self._breaker = Breaker(options.breaker_failures, options.breaker_open_s)
        self._absent: dict[Lookup, float] = {}
        self._present: dict[Lookup, list[Found]] = {}
        self._asking: dict[Lookup, list[tuple[Pending, str]]] = {}
        self._unsent: list[Lookup] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, needs: Sequence[Need]) -> Pending:
        """Begin to find answers."""
        pending = Pending(self._clock.monotonic_s() + self._options.resolve_wait_s)
        for need in needs:
            if isinstance(need, Verification):
                self._verifications.ask(pending, need, partial(self._verified, pending, need.name))
            else:
                self._look_up(pending, need)
        return pending

    def answers(self, pending: Pending) -> dict[str, Answer]:
        """The answers as they count now: rows that the views have overtaken are taken as absent."""
        found: dict[str, Answer] = {}
        for name, answer in pending.answers.items():
            lookup = pending.lookups.get(name)
            if lookup is None or answer.found is None:
                found[name] = answer
                continue
            seen = self._references.position_of(lookup.entity)
            found[name] = Answer(found=[row for row in answer.found if row[1] > seen])
        return found

    def close(self) -> None:
        """Ask nothing more."""
        for task in self._tasks:
            task.cancel()
        self._verifications.close()

    def _verified(self, pending: Pending, name: str, value: Any) -> None:
        self._take(pending, name, Answer(value=value))

    def _take(self, pending: Pending, name: str, answer: Answer) -> None:
        try:
            pending.take(name, answer)
        except Exception as error:  # noqa: BLE001 - an answer that can't be journalled is none
            self._observer.retried("resolve", type(error).__name__)

    # -- look-ups -----------------------------------------------------------------------------------------------

    def _look_up(self, pending: Pending, lookup: Lookup) -> None:
        now_s = self._clock.monotonic_s()
        # The same row serves whatever name a message asks it under.
        shared = msgspec.structs.replace(lookup, name="")
        pending.lookups[lookup.name] = lookup
        until = self._absent.get(shared)
        if until is not None and now_s < until:
            self._take(pending, lookup.name, Answer(found=[]))
            return
        kept = self._kept(shared)
        if kept is not None:
            self._take(pending, lookup.name, _answer(kept))
            return
        waiting = self._asking.get(shared)
        if waiting is None:
            if self._source is None or not self._breaker.allows(now_s):
                return
            waiting = self._asking[shared] = []
            self._unsent.append(shared)
            if len(self._unsent) == 1:
                asyncio.get_running_loop().call_soon(self._flush)
        pending.missing += 1
        waiting.append((pending, lookup.name))

    def _kept(self, lookup: Lookup) -> list[Found] | None:
        found = self._present.get(lookup)
        if found is None:
            return None
        if all(row.position <= self._references.position_of(lookup.entity) for row in found):
            del self._present[lookup]
            return None
        return found

    def _flush(self) -> None:
        while self._unsent:
            batch, self._unsent = self._unsent[:_LARGEST_BATCH], self._unsent[_LARGEST_BATCH:]
            task = asyncio.get_running_loop().create_task(self._fetch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self, batch: list[Lookup]) -> None:
        source = self._source
        found = None
        try:
            if source is not None:
                found = await asyncio.wait_for(source.fetch(batch), self._options.resolve_timeout_ms / 1000)
        except Exception as error:  # noqa: BLE001 - whatever the database does, doors go on
            self._observer.retried("resolve", type(error).__name__)
        now_s = self._clock.monotonic_s()
        self._breaker.count(now_s, failed=found is None)
        self._forget(now_s)
        for lookup in batch:
            waiting = self._asking.pop(lookup, [])
            rows = None if found is None else found.get(lookup)
            if rows is not None:
                self._remember(lookup, list(rows), now_s)
            for pending, name in waiting:
                pending.missing -= 1
                if rows is not None:
                    self._take(pending, name, _answer(rows))
        self._wake()

    def _remember(self, lookup: Lookup, rows: list[Found], now_s: float) -> None:
        seen = self._references.position_of(lookup.entity)
        if any(row.position > seen for row in rows):
            self._present[lookup] = rows
        else:
            self._absent.pop(lookup, None)
            self._absent[lookup] = now_s + self._options.absence_cached_s

    def _forget(self, now_s: float) -> None:
        while self._absent:
            # In the order in which they end: a flood of unknown cards costs each of them one look.
            first = next(iter(self._absent))
            if self._absent[first] > now_s:
                break
            del self._absent[first]
        if len(self._present) > _LARGEST_BATCH:
            for lookup in list(self._present):
                self._kept(lookup)


def _answer(rows: Sequence[Found]) -> Answer:
    return Answer(found=[(row.id, row.position, row.value) for row in rows])


def context_value(answer: Answer) -> Any:
    """An answer as `Context.resolved` has it."""
    if answer.found is not None:
        return [Found(*row) for row in answer.found]
    return answer.value
