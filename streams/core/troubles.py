"""What is worth an alert: troubles that messages tell of, and the ends of troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from schemas.access import AccessDenied, AccessGranted, Duress, MessageRefused
from schemas.alerts import DURESS
from schemas.door_alarms import DoorAlarm
from schemas.exceptions import PermissionUpdated
from schemas.ids import derive
from schemas.lockouts import LockoutEnded, LockoutImpending, LockoutStarted
from schemas.operators import OperatorRequestRefused
from schemas.vocabulary import Reason
from streams.core.alert_state import Assessed, Led
from streams.core.denials import authentication_failed
from streams.core.times import to_ms

LONGEST_KEY = 120
"""A longer dedup key is replaced by its hash: cut off, two troubles might become one."""

LONGEST_SUMMARY = 200

OFFLINE = "controller_offline"
NETWORK_OUTAGE = "network_outage"
"""Several controllers fell silent together."""

_ABNORMAL = frozenset({Reason.PASSBACK, Reason.OUT_OF_TIME_RANGE})
_SECURITY = frozenset({Reason.INVALID_SIGNATURE, Reason.REPLAYED_REQUEST})


OFFLINE_DIFFERENCE = "offline_difference"
"""A controller alone let somebody in whom the rules keep out (A5)."""


class Trouble(msgspec.Struct, frozen=True, gc=False):
    """Something to be raised. `where` and the kind tell one trouble from another; `clears`: it will be told when over.

    `place` is where what leads to alerts is remembered. `before` happened there before it. `upstream` is the part of
    the network that has the trouble. `assessed` is how it was assessed, `severity` what follows from that instead of
    the kind's, and `plan` what is proposed; `raisable`: heightened monitoring makes it more severe.
    """

    site_id: str
    kind: str
    where: str
    type: str
    cause_id: str
    summary: str
    clears: bool = False
    place: str | None = None
    before: tuple[Led, ...] = ()
    door_id: str | None = None
    access_point_id: str | None = None
    device_id: str | None = None
    cardholder_id: str | None = None
    upstream: str | None = None
    severity: str | None = None
    raisable: bool = True
    assessed: Assessed | None = None
    plan: str | None = None

    @property
    def dedup_key(self) -> str:
        """What counts as the same trouble within its window."""
        return dedup_key(self.site_id, self.kind, self.cause_id if self.kind == DURESS else self.where)


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The cause of a trouble is gone."""

    site_id: str
    kind: str
    where: str

    @property
    def dedup_key(self) -> str:
        """That of the trouble."""
        return dedup_key(self.site_id, self.kind, self.where)


class Rediagnosed(msgspec.Struct, frozen=True, gc=False):
    """What was to recover by itself has not: the same trouble, in other words."""

    site_id: str
    kind: str
    where: str
    summary: str

    @property
    def dedup_key(self) -> str:
        """That of the trouble."""
        return dedup_key(self.site_id, self.kind, self.where)


class DeviceGone(msgspec.Struct, frozen=True, gc=False):
    """A device is watched no longer: all its troubles are over."""

    site_id: str
    device_id: str


Event = Trouble | Ended | Rediagnosed | DeviceGone
Tellers = Mapping[type, Callable[[Any], Iterator[Event]]]
"""What the messages of a type, and of those derived from it, tell of; usually nothing."""


def dedup_key(site_id: str, kind: str, where: str) -> str:
    """The dedup key of a kind of trouble at a place."""
    key = f"{site_id}/{kind}/{where}"
    return key if len(key) <= LONGEST_KEY else derive("dedup", key)


def at(message: Any) -> dict[str, Any]:
    """Where and who, as far as the message says."""
    said = message.__dict__.get  # no `getattr`: pydantic looks long for a field that there is not
    door, point, device = said("door_id"), said("access_point_id"), said("device_id")
    return {
        "site_id": message.site_id,
        "type": message.type,
        "place": door or point or device,
        "door_id": door,
        "access_point_id": point,
        "device_id": device,
        "cardholder_id": said("cardholder_id"),
    }


def _duress(message: Duress) -> Iterator[Event]:
    where, summary = message.access_point_id, f"Silent alarm at {message.access_point_id}"
    yield Trouble(kind=DURESS, where=where, cause_id=message.duress_id, summary=summary, **at(message))


def _denied(message: AccessDenied) -> Iterator[Event]:
    reason, point = message.reason, message.access_point_id
    if reason is None:
        return
    if message.difference and message.recorded is not None:
        cause = message.recorded.cause or "unknown"
        drill = "Drill: " if message.drill else ""
        summary = f"{drill}{message.device_id} alone let somebody in at {point} against the rules: {reason} ({cause})"
        kind, where = OFFLINE_DIFFERENCE, f"{point}/{message.cardholder_id or '-'}"
        yield Trouble(kind=kind, where=where, cause_id=message.decision_id, summary=summary, **at(message))
    if authentication_failed(message):
        kind, where, summary = "authentication_failed", point, f"Authentication failed at {point}: {reason}"
    elif reason in _SECURITY:
        kind, where, summary = reason.value, message.device_id, f"Message of {message.device_id} refused: {reason}"
    else:
        return
    yield Trouble(kind=kind, where=where, cause_id=message.decision_id, summary=summary, **at(message))


