"""Each lockout, from its start to its end."""

from __future__ import annotations

from schemas.lockouts import LockoutEnded, LockoutStarted
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, Table
from sinks.reading import whole, within

_LOCKOUT_COLUMNS = {
    "lockout_id": "uuid",
    "lockout_key": "text",
    "site_id": "text",
    "scope": "text",
    "subject": "text",
    "subject_id": "text",
    "cardholder_id": "text",
    "credential_id": "text",
    "access_point_id": "text",
    "door_id": "text",
    "failures": "integer",
    "window_s": "integer",
    "numbers": "integer",
    "first_failed_at": "timestamptz",
    "last_failed_at": "timestamptz",
    "last_reason": "text",
    "decision_id": "uuid",
    "number": "integer",
    "started_at": "timestamptz",
    "locked_until": "timestamptz",
    "ended_at": "timestamptz",
    "cause": "text",
    "request_id": "text",
    "operator_id": "text",
    "reason": "text",
    "step": "smallint",
}
LOCKOUTS = Table(
    "lockouts",
    _LOCKOUT_COLUMNS,
    ("lockout_id", "incarnation"),
    # The end says all that the start said: it takes its place, in whatever order they are read.
    "do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in _LOCKOUT_COLUMNS if name != "lockout_id")
    + " where excluded.step > lockouts.step",
    lambda old, new: new if new[-1] > old[-1] else old,
)


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


TABLES = (LOCKOUTS,)
MAKERS: dict[type, tuple[Maker, ...]] = {
    LockoutStarted: ((LOCKOUTS, _lockout),),
    LockoutEnded: ((LOCKOUTS, _lockout),),
}
