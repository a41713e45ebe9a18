"""Which message becomes which row of which PostgreSQL table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from schemas.access import AccessDenied, AccessGranted, AccessNotTaken, AccessTaken, Decision, MessageRefused, Passage
from schemas.alerts import DURESS, Alert
from schemas.base import DeviceMessage, part_to_json
from schemas.canonical import Canonical, model_of
from schemas.commands import Command, Probe
from schemas.device_states import DeviceState
from schemas.devices import CommandConfirmed, CommandDelivered, CommandFailed, CommandResult
from schemas.doors import DoorEvent
from schemas.lockouts import LockoutEnded, LockoutStarted
from schemas.notifications import Notification
from schemas.operators import OperatorRequestAccepted, OperatorRequestRefused
from schemas.record import Record
from schemas.reference import ENTITIES
from schemas.registry import MODELS
from schemas.signing import MAC_HEADER, key_version_of
from sinks.commands import state_of
from sinks.postgres_tables import (
    ALERT_HISTORY,
    ALERTS,
    COMMANDS,
    DECISIONS,
    DEVICE_STATES,
    DEVICES,
    DOORS,
    DURESS_ALERT_HISTORY,
    DURESS_ALERTS,
    LOCKOUTS,
    NOTIFICATIONS,
    OPERATOR_REQUESTS,
    PASSAGES,
    PRESENCE,
    REFUSALS,
    TABLES,
    Row,
    Table,
)
from sinks.reading import appended_at, is_uuid, whole, within

RANKS = {"sent": 0, "delivered": 1, "expired": 2, "superseded": 2, "failed": 2, "confirmed": 3}
"""A command's state only moves to one of a higher rank."""

EVERYWHERE = "lockouts.global"
_ENTITY_OF = {entity.topic: entity.name for entity in ENTITIES}


Authenticate = Callable[[Record], int | None]


class Unauthenticated(Exception):  # noqa: N818 - a state of the record
    """A reference record that does not count."""


class Rows:
    """The rows of a batch, by table.

    `authenticate` tells until when (Unix, milliseconds) the signature of a reference record counts, None = not at all.
    """

    def __init__(self, authenticate: Authenticate | None = None) -> None:
        self._authenticate = authenticate
        self._rows: dict[str, list[Row]] = {table.name: [] for table in TABLES}

    def add(self, record: Record, message: Any) -> None:
        """Add what a message becomes. `message` None = a tombstone.

        Raises:
            Unauthenticated: a reference record that somebody else than the administration wrote, or a lock of all
                sites that somebody else than doorstream did.
        """
        if record.topic == EVERYWHERE and self._authenticate is not None and self._authenticate(record) is None:
            raise Unauthenticated("not signed by doorstream")
        if record.topic in _ENTITY_OF:
            until_ms = self._authenticate(record) if self._authenticate is not None else 0
            if until_ms is None:
                raise Unauthenticated("not signed by the administration")
            self._rows["reference"].append(_reference(record, message, until_ms))
            return
        kind: Any = type(message)
        makers = _makers_of(kind)
        if makers is not None:
            for table, make in makers:
                row = make(message, record)
                if row is not None:
                    self._rows[table.name].append(row)

    def by_table(self) -> list[tuple[Table, list[Row]]]:
        """Rows in the order of `TABLES`, at most one a key where they replace each other, sorted by key there.

        The order of tables and keys is the same for every writer, so that two never wait for each other.
        """
        return [(table, _reduced(table, rows)) for table in TABLES if (rows := self._rows[table.name])]


def _reduced(table: Table, rows: list[Row]) -> list[Row]:
    if table.merge is None:
        return rows
    names = list(table.columns)
    at = [names.index(column) for column in table.key if column != "incarnation"]
    merged: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple([row[index] for index in at])
        old = merged.get(key)
        merged[key] = row if old is None else table.merge(old, row)
    return [merged[key] for key in sorted(merged)]


def json_text(message: Any, record: Record) -> str:
    """A message as it is kept: the fields of its model and no others, without null characters.

    Nothing secret comes along in a field that nobody knows; and `jsonb` takes neither null characters nor NaN.
    """
    if isinstance(message, Canonical) and record.value is not None:
        return record.value.decode()  # these very bytes, and nothing escaped in them
    text: str = message.to_json().decode()
    return text.replace("\\u0000", "\\ufffd")


def _granted(message: Decision, record: Record) -> Row:
    return _decision(message, "granted", record)


def _denied(message: Decision, record: Record) -> Row:
    return _decision(message, "denied", record)


