"""What among the outcomes of a cause is a sign of a threat (A5): so that nothing is decided for it at the door."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from schemas.access import AccessDenied, AccessGranted, Duress, MessageRefused
from schemas.door_alarms import DoorAlarm
from schemas.ids import derive
from schemas.lockouts import LockoutImpending, LockoutStarted
from schemas.operators import OperatorRequestRefused
from schemas.threat_rules import ThreatKind
from schemas.vocabulary import Reason
from streams.core.processor import Outcome

PERSONAL: frozenset[str] = frozenset({"stolen_credential", "lost_credential", "lockout"})
"""Threats of a person rather than of a place, where it is known who."""


class Noticed(msgspec.Struct, frozen=True, gc=False, tag="noticed"):
    """Something that no other outcome tells of: a tamper contact, or an opening that no grant explains."""

    kind: Literal["tamper", "passage_without_decision", "tailgating_suspected"]
    site_id: str
    device_id: str
    cause_type: str
    cause_id: str
    door_id: str | None = None
    decision_id: str | None = None
    cardholder_id: str | None = None


class Sign(msgspec.Struct, frozen=True, gc=False):
    """A threat: its kind, what it was seen by, and where and who, as far as that is known."""

    kind: ThreatKind
    site_id: str
    cause_type: str
    cause_id: str
    summary: str
    access_point_id: str | None = None
    door_id: str | None = None
    device_id: str | None = None
    cardholder_id: str | None = None


_REFUSED: Mapping[str, ThreatKind] = {
    Reason.INVALID_SIGNATURE: "invalid_signature",
    Reason.REPLAYED_REQUEST: "replayed_request",
}
_PRESENTED: Mapping[str, ThreatKind] = {
    Reason.CREDENTIAL_STOLEN: "stolen_credential",
    Reason.CREDENTIAL_LOST: "lost_credential",
}


def signs_of(outcome: Outcome) -> Iterator[Sign]:
    """The threats that an outcome tells of; usually none."""
    tell = TELLERS.get(type(outcome))
    if tell is not None:
        yield from tell(outcome)


def _sign(kind: ThreatKind, outcome: Any, cause_id: str, summary: str) -> Sign:
    names = ("access_point_id", "door_id", "device_id", "cardholder_id")
    where = {name: getattr(outcome, name, None) for name in names}
    cause_type = outcome.cause_type if isinstance(outcome, Noticed) else str(outcome.type)
    return Sign(kind, outcome.site_id, cause_type, cause_id, summary, **where)


def _duress(outcome: Duress) -> Iterator[Sign]:
    yield _sign("duress", outcome, outcome.duress_id, f"duress at {outcome.access_point_id}")


def _decided(outcome: AccessDenied | AccessGranted) -> Iterator[Sign]:
    # A stolen card lets out all the same, and is softly broken then; and behind a lockdown it is one, too.
    for reason in (*outcome.failed_checks, *outcome.soft_breaches):
        presented, refused = _PRESENTED.get(reason or ""), _REFUSED.get(reason or "")
        if presented is not None:
            summary = f"a {presented.replace('_', ' ')} was presented at {outcome.access_point_id}"
            yield _sign(presented, outcome, outcome.decision_id, summary)
            return
        if refused is not None:
            yield _sign(
                refused, outcome, outcome.decision_id, f"a request of {outcome.device_id} was refused: {reason}"
            )
            return


def _refused(outcome: MessageRefused) -> Iterator[Sign]:
    kind = _REFUSED.get(outcome.reason)
    if kind is not None:
        who = outcome.device_id or "somebody"
        yield _sign(kind, outcome, outcome.refusal_id, f"{outcome.message_type} of {who} was refused: {outcome.reason}")


def _request_refused(outcome: OperatorRequestRefused) -> Iterator[Sign]:
    if outcome.code == Reason.INVALID_SIGNATURE.value:
        position = outcome.journal
        cause_id = derive("refusal", outcome.request_id, position.partition, position.number)
        summary = f"{outcome.request_type} in the name of {outcome.operator_id} was refused: {outcome.code}"
        yield _sign("forged_request", outcome, cause_id, summary)


def _alarm(outcome: DoorAlarm) -> Iterator[Sign]:
    if outcome.event == "door_forced_open":
        yield _sign("door_forced_open", outcome, outcome.alarm_id, f"{outcome.door_id} was forced open")


def _lockout(outcome: LockoutStarted | LockoutImpending) -> Iterator[Sign]:
    if outcome.subject == "access-point":
        summary = f"numbers are guessed at {outcome.access_point_id}"
        yield _sign("access_point_attack", outcome, derive("attack", outcome.type, outcome.lockout_id), summary)
    else:
        summary = f"{outcome.subject} {outcome.subject_id} was locked at {outcome.access_point_id}"
        yield _sign("lockout", outcome, outcome.lockout_id, summary)


def _noticed(outcome: Noticed) -> Iterator[Sign]:
    if outcome.kind == "tamper":
        yield _sign("tamper", outcome, outcome.cause_id, f"{outcome.device_id} was tampered with")
    elif outcome.kind == "passage_without_decision":
        summary = f"{outcome.door_id} opened, and nobody was let through"
        yield _sign("passage_without_decision", outcome, outcome.cause_id, summary)


TELLERS: Mapping[type, Callable[[Any], Iterator[Sign]]] = {
    Duress: _duress,
    AccessDenied: _decided,
    AccessGranted: _decided,
    MessageRefused: _refused,
    OperatorRequestRefused: _request_refused,
    DoorAlarm: _alarm,
    LockoutStarted: _lockout,
    LockoutImpending: _lockout,
    Noticed: _noticed,
}