def _granted(message: AccessGranted) -> Iterator[Event]:
    # What is out of time or against anti-passback is told as an abnormal passage, with its risk.
    if message.soft_breaches and not _ABNORMAL.intersection(message.soft_breaches):
        point, broken = message.access_point_id, ", ".join(message.soft_breaches)
        summary = f"Passed {point} although: {broken}"
        yield Trouble(kind="soft_breach", where=point, cause_id=message.decision_id, summary=summary, **at(message))


def _refused(message: MessageRefused) -> Iterator[Event]:
    summary = f"Message {message.message_type} of {message.device_id} refused: {message.reason}"
    where = message.device_id or message.site_id
    kind = message.reason.value
    yield Trouble(kind=kind, where=where, cause_id=message.refusal_id, summary=summary, **at(message))


def _request_refused(message: OperatorRequestRefused) -> Iterator[Event]:
    if message.code == Reason.INVALID_SIGNATURE.value:
        summary = f"Request {message.request_type} in the name of {message.operator_id} refused: {message.code}"
        cause_id = derive("refusal", message.request_id, message.journal.partition, message.journal.number)
        yield Trouble(kind=message.code, where=message.operator_id, cause_id=cause_id, summary=summary, **at(message))


_ALARMS = {
    "door_forced_open": "was forced open",
    "door_held_open": "is held open",
    "door_pre_alarm": "will soon have been open for too long",
}


def _door_alarm(message: DoorAlarm) -> Iterator[Event]:
    for kind in message.ended:
        yield Ended(message.site_id, kind, message.door_id)
    if message.event in _ALARMS:
        before: tuple[Led, ...] = ()
        if message.last_decision_id is not None and message.last_passed_at is not None:
            who = message.last_cardholder_id or "somebody unknown"
            last = f"{who} passed {message.door_id}"
            before = (Led(to_ms(message.last_passed_at), "access_taken", message.last_decision_id, last),)
        yield Trouble(
            kind=message.event,
            where=message.door_id,
            cause_id=message.alarm_id,
            summary=f"{message.door_id} {_ALARMS[message.event]}",
            clears=True,
            before=before,
            **at(message),
        )


def _permission_updated(message: PermissionUpdated) -> Iterator[Event]:
    who, what = message.cardholder_id, message.permission_id
    summary = f"Permission {what} of {who} is {message.state}; {who} was turned away at {message.access_point_id}"
    yield Trouble(
        kind="permission_updated", where=what, cause_id=message.update_id, summary=summary[:LONGEST_SUMMARY],
        **at(message),
    )  # fmt: skip


def _lock_kind(message: LockoutStarted | LockoutEnded) -> str:
    if message.locked_until is None:
        return "permanent_lockout"
    return f"{message.subject.replace('-', '_')}_lockout"


def _lockout(message: LockoutImpending | LockoutStarted) -> Iterator[Event]:
    what = f"{message.subject} {message.subject_id}"
    kind, clears = "lockout_impending", False
    summary = f"{message.failures} failed attempts, {what}: a lock is near"
    if isinstance(message, LockoutStarted):
        kind, clears = _lock_kind(message), True
        end = "until somebody ends it" if message.locked_until is None else f"until {message.locked_until:%H:%M:%S} UTC"
        summary = f"{what} is locked {end} after {message.failures} failed attempts"
    yield Trouble(
        kind=kind,
        where=message.lockout_key,
        cause_id=message.lockout_id,
        summary=summary[:LONGEST_SUMMARY],
        clears=clears,
        **at(message),
    )


def _lockout_ended(message: LockoutEnded) -> Iterator[Event]:
    yield Ended(message.site_id, _lock_kind(message), message.lockout_key)


TELLERS: Tellers = {
    Duress: _duress,
    AccessDenied: _denied,
    AccessGranted: _granted,
    MessageRefused: _refused,
    OperatorRequestRefused: _request_refused,
    DoorAlarm: _door_alarm,
    PermissionUpdated: _permission_updated,
    LockoutImpending: _lockout,
    LockoutStarted: _lockout,
    LockoutEnded: _lockout_ended,
}
"""What is told of decisions, door alarms and lockouts."""


def led_of(trouble: Trouble, now_ms: int) -> Led:
    """A trouble as what may lead to others."""
    return Led(now_ms, trouble.type, trouble.cause_id, trouble.summary[:LONGEST_SUMMARY])