def _decision(message: Decision, outcome: str, record: Record) -> Row:
    return (
        message.decision_id,
        message.request_id,
        message.site_id,
        message.device_id,
        message.access_point_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id,
        message.credential_id,
        message.permission_id,
        outcome,
        message.reason,
        message.direction,
        message.timeliness,
        message.classification,
        whole(message.age_ms),
        message.actuated,
        within(message.occurred_at),
        within(message.decided_at),
        json_text(message, record),
    )


def _taken(message: AccessTaken, _record: Record) -> Row:
    return _passage(message, "taken", message.evidence)


def _not_taken(message: AccessNotTaken, _record: Record) -> Row:
    return _passage(message, "not_taken", None)


def _passage(message: Passage, outcome: str, evidence: str | None) -> Row:
    return (
        message.decision_id,
        message.site_id,
        message.door_id,
        message.zone_from,
        message.zone_to,
        message.cardholder_id,
        message.direction,
        outcome,
        evidence,
        within(message.granted_at),
        within(message.occurred_at),
        within(message.decided_at),
    )


def _presence(message: AccessTaken, record: Record) -> Row | None:
    if message.cardholder_id is None:
        return None
    where = (message.site_id, message.cardholder_id, message.zone_to)
    return (*where, within(message.decided_at), message.decision_id, record.offset)


def _command(message: Command, _record: Record) -> Row:
    door: Any = message if hasattr(message, "door_id") else None
    return (
        message.command_id,
        message.device_id,
        message.site_id,
        getattr(message, "type", None),
        door.door_id if door else None,
        getattr(message, "decision_id", None),
        door.operator_request_id if door else None,
        door.sequence if door else None,
        within(message.issued_at),
        "sent",
        RANKS["sent"],
        within(message.issued_at),
        None,
    )


def _result(message: CommandResult, record: Record) -> Row | None:
    if not is_uuid(message.command_id):
        return None
    state, failure = state_of(message)
    facts = (message.command_id.lower(), message.device_id, message.site_id, None, None, None, None, None, None)
    return (*facts, state, RANKS[state], appended_at(record), failure or None)


def _device(message: DeviceMessage, record: Record) -> Row:
    who = (message.device_id, message.site_id, appended_at(record))
    return (*who, *_number(message, record), getattr(message, "type", "?"))


def _device_state(message: DeviceState, record: Record) -> Row:
    who = (message.device_id, message.site_id, message.event, message.condition, message.connection)
    seen = (within(message.since), None if message.last_seen is None else within(message.last_seen))
    wrong = (message.tamper, message.power_failure, message.battery_low, [fault.code for fault in message.faults])
    offset_ms = None if message.clock_offset_ms is None else whole(message.clock_offset_ms)
    clock = (message.clock_wrong, offset_ms, list(message.flapping))
    return (*who, *seen, *wrong, *clock, within(message.decided_at), json_text(message, record), record.offset)


def _door(message: DoorEvent, record: Record) -> Row:
    who = (message.door_id, message.site_id, message.device_id)
    return (*who, getattr(message, "type", "?"), appended_at(record), record.offset, *_number(message, record))


def _number(message: DeviceMessage, record: Record) -> tuple[int, int, int]:
    """What rises with each message of a controller: nobody can send an old one again and have it count as newer."""
    return key_version_of(record.header(MAC_HEADER)) or 0, message.boot, message.sequence


def _alert(message: Alert, record: Record) -> Row:
    return (
        message.alert_id,
        message.site_id,
        message.kind,
        message.severity,
        message.state,
        whole(message.count),
        message.door_id,
        message.access_point_id,
        message.device_id,
        message.cardholder_id,
        message.summary,
        within(message.raised_at),
        within(message.updated_at),
        json_text(message, record),
        record.offset,
    )


def _alert_transition(message: Alert, _record: Record) -> Row:
    what = (message.alert_id, getattr(message, "type", "?"), within(message.updated_at), whole(message.count))
    who = (message.operator_id, message.request_id, message.comment, message.result)
    demands = tuple(None if part is None else part_to_json(part).decode() for part in (message.notify, message.action))
    return (*what, message.severity, message.state, message.transition, message.active, *who, *demands)


def _notification(message: Notification, record: Record) -> Row:
    what = (message.notification_id, message.alert_id, message.site_id, whole(message.step), message.severity)
    who = (message.recipient_id, message.asked_for, message.channel, message.instead_of)
    outcome = str(getattr(message, "type", "?")).removeprefix("notification_")
    how = (outcome, whole(message.attempts), message.target, message.error, message.digest_id)
    return (*what, *who, *how, within(message.demanded_at), within(message.updated_at), record.offset)


