"""Each step of each lockout."""

from __future__ import annotations

from schemas.lockouts import LockoutEnded, LockoutEvent, LockoutStarted
from schemas.record import Record
from sinks.clickhouse_rows.table import TIME, WORD, Columns, Maker, Row, ms, number

LOCKOUT_TRANSITIONS: dict[str, str] = {
    "lockout_id": "UUID",
    "type": WORD,
    "site_id": WORD,
    "scope": WORD,
    "subject": WORD,
    "subject_id": "String",
    "cardholder_id": "String",
    "credential_id": "String",
    "access_point_id": WORD,
    "door_id": WORD,
    "failures": "UInt32",
    "numbers": "UInt32",
    "last_reason": WORD,
    "decision_id": "UUID",
    "number": "UInt32",
    "started_at": f"Nullable({TIME})",
    "locked_until": f"Nullable({TIME})",
    "cause": WORD,
    "operator_id": "String",
    "at": TIME,
}


def _lockout(message: LockoutEvent, _record: Record) -> Row:
    what = (number(message.lockout_id), getattr(message, "type", "?"), message.site_id, message.scope)
    who = (message.subject, message.subject_id, message.cardholder_id or "", message.credential_id or "")
    where = (message.access_point_id, message.door_id or "")
    failed = (message.failures, message.numbers or 0, message.last_reason, number(message.decision_id))
    count, started, until, cause, operator = 0, None, None, "", ""
    if isinstance(message, LockoutStarted | LockoutEnded):
        count, started = message.number, ms(message.started_at)
        until = None if message.locked_until is None else ms(message.locked_until)
    if isinstance(message, LockoutEnded):
        cause, operator = message.cause, message.operator_id or ""
    return (*what, *who, *where, *failed, count, started, until, cause, operator, ms(message.decided_at))


TABLES: dict[str, Columns] = {"lockout_transitions_rows": LOCKOUT_TRANSITIONS}
MAKERS: dict[type, Maker] = {LockoutEvent: ("lockout_transitions_rows", _lockout)}
