"""The `alerts` processor: what somebody should know of, from being raised until it is closed (M3).

It reads what other processors have admitted, so that nothing a stranger writes raises an alert of a door or a device. A
low alert is recorded and closed at once. Since more people read `alerts` than may know of duress, its alerts are on
`duress.alerts`, for monitoring alone; what is asked about them, and the answers, have topics of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from schemas.alerts import DURESS, Alert
from schemas.commands import Command
from schemas.envelope import event_headers, type_of
from schemas.ids import derive
from schemas.keys import DEVICE
from schemas.operators import OperatorRequest, OperatorRequestAccepted, OperatorRequestRefused
from schemas.record import Output, Record
from schemas.registry import LARGEST_VALUE
from schemas.signing import sign
from streams.core import (
    alert_state,
    device_troubles,
    emergency_troubles,
    reference,
    threat_troubles,
    troubles,
)
from streams.core.admission import Keys
from streams.core.alert_course import due, settle
from streams.core.alert_handling import DURESS_RIGHTS, RIGHTS, handle, handle_duress
from streams.core.alert_raising import happen
from streams.core.alert_state import Around, Case
from streams.core.alert_watch import note_lockdown, note_monitoring
from streams.core.alert_work import Work
from streams.core.decoding import message_in
from streams.core.keeping import Kept
from streams.core.operator_admission import OperatorAnswered, decide_request, evolve_answered, refuse_operator
from streams.core.processor import Arrival, Cause, Change, Context, Need, Outcome, ReferenceTable, State, Tick
from streams.core.reference_tables import tables
from streams.core.times import rfc3339
from streams.core.troubles import Event

VERSION = "alerts-19"

REQUESTS = "operator.requests"
DURESS_REQUESTS = "duress.requests"
DECISIONS = "access.decisions"
DOOR_MODES = "door.modes"
INPUTS = (
    REQUESTS,
    DURESS_REQUESTS,
    "duress.events",
    "incidents",
    "door.alarms",
    "lockouts",
    "device.states",
    "door.modes",
    "threats",
    "exceptions",
    DECISIONS,
)

REFERENCES = ("site", "policy", "device", "zone", "door", "access-point")
"""What alerts depend on: rights and rules of the site, the keys of controllers, and where doors lead."""


class _Glance(msgspec.Struct):
    """As much of a message as tells whether it has to be read."""

    type: str = ""
    soft_breaches: tuple[str, ...] = ()
    confirmed_at: str | None = None
    unconfirmed: str | None = None
    reported: str | None = None


_TELLERS = {
    **troubles.TELLERS,
    **device_troubles.TELLERS,
    **emergency_troubles.TELLERS,
    **threat_troubles.TELLERS,
}
_GLANCED_AT = frozenset({DECISIONS, DOOR_MODES})
_UNREAD = _Glance()
_glance = msgspec.json.Decoder(_Glance).decode
_QUIET = frozenset({"access_granted", "access_taken", "access_not_taken", "operator_request_accepted"})


def _is_quiet(seen: _Glance) -> bool:
    """Whether a message raises nothing and ends nothing; a door's mode that has just been asked for does neither."""
    if seen.type == "door_mode_desired":
        return seen.confirmed_at is None and seen.unconfirmed is None and seen.reported is None
    return seen.type in _QUIET and not seen.soft_breaches


@cache
def _teller(model: type) -> Callable[[Any], Iterator[Event]] | None:
    """What tells of the messages of a type."""
    return next((_TELLERS[base] for base in model.__mro__ if base in _TELLERS), None)


def events_of(message: Any) -> Iterable[Event]:
    """What a message tells of; usually nothing."""
    kind: Any = type(message)
    tell = _teller(kind)
    return tell(message) if tell is not None else ()