def _told(make: Callable[[Alert, Record], Row], *, duress: bool) -> Callable[[Alert, Record], Row | None]:
    """The rows of alerts of duress, or of all others."""
    return lambda message, record: make(message, record) if (message.kind == DURESS) is duress else None


def _refusal(message: MessageRefused, _record: Record) -> Row:
    where = (message.topic, message.partition, whole(message.offset))
    who = (message.refusal_id, message.site_id, message.device_id, message.message_type)
    return (*who, *where, message.reason, message.detail, within(message.decided_at))


def _accepted(message: OperatorRequestAccepted, _record: Record) -> Row:
    who = (message.site_id, message.request_id, message.operator_id, message.request_type)
    return (*who, "accepted", None, None, within(message.decided_at))


def _refused(message: OperatorRequestRefused, _record: Record) -> Row:
    who = (message.site_id, message.request_id, message.operator_id, message.request_type)
    return (*who, "refused", message.code, message.detail, within(message.decided_at))


def _lockout(message: LockoutStarted | LockoutEnded, _record: Record) -> Row:
    who = (message.lockout_id, message.lockout_key, message.site_id, message.scope, message.subject, message.subject_id)
    where = (message.cardholder_id, message.credential_id, message.access_point_id, message.door_id)
    counted = (whole(message.failures), whole(message.window_s), message.numbers)
    failed = (*counted, within(message.first_failed_at), within(message.last_failed_at))
    why = (message.last_reason, message.decision_id, whole(message.number), within(message.started_at))
    until = None if message.locked_until is None else within(message.locked_until)
    if isinstance(message, LockoutStarted):
        return (*who, *where, *failed, *why, until, None, None, None, None, "", 0)
    ended = (within(message.ended_at), message.cause, message.request_id, message.operator_id, message.reason)
    return (*who, *where, *failed, *why, until, *ended, 1)


def _reference(record: Record, message: Any, until_ms: int) -> Row:
    id_ = (record.key or b"").decode("utf-8", "replace").replace("\0", "\ufffd")
    value = None if message is None else json_text(message, record)
    card, holder = getattr(message, "card_number", None), getattr(message, "cardholder_id", None)
    return (_ENTITY_OF[record.topic], id_, value, card, holder, record.offset, until_ms)


_Makers = list[tuple[Table, Callable[[Any, Record], Row | None]]]


def _makers(model: type) -> _Makers:
    if issubclass(model, Probe):
        # Its answer is a heartbeat, which the device's state tells of: as a command it would be open for ever.
        return []
    if issubclass(model, Command):
        return [(COMMANDS, _command)]
    if issubclass(model, Alert):
        return [
            (ALERTS, _told(_alert, duress=False)),
            (ALERT_HISTORY, _told(_alert_transition, duress=False)),
            (DURESS_ALERTS, _told(_alert, duress=True)),
            (DURESS_ALERT_HISTORY, _told(_alert_transition, duress=True)),
        ]
    if issubclass(model, Notification):
        return [(NOTIFICATIONS, _notification)]
    makers: _Makers = []
    if issubclass(model, DeviceMessage):
        makers.append((DEVICES, _device))
    if issubclass(model, DoorEvent):
        makers.append((DOORS, _door))
    if model in {CommandDelivered, CommandConfirmed, CommandFailed}:
        makers.append((COMMANDS, _result))
    return makers


# By exact type: asking each model's abstract base class in turn costs more than all the rest.
_MAKERS: dict[type, _Makers] = {model: makers for model in MODELS.values() if (makers := _makers(model))} | {
    AccessGranted: [(DECISIONS, _granted)],
    AccessDenied: [(DECISIONS, _denied)],
    AccessTaken: [(PASSAGES, _taken), (PRESENCE, _presence)],
    AccessNotTaken: [(PASSAGES, _not_taken)],
    MessageRefused: [(REFUSALS, _refusal)],
    DeviceState: [(DEVICE_STATES, _device_state)],
    LockoutStarted: [(LOCKOUTS, _lockout)],
    LockoutEnded: [(LOCKOUTS, _lockout)],
    OperatorRequestAccepted: [(OPERATOR_REQUESTS, _accepted)],
    OperatorRequestRefused: [(OPERATOR_REQUESTS, _refused)],
}


@cache
def _makers_of(kind: type) -> _Makers | None:
    return _MAKERS.get(model_of(kind))
