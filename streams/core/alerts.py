"""The `alerts` processor: what somebody should know of, raised once per window and closed when it ends (M3).

A low alert is recorded and closed by itself. Duress is critical and never grouped with anything. Since more people read
`alerts` than may know of duress, its alerts are on `duress.alerts`, for monitoring alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from schemas.access import AccessDenied, AccessGranted, Duress, MessageRefused
from schemas.alerts import Alert, AlertClosed, AlertRaised
from schemas.base import JournalPosition
from schemas.envelope import event_headers
from schemas.ids import derive
from schemas.operators import OperatorRequestRefused
from schemas.record import Output, Record
from schemas.registry import LARGEST_VALUE
from schemas.vocabulary import Reason, Severity
from streams.core.decoding import message_in
from streams.core.denials import authentication_failed
from streams.core.processor import Arrival, Cause, Change, Context, Need, Outcome, ReferenceTable, State, Tick
from streams.core.times import from_ms

VERSION = "alerts-4"
ALERTS = "alerts"
DURESS_ALERTS = "duress.alerts"
"""What `alerts` is for everybody, for monitoring alone: no subscriber and no shared screen may tell of duress."""

DURESS = "duress"
"""The kind of alert that nobody but monitoring learns of."""

WINDOW_S = 300
"""How long what has the same dedup key counts as one trouble, from its first sight on."""

LONGEST_KEY = 120
"""A longer dedup key is replaced by its hash: cut off, two troubles might become one."""

_SECURITY = frozenset({Reason.INVALID_SIGNATURE, Reason.REPLAYED_REQUEST})


class OpenAlert(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An alert whose window runs: `alert/<dedup key>`."""

    alert_id: str
    site_id: str
    kind: str
    severity: str
    dedup_key: str
    count: int
    cause_id: str
    summary: str
    raised_ms: int
    until_ms: int
    door_id: str | None = None
    access_point_id: str | None = None
    device_id: str | None = None
    cardholder_id: str | None = None


class Seen(msgspec.Struct, frozen=True, gc=False, tag="seen"):
    """An open alert was seen again."""

    key: str
    alert: OpenAlert


class Ended(msgspec.Struct, frozen=True, gc=False, tag="ended"):
    """An alert's window has passed."""

    key: str


class _Trouble(NamedTuple):
    kind: str
    severity: Severity
    where: str
    cause_id: str
    summary: str
    grouped: bool = True


def trouble_of(message: Any) -> _Trouble | None:
    """What a message is worth raising; None for nothing."""
    if message is None:
        return None
    if isinstance(message, Duress):
        summary = f"Silent alarm at {message.access_point_id}"
        return _Trouble(DURESS, Severity.CRITICAL, message.access_point_id, message.duress_id, summary, grouped=False)
    if isinstance(message, AccessDenied) and message.reason is not None:
        if authentication_failed(message):
            summary = f"Authentication failed at {message.access_point_id}: {message.reason}"
            return _Trouble(
                "authentication_failed", Severity.LOW, message.access_point_id, message.decision_id, summary
            )
        if message.reason in _SECURITY:
            summary = f"Message of {message.device_id} refused: {message.reason}"
            return _Trouble(message.reason.value, Severity.LOW, message.device_id, message.decision_id, summary)
    if isinstance(message, AccessGranted) and message.soft_breaches:
        broken = ", ".join(message.soft_breaches)
        summary = f"Passed {message.access_point_id} although: {broken}"
        return _Trouble("soft_breach", Severity.LOW, message.access_point_id, message.decision_id, summary)
    if isinstance(message, MessageRefused):
        summary = f"Message {message.message_type} of {message.device_id} refused: {message.reason}"
        return _Trouble(
            message.reason.value, Severity.LOW, message.device_id or message.site_id, message.refusal_id, summary
        )
    if isinstance(message, OperatorRequestRefused) and message.code == Reason.INVALID_SIGNATURE.value:
        summary = f"Request {message.request_type} in the name of {message.operator_id} refused: {message.code}"
        cause_id = derive("refusal", message.request_id, message.journal.partition, message.journal.number)
        return _Trouble(message.code, Severity.LOW, message.operator_id, cause_id, summary)
    return None


