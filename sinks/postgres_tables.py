"""How each PostgreSQL table is written: its columns, its key, and what happens to a row that is there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Row = tuple[Any, ...]
Merge = Callable[[Row, Row], Row]


class Table(NamedTuple):
    """A table's columns with their types (`incarnation` comes first in every table and is not listed), and its key.

    `conflict` is what `ON CONFLICT` does. `merge` does the same to two rows of one batch: `DO UPDATE` can't touch a
    row twice in one statement. It is None where a row that is there stays.
    """

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    conflict: str = "do nothing"
    merge: Merge | None = None

    @property
    def incoming(self) -> str:
        """The temporary table that a batch's rows are copied into."""
        return f"incoming_{self.name}"

    @property
    def make_incoming(self) -> str:
        """Make that table, once per connection; each transaction leaves it empty."""
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.columns.items())
        return f"create temporary table if not exists {self.incoming} ({columns}) on commit delete rows"

    @property
    def take_incoming(self) -> str:
        """Move a batch's rows into the table; `$1` is the incarnation."""
        columns = ", ".join(self.columns)
        return (
            f"insert into {self.name} (incarnation, {columns}) select $1::bigint, {columns} "  # noqa: S608 - names of ours
            f"from {self.incoming} on conflict ({', '.join(self.key)}) {self.conflict}"
        )


def _newest(name: str, columns: dict[str, str], key: tuple[str, ...], by: tuple[str, ...] = ("position",)) -> Table:
    """A table of states, of which the newest counts: of the latest life of the broker, and highest in `by` there."""
    names = list(columns)
    at = [names.index(column) for column in by]
    changes = ", ".join(f"{column} = excluded.{column}" for column in ("incarnation", *names) if column not in key)
    order = ("incarnation", *by)
    mine, theirs = (", ".join(f"{whose}.{column}" for column in order) for whose in ("excluded", name))

    def merge(old: Row, new: Row) -> Row:
        return new if [new[i] for i in at] > [old[i] for i in at] else old

    return Table(name, columns, key, f"do update set {changes} where ({mine}) > ({theirs})", merge)


DECISIONS = Table(
    "decisions",
    {
        "decision_id": "uuid",
        "request_id": "uuid",
        "site_id": "text",
        "device_id": "text",
        "access_point_id": "text",
        "door_id": "text",
        "zone_from": "text",
        "zone_to": "text",
        "cardholder_id": "text",
        "credential_id": "text",
        "permission_id": "text",
        "outcome": "text",
        "reason": "text",
        "direction": "text",
        "timeliness": "text",
        "classification": "text",
        "age_ms": "bigint",
        "actuated": "boolean",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
        "value": "jsonb",
    },
    ("decision_id", "incarnation"),
)
PASSAGES = Table(
    "passages",
    {
        "decision_id": "uuid",
        "site_id": "text",
        "door_id": "text",
        "zone_from": "text",
        "zone_to": "text",
        "cardholder_id": "text",
        "direction": "text",
        "outcome": "text",
        "evidence": "text",
        "granted_at": "timestamptz",
        "occurred_at": "timestamptz",
        "decided_at": "timestamptz",
    },
    ("decision_id", "incarnation"),
)

_COMMAND_FACTS = {
    "command_id": "uuid",
    "device_id": "text",
    "site_id": "text",
    "type": "text",
    "door_id": "text",
    "decision_id": "uuid",
    "operator_request_id": "text",
    "sequence": "bigint",
    "issued_at": "timestamptz",
}
_COMMAND_STATE = {"state": "text", "state_rank": "smallint", "state_at": "timestamptz", "failure": "text"}
_FACTS = len(_COMMAND_FACTS)
_TYPE, _RANK = 3, _FACTS + 1


def _merge_commands(old: Row, new: Row) -> Row:
    facts = new if old[_TYPE] is None and new[_TYPE] is not None else old
    state = new if new[_RANK] > old[_RANK] else old
    return facts if facts is state else facts[:_FACTS] + state[_FACTS:]