class AlertsProcessor:
    """Raises alerts from what the other processors publish, and follows each until it is closed.

    `master` is the master secret; without one no operator's signature can be checked and no command signed.
    `signed_references`: reference records count only with the administration's signature.
    """

    name = "alerts"
    version = VERSION
    inputs: tuple[str, ...] = INPUTS
    overhears = frozenset({REQUESTS})
    """The site's, too."""

    def __init__(self, master: bytes | None = None, *, signed_references: bool = False) -> None:
        self.references: tuple[ReferenceTable, ...] = tables(master if signed_references else None, REFERENCES)
        self._keys = Keys(master)

    def decode(self, record: Record) -> Any:
        """The message in a record; None for one that nobody need know of, which most are."""
        value = record.value
        if value is None:
            # A device that is watched no longer; the message before it has said so.
            return None
        if record.topic in _GLANCED_AT and len(value) <= LARGEST_VALUE:
            try:
                seen = _glance(value)
            except ValueError:
                # Said in full by whoever reads it in full.
                seen = _UNREAD
            if _is_quiet(seen):
                return None
        if record.topic == REQUESTS and _glance(value).type not in RIGHTS:
            return None
        return message_in(record)

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:  # noqa: ARG002
        """Nothing."""
        return ()

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """What a message or a deadline means for the alerts."""
        if isinstance(cause, Tick):
            return self._tick(cause, state, context)
        message = cause.message
        if message is None:
            return []
        if isinstance(message, OperatorRequest):
            if cause.record.topic == DURESS_REQUESTS:
                return list(decide_request(cause, state, context, self._keys, DURESS_RIGHTS, handle_duress))
            return list(decide_request(cause, state, context, self._keys, RIGHTS, handle))
        work = Work(state, context)
        note_monitoring(message, work)
        note_lockdown(message, work)
        for event in events_of(message):
            happen(event, work)
        return work.outcomes()

    def _tick(self, tick: Tick, state: State, context: Context) -> Sequence[Outcome]:
        entity = state.get(tick.key)
        work = Work(state, context)
        if isinstance(entity, Case):
            due(entity, work)
        elif isinstance(entity, Around):
            settle(tick.key, work)
        else:
            work.put(tick.key, None)
        return work.outcomes()

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:  # noqa: ARG002
        """What an outcome changes."""
        if isinstance(outcome, Kept):
            return [(outcome.key, outcome.value)]
        return evolve_answered(outcome) if isinstance(outcome, OperatorAnswered) else ()

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:
        """An answer where a request failed; of anything else, a dead letter tells."""
        if isinstance(cause, Arrival) and isinstance(cause.message, OperatorRequest):
            return [refuse_operator(cause.message, context, "failed", f"it could not be decided: {error}"[:500])]
        return []

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        """The record that an outcome becomes; state-only ones become none."""
        if isinstance(outcome, Kept):
            return None
        if isinstance(outcome, Alert):
            topic = "duress.alerts" if outcome.kind == DURESS else "alerts"
            id_ = derive(type_of(outcome), outcome.alert_id, outcome.transition)
            return _record(topic, outcome.alert_id, outcome, id_, outcome.updated_at, context)
        if isinstance(outcome, Command):
            output = _record(
                "device.commands", outcome.device_id, outcome, outcome.command_id, outcome.issued_at, context
            )
            return self._signed(output, outcome, context)
        if isinstance(outcome, OperatorRequestAccepted | OperatorRequestRefused):
            duress = isinstance(cause, Arrival) and cause.record.topic == DURESS_REQUESTS
            id_ = derive(outcome.type, outcome.site_id, outcome.request_id)
            topic = "duress.answers" if duress else DECISIONS
            return _record(topic, outcome.site_id, outcome, id_, outcome.decided_at, context)
        return None

    def _signed(self, output: Output, command: Command, context: Context) -> Output:
        device = reference.device(context.references, command.device_id)
        version = device.key_version if device is not None else 1
        secret = self._keys.of(DEVICE, command.device_id, version)
        if secret is None:
            return output
        mac = sign(secret, version, output.topic, output.key, output.value, output.headers)
        return msgspec.structs.replace(output, headers=(*output.headers, mac))

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """Nothing that is read here holds a secret."""
        return record.value, None

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002
        """When an alert is due, or what is only remembered may be forgotten."""
        if isinstance(entity, Case):
            return entity.deadline()
        found: int | None = getattr(entity, "until_ms", None)
        return found

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return alert_state.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return alert_state.decode(data)


def _record(topic: str, key: str, message: Any, id_: str, moment: Any, context: Context) -> Output:
    headers = event_headers(id_, "/doorstream/alerts", type_of(message), rfc3339(moment))
    return Output(topic, key.encode(), message.to_json(), headers, context.partition)