class _Glance(msgspec.Struct):
    """As much of a decision as tells whether it has to be read."""

    type: str = ""
    soft_breaches: tuple[str, ...] = ()


_glance = msgspec.json.Decoder(_Glance).decode
_QUIET = frozenset({"access_granted", "access_taken", "access_not_taken"})


class AlertsProcessor:
    """Raises and closes alerts from what the site publishes."""

    name = "alerts"
    version = VERSION
    inputs: tuple[str, ...] = ("duress.events", "access.decisions")
    references: tuple[ReferenceTable, ...] = ()

    def decode(self, record: Record) -> Any:
        """The message in a record; None for one that nobody need know of, which most are."""
        value = record.value
        if record.topic == "access.decisions" and value is not None and len(value) <= LARGEST_VALUE:
            with suppress(ValueError):
                seen = _glance(value)
                if seen.type in _QUIET and not seen.soft_breaches:
                    return None
        return message_in(record)

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:  # noqa: ARG002
        """Nothing."""
        return ()

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """Raise, count, or close."""
        if isinstance(cause, Tick):
            ended: OpenAlert | None = state.get(cause.key)
            return [] if ended is None else [_message(AlertClosed, ended, context, "closed"), Ended(cause.key)]
        trouble = trouble_of(cause.message)
        if trouble is None:
            return []
        site_id = cause.message.site_id
        dedup_key = f"{site_id}/{trouble.kind}/{trouble.where if trouble.grouped else trouble.cause_id}"
        if len(dedup_key) > LONGEST_KEY:
            dedup_key = derive("dedup", dedup_key)
        key = f"alert/{dedup_key}"
        found: OpenAlert | None = state.get(key)
        if found is not None:
            return [Seen(key, msgspec.structs.replace(found, count=found.count + 1))]
        opened = OpenAlert(
            derive("alert", dedup_key, trouble.cause_id),
            site_id,
            trouble.kind,
            trouble.severity.value,
            dedup_key,
            1,
            trouble.cause_id,
            trouble.summary,
            context.now_ms,
            context.now_ms + WINDOW_S * 1000,
            getattr(cause.message, "door_id", None),
            getattr(cause.message, "access_point_id", None),
            getattr(cause.message, "device_id", None),
            getattr(cause.message, "cardholder_id", None),
        )
        return [_message(AlertRaised, opened, context, "unacknowledged"), Seen(key, opened)]

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:  # noqa: ARG002
        """What an outcome changes."""
        if isinstance(outcome, Seen):
            return [(outcome.key, outcome.alert)]
        return [(outcome.key, None)] if isinstance(outcome, Ended) else []

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:  # noqa: ARG002
        """Nothing is raised of what can't be read; it is a dead letter."""
        return []

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:  # noqa: ARG002
        """The record of an alert."""
        if not isinstance(outcome, Alert):
            return None
        type_ = str(getattr(outcome, "type", "alert"))
        event_id = derive(type_, outcome.alert_id, outcome.count)
        headers = event_headers(event_id, "/doorstream/alerts", type_, outcome.updated_at.isoformat())
        topic = DURESS_ALERTS if outcome.kind == DURESS else ALERTS
        return Output(topic, outcome.alert_id.encode(), outcome.to_json(), headers, context.partition)

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """Nothing that is read here holds a secret."""
        return record.value, None

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002
        """The end of the window."""
        end: int = entity.until_ms
        return end

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return msgspec.msgpack.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return msgspec.msgpack.decode(data, type=OpenAlert)


def _message(model: type[Alert], alert: OpenAlert, context: Context, state: str) -> Alert:
    return model(
        alert_id=alert.alert_id,
        site_id=alert.site_id,
        kind=alert.kind,
        severity=Severity(alert.severity),
        state=state,
        dedup_key=alert.dedup_key,
        count=alert.count,
        door_id=alert.door_id,
        access_point_id=alert.access_point_id,
        device_id=alert.device_id,
        cardholder_id=alert.cardholder_id,
        cause_id=alert.cause_id,
        summary=alert.summary,
        raised_at=from_ms(alert.raised_ms),
        updated_at=from_ms(context.now_ms),
        journal=JournalPosition(partition=context.partition, number=context.number),
    )
