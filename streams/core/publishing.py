"""What the processors have in common that have others tell or deliver something: `notify` and `subscriptions`.

They read what is no secret, look nothing up, refuse nobody, and publish messages whose topic they choose one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from schemas.base import JournalPosition, Message
from schemas.envelope import event_headers, type_of
from schemas.record import Output, Record
from streams.core.keeping import Draft, Kept
from streams.core.processor import Arrival, Cause, Change, Context, Need, Outcome, State


class Publication(NamedTuple):
    """A message and its topic."""

    topic: str
    message: Message


class Envelope(NamedTuple):
    """A message's key, its id, and the moment (RFC 3339) that it is of."""

    key: str
    id: str
    moment: str


class PublishingWork(Draft):
    """What is kept while one cause is decided, and what is to be published of it."""

    def __init__(self, state: State, context: Context) -> None:
        super().__init__(state)
        self.context = context
        self.now_ms = context.now_ms
        self.journal = JournalPosition(partition=context.partition, number=context.number)
        self._published: list[Publication] = []

    def post(self, topic: str, message: Message) -> None:
        """Publish a message."""
        self._published.append(Publication(topic, message))

    def outcomes(self) -> list[Outcome]:
        """What is to be published, in order, and then what is kept."""
        return [*self._published, *self.changes()]


class PublishingProcessor:
    """The part of a processor that is the same for all of these."""

    name: str

    def envelope(self, message: Any) -> Envelope:
        """What a message is published under."""
        raise NotImplementedError

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:  # noqa: ARG002
        """Nothing."""
        return ()

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:  # noqa: ARG002
        """What an outcome changes."""
        return [(outcome.key, outcome.value)] if isinstance(outcome, Kept) else ()

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:  # noqa: ARG002
        """Nothing: what could not be decided is a dead letter."""
        return ()

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:  # noqa: ARG002
        """The record that an outcome becomes; state-only ones become none."""
        if not isinstance(outcome, Publication):
            return None
        topic, message = outcome
        key, id_, moment = self.envelope(message)
        headers = event_headers(id_, f"/doorstream/{self.name}", type_of(message), moment)
        return Output(topic, key.encode(), message.to_json(), headers, context.partition)

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """Nothing that is read here holds a secret."""
        return record.value, None