COMMANDS = Table(
    "commands",
    _COMMAND_FACTS | _COMMAND_STATE,
    ("command_id", "device_id", "incarnation"),
    # A result may be read before its command: the command brings the facts, and the state only moves forward.
    "do update set "
    + ", ".join(
        f"{fact} = coalesce(commands.{fact}, excluded.{fact})"
        for fact in _COMMAND_FACTS
        if fact not in {"command_id", "device_id", "site_id"}
    )
    + "".join(
        f", {column} = case when excluded.state_rank > commands.state_rank then excluded.{column} "
        f"else commands.{column} end"
        for column in _COMMAND_STATE
    )
    + " where excluded.state_rank > commands.state_rank or (commands.type is null and excluded.type is not null)",
    _merge_commands,
)
PRESENCE = _newest(
    "presence",
    {
        "site_id": "text",
        "cardholder_id": "text",
        "zone_id": "text",
        "since": "timestamptz",
        "decision_id": "uuid",
        "position": "bigint",
    },
    ("site_id", "cardholder_id"),
)
DOORS = _newest(
    "doors",
    {
        "door_id": "text",
        "site_id": "text",
        "device_id": "text",
        "last_event": "text",
        "received_at": "timestamptz",
        "position": "bigint",
        "key_version": "integer",
        "boot": "bigint",
        "sequence": "bigint",
    },
    # Numbers of different controllers can't be compared: a door that was given to another has a row of each.
    ("door_id", "site_id", "device_id"),
    by=("key_version", "boot", "sequence"),
)
DEVICES = _newest(
    "devices",
    {
        "device_id": "text",
        "site_id": "text",
        "last_seen": "timestamptz",
        "key_version": "integer",
        "boot": "bigint",
        "sequence": "bigint",
        "last_event": "text",
    },
    ("device_id", "site_id"),
    by=("key_version", "boot", "sequence"),
)
DEVICE_STATES = _newest(
    "device_states",
    {
        "device_id": "text",
        "site_id": "text",
        "event": "text",
        "condition": "text",
        "connection": "text",
        "since": "timestamptz",
        "last_seen": "timestamptz",
        "tamper": "boolean",
        "power_failure": "boolean",
        "battery_low": "boolean",
        "faults": "text[]",
        "clock_wrong": "boolean",
        "clock_offset_ms": "bigint",
        "flapping": "text[]",
        "decided_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("device_id", "site_id"),
)
ALERTS = _newest(
    "alerts",
    {
        "alert_id": "text",
        "site_id": "text",
        "kind": "text",
        "severity": "text",
        "state": "text",
        "count": "bigint",
        "door_id": "text",
        "access_point_id": "text",
        "device_id": "text",
        "cardholder_id": "text",
        "summary": "text",
        "raised_at": "timestamptz",
        "updated_at": "timestamptz",
        "value": "jsonb",
        "position": "bigint",
    },
    ("alert_id",),
)
ALERT_HISTORY = Table(
    "alert_history",
    {
        "alert_id": "text",
        "type": "text",
        "updated_at": "timestamptz",
        "count": "bigint",
        "severity": "text",
        "state": "text",
        "transition": "bigint",
        "active": "boolean",
        "operator_id": "text",
        "request_id": "text",
        "comment": "text",
        "result": "text",
        "notify": "jsonb",
        "action": "jsonb",
    },
    ("alert_id", "transition", "type", "updated_at", "count", "incarnation"),
)
NOTIFICATIONS = _newest(
    "notifications",
    {
        "notification_id": "text",
        "alert_id": "text",
        "site_id": "text",
        "step": "integer",
        "severity": "text",
        "recipient_id": "text",
        "asked_for": "text",
        "channel": "text",
        "instead_of": "text",
        "outcome": "text",
        "attempts": "bigint",
        "target": "text",
        "error": "text",
        "digest_id": "text",
        "demanded_at": "timestamptz",
        "updated_at": "timestamptz",
        "position": "bigint",
    },
    ("notification_id",),
)
DURESS_ALERTS = _newest("duress_alerts", ALERTS.columns, ALERTS.key)
DURESS_ALERT_HISTORY = ALERT_HISTORY._replace(name="duress_alert_history")
REFUSALS = Table(
    "refusals",
    {
        "refusal_id": "uuid",
        "site_id": "text",
        "device_id": "text",
        "message_type": "text",
        "topic": "text",
        "partition": "integer",
        "position": "bigint",
        "reason": "text",
        "detail": "text",
        "decided_at": "timestamptz",
    },
    ("refusal_id", "incarnation"),
)
OPERATOR_REQUESTS = Table(
    "operator_requests",
    {
        "site_id": "text",
        "request_id": "text",
        "operator_id": "text",
        "request_type": "text",
        "answer": "text",
        "code": "text",
        "detail": "text",
        "decided_at": "timestamptz",
    },
    ("site_id", "request_id", "answer", "incarnation"),
)
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
REFERENCE_COLUMNS = {
    "entity": "text",
    "id": "text",
    "value": "jsonb",
    "card_number": "text",
    "cardholder_id": "text",
    "position": "bigint",
    "until_ms": "bigint",
}
_REFERENCE = _newest("reference", REFERENCE_COLUMNS, ("entity", "id"))


def _merge_references(old: Row, new: Row) -> Row:
    return new if new[-2] > old[-2] and new[-1] >= old[-1] else old


# As the views of the decide role take them: a signature that ends sooner is an old record, sent again.
REFERENCE = _REFERENCE._replace(
    conflict=_REFERENCE.conflict
    + " and (excluded.incarnation > reference.incarnation or excluded.until_ms >= reference.until_ms)",
    merge=_merge_references,
)
TABLES = (
    DECISIONS,
    PASSAGES,
    COMMANDS,
    PRESENCE,
    DOORS,
    DEVICES,
    DEVICE_STATES,
    ALERTS,
    ALERT_HISTORY,
    DURESS_ALERTS,
    DURESS_ALERT_HISTORY,
    NOTIFICATIONS,
    REFUSALS,
    OPERATOR_REQUESTS,
    LOCKOUTS,
    REFERENCE,
)
